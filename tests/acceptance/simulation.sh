#!/usr/bin/env bash
# Whole runs in one thread each, with the coordinator's real decisions: whatever is delayed, lost, repeated, cut off, killed or restarted, every rule of the design holds
# after every event and the run completes; and each mistake that is planted is found.
#
#   tests/acceptance/simulation.sh           20,000 histories
#   tests/acceptance/simulation.sh --short   4,000
#
# A history that fails is printed with its last events and the command that plays it again.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

histories=20000
if $short; then histories=4000; fi
dotnet build -c Release "$root/tests/DistTrain.Core.Tests" >"$work/build.log" 2>&1 </dev/null || { cat "$work/build.log"; exit 1; }

# play CLASS: runs the tests of a class, and keeps what they say
play() {
  DISTTRAIN_SIMULATION_HISTORIES=$histories "$root/artifacts/bin/DistTrain.Core.Tests/release/DistTrain.Core.Tests" -class "*.Simulation.$1" -noColor -showLiveOutput \
    </dev/null >"$work/said.log" || { cat "$work/said.log"; return 1; }
  { grep -oE '([0-9]+ histories: |Seed |[A-Za-z]+ was found by ).*' "$work/said.log" || true; } | sed -E 's/(in history [0-9]+)\..*/\1/' >>"$work/told.log"
}

check "$histories histories, and one that nobody has seen" play SimulationTests
check "every planted bug is found by the rule it breaks" play PlantedBugTests
check "a history is its seed" play SimulationReplay
cat "$work/told.log"
finish
