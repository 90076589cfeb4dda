#!/usr/bin/env bash
# batch.micro: auto in a control group. A model of 25 million parameters, whose activations are megabytes a sample, is given memory that micro-batches of 64 exceed: the workers find a size
# below, the run trains an effective batch of 8,192 within the limit, and what a worker takes is what was predicted.
#
#   tests/acceptance/micro-auto.sh           1 and 2 workers, 2 steps of 8,192, and the same bits where the size is told
#   tests/acceptance/micro-auto.sh --short   1 worker, 1 step of 2,048
#
# Needs the right to make a control group with a memory limit: version 1 or 2.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
dotnet build -c Release "$root/tests/samples/GeneratedData" >"$work/build.log" 2>&1 </dev/null || { cat "$work/build.log"; exit 1; }
disttrain=$root/artifacts/bin/GeneratedData/release/GeneratedData

# 250 MB of program, and vectors of 100 MB: weights, momentum, 4 nodes of 8 blocks, 2 for the exchange, 2 for a checkpoint. Then some 14 MB for every sample of a micro-batch.
model=("$root/tests/samples/GeneratedData/generated.yaml" --set model.name=maps --set model.hidden=381 --set batch.blocks=8)
batch=8192
if $short; then batch=2048; fi
group=

# A control group below this process's own: where the kernel has version 1 for memory, there; else in version 2.
make_group() {
  local name=disttrain-$DISTTRAIN_ACCEPTANCE_MARK path
  if path=$(sed -n 's/^[0-9]*:\([^:]*,\)\{0,1\}memory\(,[^:]*\)\{0,1\}://p' /proc/self/cgroup) && [ -n "$path" ]; then
    group=/sys/fs/cgroup/memory/$name limit_file=memory.limit_in_bytes peak_file=memory.max_usage_in_bytes
  else
    group=/sys/fs/cgroup/$name limit_file=memory.max peak_file=memory.peak
    echo +memory >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || true
  fi
  mkdir "$group" && [ -w "$group/$limit_file" ] || { echo "$(basename "$0") needs the right to limit the memory of a control group: run it as root." >&2; exit 1; }
}

remove_group() {
  local deadline=$((SECONDS + 15))
  until [ -z "$group" ] || rmdir "$group" 2>/dev/null; do
    [ $SECONDS -lt $deadline ] || { echo "the control group $group is still in use" >&2; return 1; }
    read -r -t 0.2 <> <(:) || true
  done
}
trap 'kill_left; remove_group; rm -rf "$work"' EXIT
make_group

# within MEGABYTES NAME ARGUMENTS...: a whole run whose processes are all in the group
within() {
  local megabytes=$1 name=$2
  shift 2
  echo $((megabytes * 1000000)) >"$group/$limit_file"
  (
    echo $BASHPID >"$group/cgroup.procs"
    train "$name" "${model[@]}" "$@" --max-restarts 5
  )
}

event() {
  grep -c "\"event\":\"$2\"" "$work/$1/events.jsonl" || true
}

# What the worker said that it would need, and what it took: bytes
predicted() {
  sed -n 's/.*is expected to need \([0-9.]*\) \([MG]\)B: program.*/\1 \2/p' "$work/$1"/logs/worker-*.log | awk '{ bytes = $1 * ($2 == "G" ? 1e9 : 1e6); most = bytes > most ? bytes : most } END { printf "%d\n", most }'
}

took() {
  local bytes
  bytes=$(summary "$1" worker)
  echo "${bytes:-0}"
}

micro() {
  summary "$1" microBatch
}

below() {
  echo "$(micro "$1") samples"
  [ -n "$(micro "$1")" ] || return 1
  [ "$(micro "$1")" -ge 2 ] && [ "$(micro "$1")" -lt "$2" ]
}

trained() {
  [ "$(summary "$1" status)" = completed ] && [ "$(summary "$1" samples)" -eq "$2" ] && grep -q "\"globalBatch\":$batch," "$work/$1/metrics.jsonl" \
    && [ "$(event "$1" out-of-memory)" -eq 0 ] && [ "$(event "$1" lost)" -eq 0 ]
}

near() {
  local expected=$(predicted "$1") found=$(took "$1")
  echo "predicted $((expected / 1000000)) MB, took $((found / 1000000)) MB"
  [ "$expected" -gt 0 ] && [ $((found * 100)) -ge $((expected * 90)) ] && [ $((found * 100)) -le $((expected * 110)) ]
}

# Two micro-batches a block, as the runs above have several: one alone would be added on top of the last block, and take a vector less.
exceeds() {
  within "$1" told --workers 1 --set batch.micro=64 --set batch.global=1024 --set stop.steps=1 >"$work/told.log" 2>&1 || true
  cat "$work/told.log"
  grep -q 'has killed a process of this control group for want of memory\|ran out of memory' "$work/told.log"
}

# auto WORKERS MEGABYTES STEPS
auto() {
  local workers=$1 megabytes=$2 steps=$3 name=auto-$1
  check "$workers workers in $megabytes MB: a run with batch.micro: auto ends" within "$megabytes" "$name" --workers "$workers" --set batch.micro=auto --set batch.global=$batch --set stop.steps=$steps
  check "$workers workers: it settles below 64, and above 1" below "$name" 64
  check "$workers workers: effective batches of $batch were trained, and nobody was lost for want of memory" trained "$name" $((steps * batch))
  check "$workers workers: a worker's peak is within 10 % of what it said it would need" near "$name"
  { grep -h '"event":"micro-batch"' "$work/$name/events.jsonl" || true; } | sed 's/.*"sentence":"\([^"]*\)".*/        \1/'
  echo "        the group took $(($(cat "$group/$peak_file") / 1000000)) MB of $megabytes, the worker $(($(took "$name") / 1000000)) MB"
  check "$workers workers: audit holds" "$disttrain" audit "$work/$name"
}

alone=2000
if $short; then
  auto 1 $alone 1
else
  auto 1 $alone 2
  auto 2 4000 2
  check "the same size told from the start has the same bits" within 8000 fixed --workers 1 --set "batch.micro=$(micro auto-1)" --set batch.global=$batch --set stop.steps=2
  check "and they are the same" same auto-1 fixed
fi
check "control: micro-batches of 64 exceed the group" exceeds $alone
check "no process is left" nothing_left
finish
