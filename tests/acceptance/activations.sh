#!/usr/bin/env bash
# Deep models whose activations are computed again in the backward pass: a worker's peak falls by what is stated, the weights keep their bits on any number of
# workers, and what it costs in time is told.
#
#   tests/acceptance/activations.sh           gpt of 24 blocks, and a model of one's own of 64, 8 micro-batches each
#   tests/acceptance/activations.sh --short   the same, 2 micro-batches each
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
build
own=$root/artifacts/bin/GeneratedData/release/GeneratedData
built_in=$disttrain
dotnet build -c Release "$root/tests/samples/GeneratedData" >"$work/build.log" 2>&1 </dev/null || { cat "$work/build.log"; exit 1; }

batches=8
$short && batches=2
gpt=(gpt-bytes --set model.layers=24 --set model.dropout=0.1 --set batch.micro=16 --set "batch.global=$((16 * batches))")
deep=("$root/tests/samples/GeneratedData/generated.yaml" --set model.hidden=128 --set model.depth=64 --set batch.micro=2048 --set "batch.global=$((2048 * batches))")

# megabytes and milliseconds of a worker's run: its peak, and what it computed a step
peak() { summary "$1" worker; }
compute() { sed -n 's/.*"computeMs":\([0-9.]*\).*/\1/p' "$work/$1/workers.jsonl" | awk '{ sum += $1; n++ } END { printf "%.0f", sum / n }'; }

# falls A B PERCENT: the peak of B is at most PERCENT of A's
falls() {
  echo "$(peak "$1") and $(peak "$2") bytes"
  [ "$(peak "$1")" -gt 0 ] && [ "$(peak "$2")" -gt 0 ] && [ $((100 * $(peak "$2"))) -le $(($3 * $(peak "$1"))) ]
}

# show NAME SEGMENTS...: a table of the runs NAME-0, NAME-SEGMENTS ...
show() {
  local name=$1 segments
  shift
  echo "$name  segments  peak MB  compute ms a step"
  for segments in "$@"; do
    printf '%*s  %8d  %7d  %17s\n' ${#name} '' "$segments" $(($(peak "$name-$segments") / 1000000)) "$(compute "$name-$segments")"
  done
}

length=(--set stop.epochs=0 --set stop.steps=2)
for segments in 0 4 12 24; do
  check "gpt of 24 blocks trains in $segments segments" train "gpt-$segments" "${gpt[@]}" "${length[@]}" --workers 1 --set "activationCheckpointing=$segments"
done
show gpt 0 4 12 24
for segments in 4 12 24; do
  check "gpt: $segments segments give the bits of none" same gpt-0 "gpt-$segments"
done
check "gpt: the peak in 12 segments is at most 55 %" falls gpt-0 gpt-12 55
check "gpt trains on 3 workers in 12 segments" train gpt-3w "${gpt[@]}" "${length[@]}" --workers 3 --set activationCheckpointing=12
check "gpt: 3 workers in 12 segments give the bits of 1 without" same gpt-0 gpt-3w

disttrain=$own
for segments in 0 8; do
  check "a model of one's own trains in $segments segments" train "own-$segments" "${deep[@]}" "${length[@]}" --workers 1 --set "activationCheckpointing=$segments"
done
show own 0 8
check "a model of one's own: 8 segments give the bits of none" same own-0 own-8
check "a model of one's own: the peak in 8 segments is at most 70 %" falls own-0 own-8 70
check "a model of one's own trains on 2 workers in 8 segments" train own-2w "${deep[@]}" "${length[@]}" --workers 2 --set activationCheckpointing=8
check "a model of one's own: 2 workers in 8 segments give the bits of 1 without" same own-0 own-2w
check "no process is left" nothing_left
disttrain=$built_in
check "no process is left of the program's" nothing_left
finish
