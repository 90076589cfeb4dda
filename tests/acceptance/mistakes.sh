#!/usr/bin/env bash
# Every mistake is told in a sentence, at once, and leaves nothing behind: exit code 2 for a configuration, 1 for data, ports and strangers.
#
#   tests/acceptance/mistakes.sh           all
#   tests/acceptance/mistakes.sh --short   without the worker of another version, which is built for it
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fashion_mnist
build
cd "$work"

# All mistakes of all layers in one go, each with key, value and remedy.
cat >wrong.yaml <<'YAML'
task: image-classification
model: { name: cnn, dropout: 1.5 }
data: { name: digits, paht: here }
batch: { global: 0, micro: many }
optimizer: { name: adamm, momentum: 2 }
stop: { epochs: 0 }
seed: -1
YAML
check "twelve mistakes in file, environment and command line: exit code 2" \
  expect_failure 2 "batch.global is '0' \(wrong.yaml, line 4\): must be between 1 and " \
  env DISTTRAIN__THREADS=none "$disttrain" train wrong.yaml --out "$work/wrong" --workers 0 --set clip.globalNrom=1 --set nonsense
check "all twelve are reported" test "$(grep -c '^error: ' error.log)" -eq 12
for part in "model.dropout is '1.5' .*must be between 0 and 0.95" "data.paht is 'here' .*the nearest is data.path" "batch.micro is 'many' .*must be a whole number between 1 and" \
  "optimizer.name is 'adamm' .*must be sgd" "optimizer.momentum is '2' .*must be between 0 and 0.99999" "seed is '-1' .*0 or more" \
  "stop is not set: set one of stop.epochs, stop.steps or stop.samples" "workers is '0' \(--workers\): must be between 1 and 4096" \
  "threads is 'none' \(environment variable DISTTRAIN__THREADS\)" "clip.globalNrom is '1' \(--set\).*the nearest is clip.globalNorm" "--set 'nonsense': must be KEY=VALUE"; do
  check "it says: $part" grep -Eq -- "$part" error.log
done
check "a wrong configuration makes no folder" test ! -e "$work/wrong"

# Contradictions in how workers get the data.
check "an address that is none, half a hash, and a path beside it: exit code 2" \
  expect_failure 2 "data.url is 'ftp://host/x' \(--set\): must be an address that begins with http:// or https://; for a file or folder set data.path" \
  "$disttrain" plan fashion-mnist-mlp --set data.url=ftp://host/x --set data.sha256=12 --set data.path=here --set data.stream=perhaps
for part in "data.sha256 is '12' .*must be the 64 hexadecimal digits" "data.path is '.*/here' .*data.url says where the data lie, too; keep one" "data.stream is 'perhaps' .*must be true or false"; do
  check "it says: $part" grep -Eq -- "$part" error.log
done
check "an address without a hash" expect_failure 2 "data.sha256 is not set: set it to what sha256sum prints" "$disttrain" plan fashion-mnist-mlp --set data.url=http://host/x
check "data that nobody can be given" expect_failure 2 "data.stream is 'true' \(--set\): has no effect with data.name digits" "$disttrain" train digits --set data.stream=true --out "$work/wrong"

