#!/usr/bin/env bash
# Growing the batch where the rate would decay (Smith et al., arXiv 1711.00489) comes to the same validation loss in fewer steps. Not a matter of time: any machine will do.
#
#   tests/acceptance/batch-growth.sh           fashion-mnist-mlp, three seeds each, 6 epochs: about 6 minutes on two quiet cores
#   tests/acceptance/batch-growth.sh --short   digits, one seed: the batches grow, and the steps become fewer
set -euo pipefail
keeps=true
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
build

# The rate is halved, or in its place the batch doubled, twice. What is asked for: at least so many percent fewer steps, and means whose difference is no larger than chance
# allows in 95 of 100 cases (Student's t with four degrees of freedom).
least_saved=30 most_t=2.776
seeds=(1 2 3)
recipe=fashion-mnist-mlp
settings=(--set batch.global=128 --set batch.micro=64 --set optimizer.learningRate=0.05 --set stop.epochs=6 --set schedule.name=step --set schedule.everyEpochs=2 --set schedule.factor=0.5
  --set schedule.warmupEpochs=0 --workers 1)
most=512
if $short; then
  seeds=(1)
  recipe=digits
  settings+=(--set batch.global=32 --set batch.micro=16 --set stop.epochs=3 --set schedule.everyEpochs=1)
  most=128
else
  need_fashion_mnist
fi
grown=(--set batch.schedule.name=decay --set batch.schedule.most=$most)

# values KIND KEY: a value of the summaries of all seeds, one a line
values() {
  local seed
  for seed in "${seeds[@]}"; do
    summary "$1$seed" "$2"
  done
}

# batches NAME: the sizes of a run's full steps, in the order in which they come
batches() {
  sed 's/.*"globalBatch":\([0-9]*\).*/\1/' "$work/$1/metrics.jsonl" | uniq -c | awk '$1 > 1 { print $2 }' | uniq | paste -sd' '
}

rates() {
  sed 's/.*"lr":\([0-9.e-]*\).*/\1/' "$work/$1/metrics.jsonl" | uniq | wc -l
}

saved() {
  echo $((100 - 100 * $(summary grown1 steps) / $(summary decayed1 steps)))
}

# distance KEY: how far the means of both kinds are apart, in standard errors of their difference
distance() {
  paste <(values decayed "$1") <(values grown "$1") | awk '
    NF != 2 || $1 + 0 <= 0 || $2 + 0 <= 0 { bad = 1 }
    { n++; a += $1; b += $2; aa += $1 * $1; bb += $2 * $2 }
    END {
      if (bad || n < 2) { print "none"; exit }
      variance = ((aa - a * a / n) + (bb - b * b / n)) / (n - 1)
      d = (a - b) / n; d = d < 0 ? -d : d
      printf "%.3f", (variance > 0 ? d / sqrt(variance / n) : 999)
    }'
}

at_most() {
  echo "$1 <= $2"
  awk -v a="$1" -v b="$2" 'BEGIN { exit !(a ~ /^[0-9.]+$/ && a + 0 <= b) }'
}

for seed in "${seeds[@]}"; do
  check "seed $seed: the rate decays" train "decayed$seed" $recipe "${settings[@]}" --set seed="$seed"
  check "seed $seed: the batch grows" train "grown$seed" $recipe "${settings[@]}" "${grown[@]}" --set seed="$seed"
done
first=$(batches decayed1)
check "the batches of a run that decays are of one size, $first, and of one that grows $(batches grown1)" test "$(batches grown1)" = "$first $((2 * first)) $((4 * first))"
check "the rate of one that decays has three values, of one that grows one" test "$(rates decayed1) $(rates grown1)" = "3 1"
check "both use the same samples: $(summary grown1 samples)" test "$(summary grown1 samples)" = "$(summary decayed1 samples)"
check "$(summary grown1 steps) steps in place of $(summary decayed1 steps) are $(saved) % fewer, at least $least_saved" test "$(saved)" -ge $least_saved
if ! $short; then
  check "validation losses, decayed $(values decayed loss | paste -sd' ') and grown $(values grown loss | paste -sd' '): means $(distance loss) standard errors apart, at most $most_t" \
    at_most "$(distance loss)" $most_t
  echo "        validation accuracies: decayed $(values decayed accuracy | paste -sd' '), grown $(values grown accuracy | paste -sd' ')"
fi
check "both are drawn over their steps" plot batch-growth "$work/decayed1" "$work/grown1" --over steps
check "no process is left" nothing_left
finish
