#!/usr/bin/env bash
# What a worker needs beside the model does not grow with the global batch: one node buffer for each level of the reduction tree, and the tree
# has no more than batch.blocks leaves.
#
#   tests/acceptance/memory.sh           1 and 25 million parameters, batch.global from 256 to 65,536
#   tests/acceptance/memory.sh --short   1 million parameters, 256 to 8,192
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
dotnet build -c Release "$root/tests/samples/GeneratedData" >"$work/build.log" 2>&1 </dev/null || { cat "$work/build.log"; exit 1; }
disttrain=$root/artifacts/bin/GeneratedData/release/GeneratedData

micro=32
most_blocks=64

# The garbage collector lets new objects pile up to a limit that it takes from the processor's cache, 16 MB for 32 MB of it, before it cleans. How much of
# that is used up depends on how many samples were read so far, not on the batch: the limit is made small, and every run reads enough to reach it.
export DOTNET_GCgen0size=400000
samples=8192

# blocks B: K = min(ceil(B / micro), batch.blocks)
blocks() {
  local batches=$((($1 + micro - 1) / micro))
  echo $((batches < most_blocks ? batches : most_blocks))
}

# buffers K: one worker's blocks are an aligned range. While it computes block b, a node waits for every 1 in b's binary digits (each a complete left
# half of the tree), and b's own is being summed: at most log2 K + 1, where b is all ones.
buffers() {
  local block most=0 ones bits
  for ((block = 0; block < $1; block++)); do
    for ((ones = 1, bits = block; bits > 0; bits >>= 1)); do
      ones=$((ones + (bits & 1)))
    done
    most=$((ones > most ? ones : most))
  done
  echo "$most"
}

# peak HIDDEN B STEPS: one run; the worker's largest resident size in bytes (VmHWM; MemoryTests holds the two together)
peak() {
  train run "$root/tests/samples/GeneratedData/generated.yaml" --workers 1 --set "model.hidden=$1" --set "batch.global=$2" \
    --set "batch.micro=$micro" --set "batch.blocks=$most_blocks" --set "stop.steps=$3" >"$work/run.log" 2>&1 || { cat "$work/run.log" >&2; return 1; }
  summary run worker
  rm -rf "$work/run"
}

megabytes() { printf '%d.%d' $(($1 / 1000000)) $(($1 % 1000000 / 100000)); }

# Compares what the tree allows with what was seen. A process does not need the same memory twice: the smallest of several
# peaks counts, and the spread of the first size's three is what "nothing" means.
# measure PARAMETERS HIDDEN LEAST_STEPS REPEATS SIZES...: REPEATS is for the sizes after the first
measure() {
  local parameters=$1 hidden=$2 least=$3 more=$4 repeats=3 size steps run seen low high
  local first=0 noise=0 flat=0 fits=true still=true
  shift 4
  echo "$parameters parameters, a node buffer is $(megabytes $((4 * parameters))) MB"
  echo "   batch  blocks  buffers   peak MB  excess MB  allowed MB  seconds a run"
  for size in "$@"; do
    local count expected allowed excess start=$SECONDS
    steps=$((samples / size > least ? samples / size : least))
    for ((run = 0; run < repeats; run++)); do
      seen=$(peak "$hidden" "$size" "$steps") || return 1
      low=$((run == 0 || seen < low ? seen : low))
      high=$((run == 0 || seen > high ? seen : high))
    done
    count=$(buffers "$(blocks "$size")")
    if [ "$first" -eq 0 ]; then
      first=$low noise=$((high - low)) expected=$count
    fi
    excess=$((low - first))
    allowed=$(((count - expected) * 4 * parameters * 105 / 100))
    printf '%8d  %6d  %7d  %8s  %9s  %10s  %13d\n' "$size" "$(blocks "$size")" "$count" "$(megabytes "$low")" "$(megabytes "$excess")" \
      "$(megabytes "$allowed")" $(((SECONDS - start) / repeats))
    repeats=$more
    [ "$excess" -le $((allowed + noise)) ] || fits=false
    if [ "$size" -eq 4096 ]; then
      flat=$low
    elif [ "$size" -gt 4096 ] && [ $((low - flat)) -gt "$noise" ]; then
      still=false
    fi
  done
  echo "noise: 3 runs of batch $1 spread by $(megabytes "$noise") MB"
  check "$parameters parameters: the excess over batch $1 is the tree's buffers, at most 5 % and the noise above" "$fits"
  check "$parameters parameters: from batch 4,096 on it does not grow by more than the noise" "$still"
}

if $short; then
  measure 1000135 875 2 3 256 4096 8192
else
  measure 1000135 875 2 3 256 1024 4096 16384 65536
  measure 25002058 4868 1 1 256 1024 4096 16384 65536
fi
check "no process is left" nothing_left
finish
