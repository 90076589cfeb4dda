#!/usr/bin/env bash
# Workers die, fall silent, come back, join and leave, and the coordinator is killed and started again, at random moments of one run: every step is there, with the
# hash that an undisturbed single worker's run has, and nothing is left running.
#
#   tests/acceptance/elastic.sh           60 disturbances, 5 of them of the coordinator
#   tests/acceptance/elastic.sh --short   12, 1 of them
#
# SEED=7 makes other choices than SEED=1. A seed repeats choices, not moments: those are the machine's.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
build
cd "$work"

# The shell's own words on how its children ended.
exec 2> >(tee jobs.log >&2)

need_fashion_mnist
seed=${SEED:-1}
RANDOM=$seed
disturbances=60 epochs=24
if $short; then disturbances=12 epochs=5; fi
run=(fashion-mnist-mlp --set batch.global=1000 --set batch.micro=48 --set stop.epochs=$epochs --set evaluate.everyEpochs=4
  --set checkpoint.everySteps=100 --set failureDetection=2s)
members=4

check "an undisturbed run of one worker" train one "${run[@]}" --workers 1

# coordinate PORT: starts a coordinator, a new one or one that goes on
coordinator=
coordinate() {
  "$disttrain" coordinator "${run[@]}" --workers $members --listen "127.0.0.1:$1" --out many --resume --json </dev/null >>coordinator.out 2>>coordinator.err &
  coordinator=$!
}

coordinate 0
for ((i = 0; i < 600; i++)); do
  address=$(sed -nE 's/.*"listening":"([^"]+)".*/\1/p' coordinator.out | head -n 1)
  [ -z "$address" ] || break
  sleep 0.1
done
[ -n "$address" ] || { echo "the coordinator does not listen"; cat coordinator.err; exit 1; }

workers=()
started=0
start() {
  "$disttrain" worker --coordinator "$address" </dev/null >"worker-$started.log" 2>&1 &
  workers+=($!)
  started=$((started + 1))
}

# pick: an index of a living worker
alive() {
  local pid living=()
  for pid in "${workers[@]}"; do
    kill -0 "$pid" 2>/dev/null && living+=("$pid")
  done
  workers=("${living[@]}")
}

# A worker ends as it is told to, by SIGKILL, or with a sentence.
no_crash() { ! grep -El "Segmentation|Unhandled exception|Fatal error|Aborted" worker-*.log jobs.log; }

steps() { wc -l <many/metrics.jsonl 2>/dev/null || echo 0; }

for ((i = 0; i < members; i++)); do start; done
for ((i = 0; i < 600 && $(steps) < 3; i++)); do sleep 0.1; done

killed=0 stopped=0 left=0 joined=0 restarted=0 done=0
while [ "$done" -lt "$disturbances" ] && kill -0 "$coordinator" 2>/dev/null; do
  sleep "0.$((RANDOM % 9 + 1))"
  alive
  while [ "${#workers[@]}" -lt 2 ]; do start; alive; done
  if [ $((done % 12)) -eq 6 ]; then
    kill -KILL "$coordinator"
    wait "$coordinator" 2>/dev/null || true
    coordinate "${address##*:}"
    restarted=$((restarted + 1)) done=$((done + 1))
    continue
  fi
  victim=${workers[$((RANDOM % ${#workers[@]}))]}
  case $((RANDOM % 5)) in
    0 | 1) kill -KILL "$victim" 2>/dev/null || true; killed=$((killed + 1)) ;;
    2) kill -STOP "$victim" 2>/dev/null || true; sleep "$((RANDOM % 3 + 1))"; kill -CONT "$victim" 2>/dev/null || true; stopped=$((stopped + 1)) ;;
    3) kill -TERM "$victim" 2>/dev/null || true; left=$((left + 1)) ;;
    4) [ "${#workers[@]}" -lt 6 ] && start; joined=$((joined + 1)) ;;
  esac
  alive
  while [ "${#workers[@]}" -lt $((RANDOM % members + 1)) ]; do start; done
  done=$((done + 1))
done
alive
[ "${#workers[@]}" -gt 0 ] || start
echo "seed $seed: $killed killed, $stopped stopped and continued, $left asked to leave, $joined joined, $started started, the coordinator $restarted times; $(steps) steps so far"

# A run that hangs must not hang this command.
ended() {
  local deadline=$((SECONDS + 300))
  while kill -0 "$coordinator" 2>/dev/null; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      tail -n 20 many/events.jsonl
      return 1
    fi
    sleep 0.2
  done
  wait "$coordinator" && [ ! -s coordinator.err ]
}
check "$done disturbances, at least $disturbances" test "$done" -ge "$disturbances"
check "the run is completed" ended
check "every step has the hash of the undisturbed run" "$disttrain" verify one many
check "its folder passes the audit" "$disttrain" audit many
check "each kind of disturbance occurred" test "$killed" -gt 0 -a "$stopped" -gt 0 -a "$left" -gt 0 -a "$joined" -gt 0 -a "$restarted" -ge $((disturbances / 12))
# One that is killed while it starts has no term yet; that they follow each other the audit has checked.
terms=$(grep -c '"kind":"term"' many/journal/journal.jsonl)
check "the journal tells of $terms coordinators" test "$terms" -gt 1 -a "$terms" -le $((restarted + 1))
one_line_a_step() { [ "$(sed -E 's/.*"step":([0-9]+).*/\1/' many/metrics.jsonl | sort -n | uniq | wc -l)" -eq "$(wc -l <many/metrics.jsonl)" ]; }
check "one line a step" one_line_a_step
check "no process is left" nothing_left
check "no worker crashed" no_crash
grep -o '"event":"[a-z-]*"' many/events.jsonl | sort | uniq -c
finish
