#!/usr/bin/env bash
# The weights after every step have the same bits on any number of workers, where nothing divides anything.
#
#   tests/acceptance/same-bits.sh           one epoch of Fashion-MNIST, a convolutional network
#   tests/acceptance/same-bits.sh --short   the same, a few steps
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fashion_mnist
build

# The recipe's epochs become one; the short form keeps the geometry and stops early.
length=(--set stop.epochs=1)
$short && length=(--set stop.epochs=0 --set stop.steps=4)
uneven=(fashion-mnist-cnn --set batch.global=1000 --set batch.micro=48 "${length[@]}")
for workers in 1 2 3 5; do
  check "batch.global=1000 batch.micro=48 trains on $workers" train "uneven-$workers" "${uneven[@]}" --workers "$workers"
done
for workers in 2 3 5; do
  check "batch.global=1000 batch.micro=48: $workers workers give the bits of 1" same uneven-1 "uneven-$workers"
done

# Two blocks a step for five workers: three of them have nothing to compute.
length=(--set stop.epochs=1)
$short && length=(--set stop.epochs=0 --set stop.steps=40)
few=(fashion-mnist-mlp --set batch.global=64 --set batch.micro=32 "${length[@]}")
check "batch.global=64 batch.micro=32 trains on 1" train few-1 "${few[@]}" --workers 1
check "batch.global=64 batch.micro=32 trains on 5" train few-5 "${few[@]}" --workers 5
check "batch.global=64 batch.micro=32: 5 workers for 2 blocks give the bits of 1" same few-1 few-5

# A global batch above the data set is one step an epoch.
large=(digits --set batch.global=5000 --set batch.micro=48 --set stop.epochs=4)
check "batch.global=5000 of 1,437 samples trains on 1" train large-1 "${large[@]}" --workers 1
check "batch.global=5000 of 1,437 samples trains on 3" train large-3 "${large[@]}" --workers 3
check "a global batch above the data set: 3 workers give the bits of 1" same large-1 large-3
check "a global batch above the data set: one step an epoch" test "$(hashes large-1 | wc -l)" -eq 4

# One slow worker.
steps=20
$short && steps=4
slow=(fashion-mnist-mlp --set batch.global=1000 --set batch.micro=48 --set stop.epochs=0 --set "stop.steps=$steps")
check "workers of equal speed" train equal-3 "${slow[@]}" --workers 3
check "one worker of three is slow" train slow-3 "${slow[@]}" --workers 3 --set debug.delayPerMicroBatch.1=20ms
check "workers of unequal speed give the same bits" same equal-3 slow-3

# The control: a sum per worker first, as others do it, must be seen.
wrong=(fashion-mnist-mlp --set batch.global=1000 --set batch.micro=48 --set stop.epochs=0 --set stop.steps=3 --set debug.foldPerWorker=true)
check "control: folding per worker first on 2" train wrong-2 "${wrong[@]}" --workers 2
check "control: folding per worker first on 3" train wrong-3 "${wrong[@]}" --workers 3
check "control: folding per worker first gives other bits" differ wrong-2 wrong-3
check "no process is left" nothing_left
finish
