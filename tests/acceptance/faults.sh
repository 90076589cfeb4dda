#!/usr/bin/env bash
# One plan of faults, done to real processes by the launcher, twice: workers are killed between two blocks and all at once, stopped, asked to leave, cut off from each other, and
# started again or joined; the coordinator is killed and started again, and its disk is full for a while. Both runs have, at every step, the hash that an undisturbed single worker's run has, and leave nothing running.
#
#   tests/acceptance/faults.sh           60 drawn faults and one of each kind
#   tests/acceptance/faults.sh --short   8 and one of each kind
#
# SEED=7 draws other faults than SEED=1.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
build
cd "$work"
need_fashion_mnist

count=60 last=1100 epochs=30
if $short; then count=8 last=180 epochs=8; fi
run=(fashion-mnist-mlp --set batch.global=1000 --set batch.micro=48 --set stop.epochs=$epochs --set evaluate.everyEpochs=4
  --set checkpoint.everySteps=50 --set failureDetection=2s)
cat >plan.yaml <<PLAN
seed: ${SEED:-1}
faults:
  - kill: { worker: 2, step: 5, block: 3 }
  - kill: { worker: 3, step: 20, members: 3 }
  - pause: { worker: 1, step: 30, for: 4s, members: 3 }
  - cutLink: { workers: [1, 2], step: 40, members: 3 }
  - leave: { worker: 0, step: 50, members: 3 }
  - join: { step: 55 }
  - killAll: { step: 70, members: 3 }
  - fullDisk: { step: 99, steps: 5 }
  - restartCoordinator: { step: 105 }
  - random: { count: $count, from: 110, to: $last, kinds: [kill, kill, kill, pause, leave, join, cutLink, restartCoordinator], members: 2 }
PLAN

check "an undisturbed run of one worker" train one "${run[@]}" --workers 1
check "a run of 4 workers, disturbed" train many "${run[@]}" --workers 4 --max-restarts 10 --faults plan.yaml
# A run that went back has lines of the steps it computed again: verify takes the last of each.
as_undisturbed() { "$disttrain" verify one "$1" && [ "$(summary one weightsSha256)" = "$(summary "$1" weightsSha256)" ]; }
check "every step has the hash of the undisturbed run" as_undisturbed many
check "no process is left" nothing_left
check "the plan that was drawn, given again" train again "${run[@]}" --workers 4 --max-restarts 10 --faults many/faults.yaml
check "every step has the hash of the undisturbed run, again" as_undisturbed again
check "both plans are the same" diff many/faults.yaml again/faults.yaml

check "an audit of the run's folder passes" "$disttrain" audit many
check "an audit of the run's folder passes, again" "$disttrain" audit again

planned=$(grep -c '^  - ' many/faults.yaml)
happened() { wc -l <"$1/faults.jsonl"; }
of_each_kind() {
  local kind
  for kind in kill pause cutLink leave join killAll fullDisk restartCoordinator; do
    grep -q "\"kind\":\"$kind\"" "$1/faults.jsonl" || { echo "no $kind in $1"; return 1; }
  done
}
check "one of each kind happened" of_each_kind many
check "one of each kind happened, again" of_each_kind again
check "$(happened many) and $(happened again) of $planned faults happened, at least nine tenths" \
  test "$(happened many)" -ge $((planned * 9 / 10)) -a "$(happened again)" -ge $((planned * 9 / 10))

no_room() { grep -q '"event":"checkpoint-failed".*No space left on device' "$1/events.jsonl"; }
check "the checkpoint of step 100 found no room, and the run went on" no_room many

# A worker ends as it is told to, by SIGKILL, or with a sentence.
no_crash() { ! grep -rEl "Segmentation|Unhandled exception|Fatal error|Aborted" many/logs again/logs; }
check "no process crashed" no_crash
check "no process is left, again" nothing_left
grep -o '"event":"[a-z-]*"' many/events.jsonl | sort | uniq -c
finish
