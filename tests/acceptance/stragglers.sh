#!/usr/bin/env bash
# A slow worker does not hold the others up: blocks move to the faster one within two steps of the first measurement, two workers of which one has a third
# of the speed are together at least 0.9 times as fast as each for itself, added up, and the bits are those of a single worker.
#
#   tests/acceptance/stragglers.sh           7 rounds of 30 steps
#   tests/acceptance/stragglers.sh --short   3 rounds of 18 steps
#
# Each round measures the fast worker alone, the slow one alone, and both together, one after the other; ratios are taken within a round and their median counts, as
# the machine may be busier in one round than in another. The speed of a run is that of its median step, without the first ones: they warm up and measure.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fashion_mnist
build

rounds=7 steps=30
if $short; then rounds=3 steps=18; fi
skip=6 batch=1024
run=(fashion-mnist-cnn --set batch.global=$batch --set batch.micro=32 --set stop.epochs=0 --set "stop.steps=$steps" --set evaluate.everyEpochs=0
  --set checkpoint.everySteps=0)

# speed NAME: samples per second of the median steady step
speed() {
  sed -n 's/.*"step":\([0-9]*\),.*"stepMs":\([0-9.]*\).*/\1 \2/p' "$work/$1/metrics.jsonl" \
    | awk -v skip=$skip '$1 > skip { print $2 }' | sort -n | awk -v batch=$batch '{ v[NR] = $1 } END { if (NR == 0) exit 1; print 1000 * batch / v[int((NR + 1) / 2)] }'
}

# compute NAME: milliseconds of computing of one worker's median step
compute() {
  sed -n 's/.*"step":\([0-9]*\),"kind":"train",.*"computeMs":\([0-9.]*\).*/\1 \2/p' "$work/$1/workers.jsonl" \
    | awk -v skip=$skip '$1 > skip { print $2 }' | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

# blocks NAME STEP: the blocks that rank 0 and rank 1 computed
blocks() {
  sed -n "s/.*\"step\":$2,\"kind\":\"train\",.*\"rank\":\([01]\),\"blocks\":\([0-9]*\).*/\1 \2/p" "$work/$1/workers.jsonl" | sort -n | cut -d ' ' -f 2 | tr '\n' ' '
}

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

at_least() { awk -v value="$1" -v least="$2" 'BEGIN { print value " against " least; exit !(value >= least) }'; }

# Step 1 is warm-up, step 2 is measured: step 4 is the first that can be planned by it.
moved() {
  local before after
  read -r -a before <<<"$(blocks "$1" 2)"
  read -r -a after <<<"$(blocks "$1" 4)"
  echo "step 2: ${before[*]} blocks; step 4: ${after[*]}"
  [ "${before[0]}" -eq 16 ] && [ "${after[0]}" -lt 13 ] && [ $((after[0] + after[1])) -eq 32 ]
}

# A worker with a third of the speed pauses twice as long after a micro-batch as it computes.
check "a run of one worker" train one "${run[@]}" --workers 1
delay=$(awk -v ms="$(compute one)" 'BEGIN { printf "%.1f", 2 * ms / 32 }')
echo "a micro-batch takes $(awk -v d="$delay" 'BEGIN { print d / 2 }') ms; the slow worker pauses for $delay ms after each"
slow=(--set "debug.delayPerMicroBatch.0=${delay}ms")

ratios=()
printf '%-6s %10s %10s %10s %8s\n' round fast slow both ratio
for ((i = 1; i <= rounds; i++)); do
  for name in fast slow both; do
    rm -rf "${work:?}/$name"
    case $name in
      fast) arguments=(--workers 1) ;;
      slow) arguments=(--workers 1 "${slow[@]}" --set stop.steps=$((skip + 6))) ;;
      both) arguments=(--workers 2 "${slow[@]}") ;;
    esac
    train "$name" "${run[@]}" "${arguments[@]}" >"$work/$name.log" 2>&1 || { cat "$work/$name.log"; exit 1; }
  done
  ratios+=("$(awk -v f="$(speed fast)" -v s="$(speed slow)" -v b="$(speed both)" 'BEGIN { printf "%.3f", b / (f + s) }')")
  printf '%-6s %10.0f %10.0f %10.0f %8s\n' "$i" "$(speed fast)" "$(speed slow)" "$(speed both)" "${ratios[-1]}"
  check "round $i: blocks have moved two steps after the first measurement" moved both
  check "round $i: every step has the hash of a single worker's" same one both
done

ratio=$(printf '%s\n' "${ratios[@]}" | median)
check "together at least 0.9 of the sum of both speeds: $ratio" at_least "$ratio" 0.9
check "no process is left" nothing_left
finish
