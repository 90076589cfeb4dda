#!/usr/bin/env bash
# What plan --measure predicts comes to pass: the time of a step within 15 %, and the peak memory of a worker within 10 %, with 1 and 2 workers.
#
#   tests/acceptance/predictions.sh           a multilayer perceptron, a convolutional network and a GPT, 5 rounds each
#   tests/acceptance/predictions.sh --short   the convolutional network of the digits, 3 rounds; with its time not looked at, for busy machines
#
# A round is one prediction and then one run of each number of workers, of as many steps as pass for steady. Ratios are taken within a round, and their
# median counts: it wants two cores for itself, but what is busy for all of a round at a time falsifies less.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
build

rounds=5 skip=10
if $short; then rounds=3; else need_fashion_mnist; fi

# The measuring runs have their own limits.
plan_of() { "$disttrain" plan "$1" --measure --json </dev/null 2>"$work/plan.err" >"$work/plan.json" || { cat "$work/plan.err" >&2; return 1; }; }

# predicted WORKERS KEY: a number of the prediction for so many workers; total is that of the memory
predicted() { grep -o "{\"workers\":$1,[^{]*{[^}]*}" "$work/plan.json" | sed -n "s/.*\"$2\":\([-+0-9.eE]*\).*/\1/p"; }

# middle FILE KEY: the median of a number over the lines of a file whose step is a steady one
middle() { sed -n "s/.*\"step\":\([0-9]*\),.*\"$2\":\([0-9.]*\).*/\1 \2/p" "$1" | awk -v skip=$skip '$1 > skip { print $2 }' | median; }

median() { sort -n | awk '{ v[NR] = $1 } END { if (NR == 0) exit 1; print v[int((NR + 1) / 2)] }'; }

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (!(a > 0 && b > 0)) exit 1; printf "%.3f\n", a / b }'; }

# within RATIO PART: whether something is as large as something else to a part of it
within() { awk -v r="$1" -v part="$2" 'BEGIN { print "predicted is " r " of measured"; exit !(r >= 1 - part && r <= 1 + part) }'; }

# part RECIPE STEPS: STEPS beyond the first ones are timed
part() {
  local recipe=$1 steps=$(($2 + skip)) i n run measured times=() peaks=()
  printf '%-20s %5s %7s %12s %12s %7s %12s %12s %7s\n' model round workers predicted-ms measured-ms ratio predicted-MB measured-MB ratio
  : >"$work/ratios"
  for ((i = 1; i <= rounds; i++)); do
    plan_of "$recipe" || exit 1
    for n in 1 2; do
      run=$recipe-$n
      rm -rf "${work:?}/$run"
      train "$run" "$recipe" --workers $n --set stop.epochs=0 --set stop.steps=$steps --set evaluate.everyEpochs=0 >"$work/$run.log" 2>&1 || { cat "$work/$run.log"; exit 1; }
      times=("$(awk -v s="$(predicted $n stepSeconds)" 'BEGIN { print s * 1000 }')" "$(middle "$work/$run/metrics.jsonl" stepMs)")
      peaks=("$(predicted $n total)" "$(summary "$run" worker)")
      echo "$n $(ratio "${times[@]}") $(ratio "${peaks[@]}")" >>"$work/ratios"
      printf '%-20s %5d %7d %12.1f %12.1f %7s %12.1f %12.1f %7s\n' "$recipe" "$i" "$n" "${times[@]}" "$(ratio "${times[@]}")" \
        "$(megabytes "${peaks[0]}")" "$(megabytes "${peaks[1]}")" "$(ratio "${peaks[@]}")"
    done
  done
  for n in 1 2; do
    measured=$(awk -v n=$n '$1 == n { print $2 }' "$work/ratios" | median)
    $short || check "$recipe, $n worker(s): the time of a step is predicted to 15 %: $measured" within "$measured" 0.15
    measured=$(awk -v n=$n '$1 == n { print $3 }' "$work/ratios" | median)
    check "$recipe, $n worker(s): the peak memory of a worker is predicted to 10 %: $measured" within "$measured" 0.10
  done
}

megabytes() { awk -v b="$1" 'BEGIN { print b / 1e6 }'; }

out_of_bounds() { ! within 0.84 0.15 && ! within 1.11 0.10 && within 1.14 0.15; }

check "control: what is out of bounds is seen" out_of_bounds
if $short; then
  part digits 40
else
  part fashion-mnist-mlp 150
  part fashion-mnist-cnn 20
  part gpt-bytes 30
fi
check "no process is left" nothing_left
finish
