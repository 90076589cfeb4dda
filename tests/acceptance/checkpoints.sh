#!/usr/bin/env bash
# A checkpoint is read by a parser that has nothing of the program, and refused by it and by `predict` when it is damaged. A run whose disk fills up trains on,
# says so, and writes down everything when there is room again.
#
#   tests/acceptance/checkpoints.sh           every built-in optimizer; 2,000 steps on a full disk
#   tests/acceptance/checkpoints.sh --short   one optimizer; 600 steps
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
command -v python3 >/dev/null || { echo "$(basename "$0") needs python3: apt-get install python3" >&2; exit 1; }
command -v prlimit >/dev/null || { echo "$(basename "$0") needs prlimit: apt-get install util-linux" >&2; exit 1; }
build
cd "$work"
parser=$root/tests/acceptance/safetensors.py

# 1. The format.
optimizers=(sgd adam adamw) steps=2000
if $short; then optimizers=(adamw) steps=600; fi
for optimizer in "${optimizers[@]}"; do
  check "a run with $optimizer, a checkpoint every 10 steps" train "$optimizer" digits --workers 2 --set "optimizer.name=$optimizer" --set optimizer.learningRate=0.002 \
    --set optimizer.momentum=0.9 --set stop.epochs=0 --set stop.steps=60 --set evaluate.everySteps=20 --set checkpoint.everySteps=10 --set checkpoint.keep=2
  check "every checkpoint of $optimizer is well-formed, with the manifest's tensors and SHA-256" python3 "$parser" "$optimizer"/checkpoints/step-*
done
run=${optimizers[-1]}
best=$(sed -n '/"kept"/,/}/s/.*"step": \([0-9]*\).*/\1/p' "$run/checkpoints/best.json")
kept() { [ "$(cd "$run/checkpoints" && echo step-*)" = "$(printf 'step-%08d\n' 50 60 "$best" | sort -u | xargs)" ]; }
check "the newest two are kept, and the best by validation loss, which is of step $best" kept

# damaged WHAT COMMAND...: on a copy of the run, changed by the command in the folder of its newest checkpoint
damaged() {
  local what=$1
  shift
  rm -rf bad
  cp -r "$run" bad
  (cd bad/checkpoints/step-00000060 && "$@")
  check "$what: the parser refuses it" expect_failure 1 "^error: bad/checkpoints/step-00000060: " python3 "$parser" bad/checkpoints/step-00000060
  check "$what: predict refuses it" expect_failure 1 "^error: bad/checkpoints/step-00000060.*: (use|give) " "$disttrain" predict bad --count 1
}
# flip FILE OFFSET: one byte, counted from the end where negative
flip() {
  python3 -c 'import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(int(sys.argv[2]), 2 if int(sys.argv[2]) < 0 else 0); b = f.read(1)[0]; f.seek(-1, 1); f.write(bytes([b ^ 1]))' "$1" "$2"
}
damaged "a flipped bit in the data" flip model.safetensors -1001
damaged "a flipped bit in the head's length" flip model.safetensors 0
damaged "a flipped bit in the head" flip model.safetensors 20
damaged "a file cut short" truncate -s -4 model.safetensors
damaged "a file that is too long" truncate -s +4 model.safetensors
damaged "a missing file" rm model.safetensors
damaged "a missing manifest" rm manifest.json
check "the undamaged run is asked all the same" "$disttrain" predict "$run" --count 1

# 2. The full disk: the coordinator may write no file beyond 8 KiB, while it trains. Its own output goes through a pipe, which has no such limit.
full=(digits --set stop.epochs=0 --set "stop.steps=$steps" --set evaluate.everySteps=200 --set checkpoint.everySteps=20 --set failureDetection=5s)
check "an undisturbed run" train whole "${full[@]}" --workers 1
"$disttrain" coordinator "${full[@]}" --set debug.delayPerMicroBatch.0=1ms --workers 1 --listen 127.0.0.1:0 --out full --json </dev/null > >(cat >coordinator.out) 2>coordinator.err &
coordinator=$!

# comes PATTERN: within a minute, on the coordinator's output
comes() {
  local deadline=$((SECONDS + 60))
  until grep -qs -- "$1" coordinator.out; do
    [ "$SECONDS" -lt "$deadline" ] && kill -0 "$coordinator" 2>/dev/null || { tail -n 5 coordinator.out coordinator.err; return 1; }
    read -r -t 0.1 <> <(:) || true
  done
}
check "a coordinator listens" comes '"listening"'
"$disttrain" worker --coordinator "$(sed -nE 's/.*"listening":"([^"]+)".*/\1/p' coordinator.out)" --number 0 </dev/null >worker.log 2>&1 &
check "it trains" comes '"step":60,'
prlimit --pid "$coordinator" --fsize=8192:unlimited
check "a full disk is told" comes disk-full
check "a checkpoint fails, and that is told" comes checkpoint-failed
before=$(grep -c weightsHash coordinator.out)
trains_on() { comes "\"step\":$((before + 40)),"; }
check "it trains on" trains_on
lines=$(wc -l <full/metrics.jsonl)
check "its lines wait" test "$lines" -lt "$((before + 40))"
prlimit --pid "$coordinator" --fsize=unlimited:unlimited
check "there is room again, and that is told" comes disk-back
ended() { wait "$coordinator" && [ ! -s coordinator.err ]; }
check "the run is completed, exit code 0" ended
check "it lacks no line, and every hash is that of the undisturbed run" "$disttrain" verify whole full
check "both failures are in the summary" test "$(grep -c '"what": "\(disk-full\|checkpoint-failed\)"' full/summary.json)" -ge 2
check "its checkpoints are whole" python3 "$parser" full/checkpoints/step-*
check "nothing is left" nothing_left

# 3. No room for the summary: the run has failed, in a sentence.
tiny() {
  local code=0

  # The other coordinator's address must not pass for this one's: bash does not wait until the new file is begun.
  rm coordinator.out coordinator.err
  "$disttrain" coordinator digits --set stop.epochs=0 --set stop.steps=400 --set debug.delayPerMicroBatch.0=1ms --set failureDetection=2s --set evaluate.everySteps=1000 \
    --set checkpoint.everySteps=1 --workers 1 --listen 127.0.0.1:0 --out tiny --json </dev/null > >(cat >coordinator.out) 2> >(cat >coordinator.err) &
  coordinator=$!
  comes '"listening"' || return 1
  "$disttrain" worker --coordinator "$(sed -nE 's/.*"listening":"([^"]+)".*/\1/p' coordinator.out)" --number 0 </dev/null >worker.log 2>&1 &
  comes '"step":20,' || return 1
  prlimit --pid "$coordinator" --fsize=1:unlimited
  wait "$coordinator" || code=$?
  nothing_left
  cat coordinator.err
  [ "$code" -eq 1 ] && grep -Eq "summary.json cannot be written: .*: make room" coordinator.err
}
check "a run that can leave no summary says where, exit code 1" tiny
finish