# Data.
source=/usr/share/datasets/fashion-mnist
broken() {
  mkdir -p "$1"
  cp "$source"/*.gz "$1"
}
three=(fashion-mnist-mlp --set stop.epochs=0 --set stop.steps=3)
broken cut && truncate -s 10000000 cut/train-images-idx3-ubyte.gz
check "a truncated data file" expect_failure 1 "^error: Worker [01] cannot go on: /.*/cut/train-images-idx3-ubyte.gz is cut off, .*fetch it again" \
  "$disttrain" train "${three[@]}" --set data.path=cut --out run-cut
broken corrupt && printf 'no idx at all' | dd of=corrupt/train-images-idx3-ubyte.gz bs=1 seek=5000000 conv=notrunc status=none
check "a corrupt data file" expect_failure 1 "corrupt/train-images-idx3-ubyte.gz .*damaged.*fetch it again" \
  "$disttrain" train "${three[@]}" --set data.path=corrupt --out run-corrupt
broken lacking && rm lacking/t10k-labels-idx1-ubyte.gz
check "a missing data file" expect_failure 1 "lacking holds no t10k-labels-idx1-ubyte .*put the four files" \
  "$disttrain" train "${three[@]}" --set data.path=lacking --out run-lacking
check "a missing data folder" expect_failure 1 "nowhere does not exist: put the four files .* or change data.path" \
  "$disttrain" train "${three[@]}" --set data.path=nowhere --out run-nowhere

# The run's folder.
mkdir full && echo mine >full/precious
check "a folder that is not empty" expect_failure 2 "--out 'full' exists and is not empty: name a new folder" "$disttrain" train --out full
check "a file instead of a folder" expect_failure 2 "--out 'wrong.yaml' is a file" "$disttrain" train --out wrong.yaml
check "a folder that cannot be made" expect_failure 2 "/proc/nowhere cannot be made" "$disttrain" train --out /proc/nowhere
check "what was there is untouched" test "$(cat full/precious) $(find full -type f | wc -l)" = "mine 1"

# A coordinator that waits for two workers, for everything below.
mkfifo first
"$disttrain" coordinator "${three[@]}" --workers 2 --listen 127.0.0.1:0 --out owner --json </dev/null >first 2>owner.err &
owner=$!
exec 3<first
read -r -t 60 line <&3
address=$(sed -n 's/.*"listening":"\([^"]*\)".*/\1/p' <<<"$line")
port=${address##*:}
cat <&3 >owner.out &
exec 3<&-
"$disttrain" worker --coordinator "$address" </dev/null >worker.out 2>worker.err &
member=$!

refused() {
  local pattern=$1 code=0
  shift
  timeout 120 "$@" </dev/null >out.log 2>error.log || code=$?
  cat out.log error.log
  [ "$code" -eq 1 ] && [ "$(grep -c '^error: ' error.log)" -eq 1 ] && grep -Eq -- "$pattern" error.log && kill -0 "$owner"
}
check "an occupied port, coordinator" refused "^error: 127.0.0.1:$port is in use by another program" \
  "$disttrain" coordinator --listen "127.0.0.1:$port" --out busy
check "no run began, no folder is left" test ! -e busy
check "an occupied port, launcher" refused "^error: Coordinator ended before it listened: 127.0.0.1:$port is in use by another program" \
  "$disttrain" train --port "$port" --out busy-train
check "a worker of another configuration" refused "refused this worker. It was given another configuration than this run's: start it without one" \
  "$disttrain" worker --coordinator "$address" "${three[@]}" --set seed=2
mkdir swapped
for file in images-idx3 labels-idx1; do
  cp "$source/t10k-$file-ubyte.gz" "swapped/train-$file-ubyte.gz"
  cp "$source/train-$file-ubyte.gz" "swapped/t10k-$file-ubyte.gz"
done
check "a worker of other data" refused "refused this worker. Its data differ from the run's .*give it the same files" \
  "$disttrain" worker --coordinator "$address" --data swapped
if ! $short; then
  dotnet build -c Release "$root/src/DistTrain.Cli" -p:Version=0.0.9 --artifacts-path "$work/old" >build.log 2>&1 </dev/null || cat build.log
  check "a worker of another version" refused "refused this worker. It is version 0.0.9, this coordinator is .*: install the same version on both" \
    "$work/old/bin/DistTrain.Cli/release/disttrain" worker --coordinator "$address"
fi
check "a worker without a coordinator" refused "was not reached within 1s \(Connection refused.*see that it runs" \
  "$disttrain" worker --coordinator http://127.0.0.1:1 --wait 1s

# After all that, the run is completed by a second worker that fits.
check "the run is completed after all" "$disttrain" worker --coordinator "$address"
check "the coordinator ends with 0" wait "$owner"
check "its first worker ends with 0" wait "$member"
check "three steps were done" test "$(wc -l <owner/metrics.jsonl)" -eq 3
check "no process is left, no file half-written" nothing_left
finish
