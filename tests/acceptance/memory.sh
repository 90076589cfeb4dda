#!/usr/bin/env bash
# What a worker needs beside the model does not grow with the global batch: one node buffer for each level of the reduction tree, and the tree
# has no more than batch.blocks leaves.
#
#   tests/acceptance/memory.sh           1 and 25 million parameters, batch.global from 256 to 65,536
#   tests/acceptance/memory.sh --short   25 million parameters, 256 and 4,096
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
dotnet build -c Release "$root/tests/samples/GeneratedData" >"$work/build.log" 2>&1 </dev/null || { cat "$work/build.log"; exit 1; }
disttrain=$root/artifacts/bin/GeneratedData/release/GeneratedData

micro=32
most_blocks=64

# The garbage collector lets new objects pile up to a limit that it takes from the processor's cache, 16 MB for 32 MB of it, before it cleans. How much of
# that is used up depends on how many samples were read so far: the limit is made 4 MiB. The runtime reads this number as hexadecimal.
export DOTNET_GCgen0size=400000

# blocks B: K = min(ceil(B / micro), batch.blocks)
blocks() {
  local batches=$((($1 + micro - 1) / micro))
  echo $((batches < most_blocks ? batches : most_blocks))
}

# buffers B: one worker's blocks are an aligned range. While it computes block b, a node waits for every 1 in b's binary digits (each a complete left
# half of the tree), and b's own is being summed: at most log2 K + 1, where b is all ones. A block that is one micro-batch is summed on top of its left
# sibling, where b is odd: then one less.
buffers() {
  local count block most=0 ones bits
  count=$(blocks "$1")
  for ((block = 0; block < count; block++)); do
    ones=1
    if [ "$1" -le $((micro * most_blocks)) ] && ((block & 1)); then ones=0; fi
    for ((bits = block; bits > 0; bits >>= 1)); do
      ones=$((ones + (bits & 1)))
    done
    most=$((ones > most ? ones : most))
  done
  echo "$most"
}

# peak HIDDEN B SAMPLES: one run; the worker's largest resident size in bytes (VmHWM; MemoryTests holds the two together)
peak() {
  local bytes
  train run "$root/tests/samples/GeneratedData/generated.yaml" --workers 1 --set "model.hidden=$1" --set "batch.global=$2" \
    --set "batch.micro=$micro" --set "batch.blocks=$most_blocks" --set "stop.steps=$(($3 / $2))" >"$work/run.log" 2>&1 || { cat "$work/run.log" >&2; return 1; }
  bytes=$(summary run worker)
  rm -rf "$work/run"
  grep -Eqx '[1-9][0-9]*' <<<"$bytes" || { echo "the run's summary has no peak of a worker, but '$bytes'" >&2; return 1; }
  echo "$bytes"
}

# megabytes BYTES: with one decimal, below 0, too
megabytes() {
  local bytes=$1 sign=
  if [ "$bytes" -lt 0 ]; then
    bytes=$((-bytes)) sign=-
  fi
  printf '%s%d.%d' "$sign" $((bytes / 1000000)) $((bytes % 1000000 / 100000))
}

# A process grows by some MB with the number of micro-batches it has computed, the first few thousand, however they are put together to batches: every
# size is given the same number of samples. Of several runs the smallest peak counts, as a process does not need the same memory twice.
# measure PARAMETERS HIDDEN SAMPLES REPEATS SIZES...: prints a table; peaks[SIZE] and excesses[SIZE] in bytes, and whether all are within_buffers
measure() {
  local parameters=$1 hidden=$2 samples=$3 repeats=$4 size run seen low count allowed start first=0 expected=0
  shift 4
  peaks=() excesses=() within_buffers=true
  echo "$parameters parameters, a node buffer is $(megabytes $((4 * parameters))) MB; $samples samples a run, smallest of $repeats"
  echo "   batch   steps  blocks  buffers   peak MB  excess MB  allowed MB  seconds a run"
  for size in "$@"; do
    start=$SECONDS low=0
    for ((run = 0; run < repeats; run++)); do
      seen=$(peak "$hidden" "$size" "$samples") || return 1
      low=$((low == 0 || seen < low ? seen : low))
    done
    count=$(buffers "$size")
    if [ "$first" -eq 0 ]; then
      first=$low expected=$count
    fi
    peaks[size]=$low
    excesses[size]=$((low - first))
    allowed=$(((count - expected) * 4 * parameters * 105 / 100))
    [ "${excesses[size]}" -le "$allowed" ] || within_buffers=false
    printf '%8d  %6d  %6d  %7d  %8s  %9s  %10s  %13d\n' "$size" $((samples / size)) "$(blocks "$size")" "$count" "$(megabytes "$low")" \
      "$(megabytes "${excesses[size]}")" "$(megabytes "$allowed")" $(((SECONDS - start) / repeats))
  done
}

# A run of the program is seen among the processes: otherwise none would ever be left.
sees_a_process() {
  local process deadline=$((SECONDS + 15)) seen=true
  "$disttrain" coordinator "$root/tests/samples/GeneratedData/generated.yaml" --listen 127.0.0.1:0 --out "$work/waiting" </dev/null >/dev/null 2>&1 &
  process=$!
  until left | grep -qx "$process"; do
    [ $SECONDS -lt $deadline ] || { seen=false; break; }
    read -r -t 0.2 <> <(:) || true
  done
  kill -9 "$process"
  wait "$process" || true
  rm -rf "$work/waiting"
  $seen
}

large=25002058
if $short; then
  measure $large 4868 4096 1 256 4096
else
  # At 1 million parameters a buffer is 4 MB, less than what two runs of one size may differ by: the table is for people to read. What can be seen there
  # is whether a worker ever holds a batch; its inputs are 256 numbers of 4 bytes a sample.
  measure 1000135 875 131072 2 256 1024 4096 16384 65536
  batch=$((65536 * 256 * 4))
  check "1 million parameters: 65,536 take $(megabytes "${excesses[65536]}") MB more than 256, less than the batch's inputs alone, $(megabytes $batch) MB" \
    test "${excesses[65536]}" -lt $batch
  measure $large 4868 65536 1 256 1024 4096 16384 65536
fi
check "25 million parameters: the excess over batch 256 is at most the tree's buffers and 5 %" $within_buffers
if ! $short; then
  # Twice what two runs of one size differed by, and a tenth of one buffer.
  growth=$((peaks[65536] - peaks[4096]))
  check "25 million parameters: from batch 4,096 to 65,536 it grows by $(megabytes $growth) MB, at most a tenth of a buffer" test $growth -le $((4 * large / 10))
fi
check "control: a process that is there is seen" sees_a_process
check "no process is left" nothing_left
finish
