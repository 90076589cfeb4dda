#!/usr/bin/env bash
# Launcher, coordinator and workers are killed all at once, again and again, at random moments: at the start, in a step, in the middle of writing a checkpoint. Every time
# there is a checkpoint to go on from, and in the end every step has the hash that an undisturbed single worker's run has.
#
#   tests/acceptance/kills.sh           50 times
#   tests/acceptance/kills.sh --short   8 times
#
# SEED=7 waits other times than SEED=1. A seed repeats these times, not what happens in them.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
build
cd "$work"

# The shell's own words on how its children ended.
exec 2> >(tee jobs.log >&2)

RANDOM=${SEED:-1}
times=50 epochs=200
if $short; then times=8 epochs=40; fi
run=(digits --set stop.epochs=$epochs --set checkpoint.everySteps=2 --set checkpoint.keep=2 --set evaluate.everyEpochs=5)

# Slow on purpose, so that no machine is done before everything was killed so often.
slow=(--set debug.delayPerMicroBatch.0=10ms --set debug.delayPerMicroBatch.1=10ms --set debug.delayPerMicroBatch.2=10ms)

check "an undisturbed run of one worker" train one "${run[@]}" --workers 1

# What a run that was killed left is asked for a checkpoint that is whole; before the first there is nothing to ask for.
whole() { [ ! -d many/checkpoints/step-00000000 ] || "$disttrain" audit many; }

killed=0 refused=0 bad=0
for ((i = 0; i < times; i++)); do
  "$disttrain" train "${run[@]}" "${slow[@]}" --workers $((RANDOM % 3 + 1)) --out many --resume </dev/null >>many.out 2>>many.err &
  launcher=$!
  for ((wait = RANDOM % 60 + 1; wait > 0; wait--)); do
    kill -0 $launcher 2>/dev/null || break
    sleep 0.1
  done
  if kill -0 $launcher 2>/dev/null; then
    killed=$((killed + 1))
    kill_left
    wait $launcher 2>/dev/null || true
  else
    wait $launcher || refused=$((refused + 1))
  fi
  whole >audit.log 2>&1 || { bad=$((bad + 1)); cat audit.log; }
done
echo "$killed of $times times everything was killed"
check "a run that was killed can always go on" test "$refused" -eq 0 -a ! -s many.err
check "what is left is always whole" test "$bad" -eq 0
check "the run was long enough for that" test "$killed" -eq "$times"
check "the run is completed" train many "${run[@]}" --workers 2 --resume
check "every step has the hash of the undisturbed run" same one many
check "no process is left" nothing_left
finish
