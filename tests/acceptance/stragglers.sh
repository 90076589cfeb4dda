#!/usr/bin/env bash
# A slow worker does not hold the others up: blocks move to the faster one two steps after the first measurement, two workers of which one has a third
# of the speed are together at least 0.9 times as fast as each for itself, added up, and the bits are those of a single worker.
#
#   tests/acceptance/stragglers.sh           both of the parts below, 5 rounds each; the second wants two cores for itself
#   tests/acceptance/stragglers.sh --short   3 rounds of the first
#
# Paced: a small model whose workers pause after every micro-batch, the one for 20 ms, the other three times as long with what it computes. They take next to no
# processor, so a machine that is busy with other things changes little, and the three runs of a round go side by side.
# Unpaced: a model that is bound by computing. The fast worker does not pause, and the runs of a round go one after the other.
#
# Ratios are taken within a round, and their median counts. The speed of a run is that of its median step, without the first ones, which warm up and measure.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fashion_mnist
build

rounds=5
if $short; then rounds=3; fi
steps=24 skip=6 batch=1024 blocks=32

# middle FILE KEY: the median of a number over the lines of a file whose step is a steady one
middle() {
  sed -n "s/.*\"step\":\([0-9]*\),.*\"$2\":\([0-9.]*\).*/\1 \2/p" "$1" | awk -v skip=$skip '$1 > skip { print $2 }' | median
}

median() { sort -n | awk '{ v[NR] = $1 } END { if (NR == 0) exit 1; print v[int((NR + 1) / 2)] }'; }

speed() { middle "$work/$1/metrics.jsonl" samplesPerSecond; }

# computed NAME STEP: the blocks that rank 0 and rank 1 computed
computed() {
  sed -n "s/.*\"step\":$2,\"kind\":\"train\",.*\"rank\":\([01]\),\"blocks\":\([0-9]*\).*/\1 \2/p" "$work/$1/workers.jsonl" | sort -n | cut -d ' ' -f 2 | tr '\n' ' '
}

at_least() { awk -v value="$1" -v least="$2" 'BEGIN { print value " against " least; exit !(value >= least) }'; }

# Step 1 is warm-up, step 2 is measured: step 4 is the first that can be planned by it. The slow worker, rank 0, would have a quarter of the blocks at best.
moved() {
  local before after
  read -r -a before <<<"$(computed "$1" 2)"
  read -r -a after <<<"$(computed "$1" 4)"
  echo "step 2: ${before[*]} blocks; step 4: ${after[*]}"
  [ "${before[0]}" -eq $((blocks / 2)) ] && [ "${after[0]}" -lt $((blocks * 2 / 5)) ] && [ $((after[0] + after[1])) -eq $blocks ]
}

# part TITLE PACE SIDE_BY_SIDE RECIPE: PACE is the pause of the fast worker in milliseconds
part() {
  local title=$1 pace=$2 beside=$3 run i name pid pids names=(fast slow both) ratios=() ratio compute pause
  run=("$4" --set batch.global=$batch --set batch.micro=$((batch / blocks)) --set stop.epochs=0 --set stop.steps=$steps --set evaluate.everyEpochs=0
    --set checkpoint.everySteps=0)
  rm -rf "$work/one"
  check "$title: a run of one worker" train one "${run[@]}" --workers 1
  compute=$(awk -v ms="$(middle "$work/one/workers.jsonl" computeMs)" -v blocks=$blocks 'BEGIN { printf "%.2f", ms / blocks }')
  pause=$(awk -v c="$compute" -v pace="$pace" 'BEGIN { printf "%.2f", 3 * pace + 2 * c }')
  echo "a micro-batch takes $compute ms; the fast worker pauses for $pace ms after each, the slow one for $pause ms"
  printf '%-6s %10s %10s %10s %8s\n' round fast slow both ratio
  for ((i = 1; i <= rounds; i++)); do
    pids=()
    for name in "${names[@]}"; do
      rm -rf "${work:?}/$name"
      train_as "$name" >"$work/$name.log" 2>&1 &
      pid=$!
      if $beside; then pids+=("$pid"); else wait "$pid" || { cat "$work/$name.log"; exit 1; }; fi
    done
    for pid in "${pids[@]}"; do wait "$pid" || { cat "$work"/{fast,slow,both}.log; exit 1; }; done
    ratios+=("$(awk -v f="$(speed fast)" -v s="$(speed slow)" -v b="$(speed both)" 'BEGIN { printf "%.3f", b / (f + s) }')")
    printf '%-6s %10.0f %10.0f %10.0f %8s\n' "$i" "$(speed fast)" "$(speed slow)" "$(speed both)" "${ratios[-1]}"
    check "$title, round $i: blocks have moved two steps after the first measurement" moved both
    check "$title, round $i: every step has the hash of a single worker's" same one both
  done
  ratio=$(printf '%s\n' "${ratios[@]}" | median)
  check "$title: together at least 0.9 of the sum of both speeds: $ratio" at_least "$ratio" 0.9
}

# train_as NAME: one of the three runs of a round. The slow worker alone needs fewer steps.
train_as() {
  case $1 in
    fast) train fast "${run[@]}" --workers 1 --set "debug.delayPerMicroBatch.0=${pace}ms" ;;
    slow) train slow "${run[@]}" --workers 1 --set "debug.delayPerMicroBatch.0=${pause}ms" --set stop.steps=$((skip + 6)) ;;
    both) train both "${run[@]}" --workers 2 --set "debug.delayPerMicroBatch.0=${pause}ms" --set "debug.delayPerMicroBatch.1=${pace}ms" ;;
  esac
}

part paced 20 true fashion-mnist-mlp
if ! $short; then part unpaced 0 false fashion-mnist-cnn; fi
check "no process is left" nothing_left
finish
