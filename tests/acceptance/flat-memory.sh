#!/usr/bin/env bash
# What the processes of a run hold does not grow with the steps it has done: resident memory of two workers and their coordinator, of a small model that is also evaluated and written. The control, a
# task that leaves something behind in every micro-batch, is seen to grow.
#
#   tests/acceptance/flat-memory.sh           10,000 steps, from step 2,000 on
#   tests/acceptance/flat-memory.sh --short   3,000 steps, from step 1,000 on
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
dotnet build -c Release "$root/tests/samples/GeneratedData" >"$work/build.log" 2>&1 </dev/null || { cat "$work/build.log"; exit 1; }
disttrain=$root/artifacts/bin/GeneratedData/release/GeneratedData

# New objects pile up to a limit that the runtime takes from the processor's cache before they are cleaned up, some hundred steps long here. 4 MiB, in hexadecimal, is soon reached.
export DOTNET_GCgen0size=400000

# The first and the last samples of a run are compared: so many steps of it each.
window=1000
$short && window=500

steps_done() {
  cat "$work/$1/metrics.jsonl" 2>/dev/null | wc -l
}

# processes NAME: the coordinator's and the workers' process of a run, with what people call them
processes() {
  local process arguments
  for process in $(left); do
    arguments=$(tr '\0' ' ' </proc/"$process"/cmdline)
    case $arguments in
      *" coordinator "*) echo "$process coordinator" ;;
      *" worker "*) echo "$process worker-$(sed 's/.* --number \([0-9]*\).*/\1/' <<<"$arguments")" ;;
    esac
  done
}

# watch_run NAME STEPS ARGUMENTS...: a run; writes "step process bytes" to $work/NAME.samples, all three processes every 50 steps or so
watch_run() {
  local name=$1 steps=$2 run done next=50 process role
  shift 2
  train "$name" "$root/tests/samples/GeneratedData/generated.yaml" --workers 2 --set model.hidden=64 --set batch.global=16 --set batch.micro=8 \
    --set "stop.steps=$steps" --set evaluate.everySteps=500 --set checkpoint.everySteps=500 "$@" >"$work/$name.log" 2>&1 &
  run=$!
  : >"$work/$name.samples"
  until [ "$(steps_done "$name")" -ge 1 ]; do
    kill -0 "$run" 2>/dev/null || { cat "$work/$name.log"; return 1; }
    read -r -t 0.2 <> <(:) || true
  done
  processes >"$work/$name.processes"
  while kill -0 "$run" 2>/dev/null; do
    done=$(steps_done "$name")
    if [ "$done" -lt "$next" ]; then
      read -r -t 0.05 <> <(:) || true
      continue
    fi
    next=$((done + 50))
    while read -r process role; do
      awk -v step="$done" -v role="$role" '$1 == "VmRSS:" { print step, role, $2 * 1024 }' "/proc/$process/status" 2>/dev/null || true
    done <"$work/$name.processes" >>"$work/$name.samples"
  done
  wait "$run" || { cat "$work/$name.log"; return 1; }
}

# middle NAME PROCESS FIRST LAST: the median of a process's samples from one step to another
middle() {
  awk -v role="$2" -v first="$3" -v last="$4" '$2 == role && $1 >= first && $1 <= last { print $3 }' "$work/$1.samples" | sort -n | awk '{ all[NR] = $1 } END { print NR < 3 ? "none" : all[int((NR + 1) / 2)] }'
}

# is_flat NAME PROCESS FROM STEPS: at most 2 % or 4 MB, whichever is more, between the first and the last steps that count
is_flat() {
  local early late
  early=$(middle "$1" "$2" "$3" $(($3 + window)))
  late=$(middle "$1" "$2" $(($4 - window)) "$4")
  echo "$2: $early bytes from step $3 on, $late in the last $window of $4"
  awk -v a="$early" -v b="$late" 'BEGIN { if (a == "none" || b == "none") exit 1; most = a * 0.02; if (most < 4e6) most = 4e6; exit !(b - a <= most) }'
}

grows() {
  local process
  for process in worker-0 worker-1; do
    ! is_flat "$1" "$process" "$from" "$steps" || return 1
  done
}

steps=10000 from=2000
$short && steps=3000 from=1000
check "2 workers, $steps steps" watch_run flat "$steps"
[ ! -s "$work/flat.samples" ] || awk '{ if (!($2 in first)) first[$2] = $3; last[$2] = $3; if ($3 > most[$2]) most[$2] = $3; n[$2]++ } END { for (r in n) printf "%s: %d samples, %.1f MB at first, %.1f at last, %.1f at most\n", r, n[r], first[r] / 1e6, last[r] / 1e6, most[r] / 1e6 }' "$work/flat.samples" | sort
for process in coordinator worker-0 worker-1; do
  check "$process: from step $from to $steps by at most 2 % or 4 MB" is_flat flat "$process" $from "$steps"
  echo "        $(tail -n 1 "$work/check.log")"
done

# Half as many steps are enough for the control: 8 kB a micro-batch, one micro-batch a worker and step.
steps=3000 from=1000
check "control: the same run with a leak of 8 kB a step" watch_run leak "$steps" --set data.leak=8192
check "control: it is seen to grow" grows leak
check "no process is left" nothing_left
finish
