#!/usr/bin/env bash
# The figures of src/DistTrain.Core/README.md are drawn by the program's own verbs: sweep, plan, tune and plot. Here is how, and that the README shows each of them.
#
#   tests/acceptance/figures.sh           the runs and measurements as in the README; DISTTRAIN_WRITE_FIGURES=1 writes their figures anew
#   tests/acceptance/figures.sh --short   the same commands with fewer and shorter runs
#
# With DISTTRAIN_KEEP=FOLDER the runs stay there, and the same command draws the figures anew without training them again; speed and memory of tune are measured each time.
# Speed and memory are those of the machine. The figures of large-batch.sh and batch-growth.sh are written anew by these two, with the same variable.
set -euo pipefail
keeps=true
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
$short || need_fashion_mnist
build

readme=$root/src/DistTrain.Core/README.md
recipe=fashion-mnist-cnn batches=16,32,64,128,256,512 noisy=(fashion-mnist-mlp --set batch.global=64 --set batch.micro=8 --set stop.epochs=5 --set optimizer.learningRate=0.05)
few=(--rates 0.25x,0.5x,1x,2x,4x)
if $short; then
  recipe=digits batches=32,256 noisy=(digits --set batch.global=64 --set batch.micro=4 --set stop.epochs=4)
  few=(--rates 1x --samples 6000)
fi

# shown: every figure that the README shows is there, and every one that is there is shown
shown() {
  diff <(grep -o '(figures/[^)]*\.svg)' "$readme" | tr -d '()' | sort -u) <(cd "$root/src/DistTrain.Core" && find figures -name '*.svg' | sort)
}

# taken FROM NAME: a picture of a sweep becomes a figure
taken() {
  cp "$work/sweep/$1.svg" "$figures/$2.svg" && picture "$2"
}

# What is added to a sweep is all that is trained.
sweep() { "$disttrain" sweep digits --batches $batches "${few[@]}" --out "$work/sweep" "$@" </dev/null; }
check "a sweep of SGD" sweep
check "its best rates" taken rates sweep-rates
check "its speed" taken cost sweep-cost
# Its usual rate, 0.001, is far below what suits these data: what is tried is around eight times of it.
check "AdamW is added" sweep --optimizers sgd,adamw=0.008
check "steps of both" taken steps sweep-steps
check "samples of both" taken samples sweep-samples
cat "$work/sweep/sweep.csv"

check "a run that measures its noise scale" train noise "${noisy[@]}" --set batch.noiseScale=true --workers 1
check "the noise scale over the run" plot noise-scale "$work/noise" --value noiseScale --log

plan() {
  "$disttrain" plan $recipe --set batch.schedule.name=stages --set "batch.schedule.stages.2 epochs=1024" --set "batch.schedule.stages.4 epochs=2048" \
    --set schedule.scaling=linear --plot "$figures/plan.svg"
}
check "rate and batch of a run whose batch grows" plan
check "as a picture" picture plan

check "speed and memory over the micro-batch" "$disttrain" tune $recipe --workers 1 --plot "$figures/tune.svg"
check "as a picture" picture tune

check "the README shows each figure, and all of them are there" shown
check "no process is left" nothing_left
finish
