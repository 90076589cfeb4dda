#!/usr/bin/env bash
# What the bench verbs measure is there and makes sense: every transport does its all-reduces, shared memory leaves gRPC behind, the phases of a step add up, a step allocates
# next to nothing, and nothing is left. How fast that should be beside PyTorch is tests/DistTrain.Benchmarks' business, which wants the machine to itself.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
build

# number FILE EXPRESSION: a number that follows a text of the file, such as '"transport":"tcp","bytes":25000000,"timeMs":'
number() {
  grep -o "$2[0-9.]*" "$1" | head -n 1 | sed 's/.*://'
}

above() {
  echo "$1 and $2"
  awk -v a="$1" -v b="$2" 'BEGIN { exit !(a != "" && b != "" && a > b) }'
}

allreduce() {
  local workers=$1
  timeout 300 "$disttrain" bench allreduce --workers "$workers" --sizes "$sizes" --rounds "$rounds" --json </dev/null >"$work/allreduce-$workers.json"
}

# a line for each transport and size, memcpy besides, and none missing
complete() {
  local lines
  lines=$(grep -o '"transport":"[a-z-]*","bytes":[0-9]*' "$work/allreduce-$1.json" | sort -u | wc -l)
  echo "$lines lines"
  [ "$lines" -eq $((4 * $(tr ',' '\n' <<<"$sizes" | wc -l))) ] && grep -q '"missing":\[\]' "$work/allreduce-$1.json"
}

busbw() {
  number "$work/allreduce-$1.json" "\"transport\":\"$2\",\"bytes\":$3,[^}]*\"busbw\":"
}

shared_memory_leads() {
  above "$(busbw "$1" shared-memory 25000000)" "$(busbw "$1" grpc 25000000)"
}

table() {
  timeout 120 "$disttrain" bench allreduce --sizes 4KB --rounds 1 --transports tcp </dev/null >"$work/table.txt"
  cat "$work/table.txt"
  head -n 1 "$work/table.txt" | grep -q '^size  *transport  *time, ms .*busbw, GB/s' && grep -q '^4 kB  *tcp ' "$work/table.txt" && ! grep -q shared-memory "$work/table.txt"
}

# Compute, exchange, wait and apply are no more than the step they are parts of, medians and all.
phases_add_up() {
  timeout 300 "$disttrain" bench step digits --workers 1,2 --steps "$steps" --rounds "$rounds" --json </dev/null >"$work/step.json"
  cat "$work/step.json"
  [ "$(grep -o '"workers":' "$work/step.json" | wc -l)" -eq 2 ] || return 1
  local phase sum=0
  for phase in wait compute exchange apply; do
    sum=$(awk -v a="$sum" -v b="$(number "$work/step.json" "\"${phase}Ms\":")" 'BEGIN { print a + b }')
  done
  above "$(awk -v s="$(number "$work/step.json" '"stepMs":')" 'BEGIN { print 1.2 * s }')" "$sum" && above "$sum" 0
}

# 64 kB a step are what messages, the model's own objects and the runtime's may take; vectors, nodes and what is exchanged lie in memory that is kept. Digits have 64 inputs: 4962 units a layer make
# 25.0 million parameters, which a worker exchanges in 204 chunks each way.
allocates_little() {
  local transport bytes
  for transport in shared-memory tcp; do
    timeout 300 "$disttrain" bench step digits --workers 2 --steps 40 --rounds 1 --set model.name=mlp --set model.hidden=4962 --set batch.global=16 --set batch.micro=8 \
      --set transport=$transport --json </dev/null >"$work/allocated.json" || return 1
    bytes=$(number "$work/allocated.json" '"allocatedBytes":')
    echo "$transport: $bytes bytes a step"
    grep -q "\"transports\":\"$transport\"" "$work/allocated.json" && above 64000 "$bytes" && above "$bytes" 0 || return 1
  done
}

# Its workers live by their standard input: none outlives a command that is killed.
killed_leaves_nothing() {
  "$disttrain" bench allreduce --sizes 25MB --rounds 1000 </dev/null >/dev/null 2>"$work/killed.log" &
  local bench=$! deadline=$((SECONDS + 60))
  until grep -q 'rounds by' "$work/killed.log"; do
    [ $SECONDS -lt $deadline ] || return 1
    read -r -t 0.2 <> <(:) || true
  done
  [ "$(left | wc -l)" -ge 3 ] || { echo "its workers are not seen"; return 1; }
  kill -9 "$bench"
  wait "$bench" || true
  nothing_left
}

if $short; then
  sizes=4KB,25MB rounds=3 steps=20
else
  sizes=4KB,1MB,25MB,100MB rounds=15 steps=60
fi
check "2 workers: a line for each transport and size" eval 'allreduce 2 && complete 2'
check "2 workers: shared memory is faster than gRPC at 25 MB" shared_memory_leads 2
if ! $short; then
  check "4 workers: a line for each transport and size" eval 'allreduce 4 && complete 4'
  check "4 workers: shared memory is faster than gRPC at 25 MB" shared_memory_leads 4
fi
check "for people: a table of what was asked for" table
check "the phases of a step add up" phases_add_up
check "25 million parameters: a worker allocates less than 64 kB a step" allocates_little
check "too much memory is a sentence" expect_failure 2 'take .*, more than half of the memory here' "$disttrain" bench allreduce --sizes 900GB
check "killed: no worker is left" killed_leaves_nothing
check "no process is left" nothing_left
finish
