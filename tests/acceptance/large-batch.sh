#!/usr/bin/env bash
# A batch 16 times as large learns as well in as many epochs where the rate follows it, and visibly worse where it does not: SGD by the linear rule with warm-up, AdamW by the
# root rule. The convolutional network of fashion-mnist-cnn, on images of half the sides, which takes a fifth of the time.
#
#   tests/acceptance/large-batch.sh           six runs of 30 epochs, one worker each, two at a time: the table in src/DistTrain.Core/README.md
#   tests/acceptance/large-batch.sh --short   the digits, 20 epochs: the rates that are written down are the rule's, and with them the loss is lower
#
# How busy the machine is does not change the bits, so it does not change what is asked for.
set -euo pipefail
keeps=true
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
$short || need_fashion_mnist
$short || command -v python3 >/dev/null || { echo "$(basename "$0") needs python3: apt-get install python3" >&2; exit 1; }
build

# In points of accuracy: how far the scaled run may be behind, and how far the other has to be.
most_gap=0.7 least_gap=2.0

# compare A OPERATOR B: of two numbers; what is none, awk would compare as text
compare() {
  echo "$1 $2 $3"
  grep -Eqx -- '-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?' <<<"$1" && awk -v a="$1" -v b="$3" "BEGIN { exit !(a $2 b) }"
}

# behind A B: by how many points of accuracy run B is behind run A
behind() { awk -v a="$(summary "$1" accuracy)" -v b="$(summary "$2" accuracy)" 'BEGIN { if (a == "" || b == "") exit 1; printf "%.2f\n", 100 * (a - b) }'; }

# rate NAME STEP: the rate of a step, as it is written down
rate() { sed -n "s/^{\"step\":$2,.*\"lr\":\([-+0-9.eE]*\),.*/\1/p" "$work/$1/metrics.jsonl"; }

# both: what was started in the background has ended well
both() {
  local child result=0
  for child in $(jobs -p); do wait "$child" || result=1; done
  [ $result -eq 0 ] || cat "$work"/*.log
  return $result
}

# run NAME RECIPE SETTINGS...: in the background
run() {
  local name=$1 recipe=$2
  shift 2
  local settings=()
  for setting in "$@"; do settings+=(--set "$setting"); done
  train "$name" "$recipe" --workers 1 "${settings[@]}" >"$work/$name.log" 2>&1 &
}

mistake() { expect_failure 2 "$1" "$disttrain" plan digits "${@:2}"; }
check "AdamW's betas that cannot follow a batch are refused, with what would do" mistake 'optimizer\.beta1.*raise it above 0\.9375' \
  --set optimizer.name=adamw --set batch.global=2048 --set schedule.scaling=sqrt --set schedule.referenceBatch=128
check "so is a reference without a rule" mistake 'schedule\.referenceBatch.*schedule\.scaling' --set schedule.referenceBatch=128

if $short; then
  # 1,437 images: 23 steps an epoch of 64, 2 of 1,024.
  common=(stop.epochs=20 batch.micro=64 optimizer.learningRate=0.02 schedule.name=constant)
  run large digits "${common[@]}" batch.global=1024 schedule.scaling=linear schedule.referenceBatch=64 clip.globalNorm=1
  run unscaled digits "${common[@]}" batch.global=1024 clip.globalNorm=1
  check "the digits train with 1,024 samples a step, scaled and not" both
  check "the rate in the second step's warm-up is 16 times the schedule's" compare "$(rate large 2)" "==" "$(awk "BEGIN { print 16 * $(rate unscaled 2) }")"
  check "after warm-up it is 0.32" compare "$(rate large 30)" "==" 0.32
  check "control: 0.02 without the rule" compare "$(rate unscaled 30)" "==" 0.02
  check "the scaled run's loss, $(summary large loss), is lower than the other's, $(summary unscaled loss)" compare "$(summary large loss)" "<" "$(summary unscaled loss)"
  check "plot draws both" plot large-batch "$work/large" "$work/unscaled" --value validation.accuracy --range 0..1
  check "no process is left" nothing_left
  finish
  exit
fi

mkdir -p "$work/images"
python3 "$root/tests/acceptance/halve-images.py" /usr/share/datasets/fashion-mnist "$work/images"
common=(data.name=idx "data.path=$work/images" batch.micro=128 checkpoint.everySteps=0 evaluate.everyEpochs=3 schedule.warmupEpochs=3 stop.epochs=30)
large=(batch.global=2048 schedule.referenceBatch=128)
sgd=(optimizer.learningRate=0.04)
adamw=(optimizer.name=adamw optimizer.learningRate=0.001 optimizer.beta1=0.98 optimizer.weightDecay=0.01)

run adamw fashion-mnist-cnn "${common[@]}" "${adamw[@]}" batch.global=128
run adamw-sqrt fashion-mnist-cnn "${common[@]}" "${adamw[@]}" "${large[@]}" schedule.scaling=sqrt
check "AdamW trains with 128 and with 2,048 samples a step" both
run sgd fashion-mnist-cnn "${common[@]}" "${sgd[@]}" batch.global=128
run sgd-linear fashion-mnist-cnn "${common[@]}" "${sgd[@]}" "${large[@]}" schedule.scaling=linear
check "SGD trains with 128 and with 2,048 samples a step" both
run sgd-none fashion-mnist-cnn "${common[@]}" "${sgd[@]}" batch.global=2048
run adamw-none fashion-mnist-cnn "${common[@]}" "${adamw[@]}" batch.global=2048
check "both train with 2,048 at the rate of 128" both

printf '        %-12s %9s %9s\n' run accuracy loss
for name in sgd sgd-linear sgd-none adamw adamw-sqrt adamw-none; do
  printf '        %-12s %9s %9.4f\n' $name "$(summary $name accuracy)" "$(summary $name loss)"
done
for rule in sgd-linear adamw-sqrt; do
  small=${rule%-*}
  check "$rule is behind $small by $(behind $small $rule) points, at most $most_gap" compare "$(behind $small $rule)" "<=" $most_gap
  check "without the rule $small is behind by $(behind $small $small-none), at least $least_gap" compare "$(behind $small $small-none)" ">=" $least_gap
  check "$small is drawn" plot "large-batch-$small" "$work/$small" "$work/$rule" "$work/$small-none" --value validation.accuracy --range 0.82..0.92
done
check "no process is left" nothing_left
finish
