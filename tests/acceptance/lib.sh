# What the acceptance commands share. Sourced, after `set -euo pipefail`; needs bash, coreutils, grep, sed, diff, find and the
# SDK; some of the commands awk and gzip besides.
#
#   check "what is claimed" command...     runs the command; counts and prints the result
#   expect_failure CODE PATTERN command... the command ends with CODE and one line on standard error that matches PATTERN
#   finish                                 prints the sums as the last line; the exit code says whether all held
#   $figures                               where pictures of runs go; DISTTRAIN_WRITE_FIGURES=1, in full, writes those of src/DistTrain.Core/README.md anew
#   keeps=true                             before sourcing: DISTTRAIN_KEEP=FOLDER keeps the runs there, and what is there is not trained again, so that pictures can be drawn anew

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
short=false
for argument in "$@"; do
  case $argument in
    --short) short=true ;;
    *) echo "usage: $0 [--short]" >&2; exit 2 ;;
  esac
done

# Programs talk to people in pieces: no colours, no telemetry, no notices.
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 NO_COLOR=1

# The machine may be busy with other things; what is shown here is which bits come out, not how fast.
export DISTTRAIN__FAILUREDETECTION=${DISTTRAIN__FAILUREDETECTION:-20s}

# Every process of these commands carries the mark, so that what is left of them can be found.
export DISTTRAIN_ACCEPTANCE_MARK=$$-$RANDOM

passed=0
failed=0
kept=
if ${keeps:-false} && [ -n "${DISTTRAIN_KEEP:-}" ]; then
  kept=$DISTTRAIN_KEEP/$(basename "$0" .sh)$($short && echo -short || true)
  mkdir -p "$kept"
  work=$(cd "$kept" && pwd)
  trap kill_left EXIT
else
  work=$(mktemp -d "${TMPDIR:-/tmp}/disttrain-acceptance-XXXXXX")
  trap 'kill_left; rm -rf "$work"' EXIT
fi
disttrain=$root/artifacts/bin/DistTrain.Cli/release/disttrain
figures=$work
if [ "${DISTTRAIN_WRITE_FIGURES:-0}" = 1 ] && ! $short; then figures=$root/src/DistTrain.Core/figures; fi

build() {
  dotnet build -c Release "$root/src/DistTrain.Cli" >"$work/build.log" 2>&1 </dev/null || { cat "$work/build.log"; exit 1; }
}

need_fashion_mnist() {
  if [ ! -e /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz ]; then
    echo "$(basename "$0") needs Fashion-MNIST: apt-get install dataset-fashion-mnist" >&2
    exit 1
  fi
}

check() {
  local what=$1 start=$SECONDS
  shift
  if "$@" >"$work/check.log" 2>&1; then
    passed=$((passed + 1))
    echo "ok      $what ($((SECONDS - start)) s)"
  else
    failed=$((failed + 1))
    echo "FAILED  $what ($((SECONDS - start)) s): $*"
    sed 's/^/        /' "$work/check.log"
  fi
}

# train NAME ARGUMENTS...: a whole run into $work/NAME; one that is kept, and done, is there already
train() {
  local name=$1
  shift
  if [ -n "$kept" ]; then
    [ "$(summary "$name" status 2>/dev/null)" != completed ] || return 0
    rm -rf "${work:?}/$name"
  fi
  "$disttrain" train "$@" --out "$work/$name" </dev/null
}

# picture NAME: it is there, and an SVG file of the README's size at most
picture() {
  ls -l "$figures/$1.svg"
  grep -q '<svg ' "$figures/$1.svg" && [ "$(stat -c %s "$figures/$1.svg")" -lt 60000 ]
}

# plot NAME ARGUMENTS...: a picture of runs
plot() {
  local name=$1
  shift
  "$disttrain" plot "$@" --out "$figures/$name.svg" && picture "$name"
}

hashes() {
  sed 's/.*"weightsHash":"\([0-9a-f]*\)".*/\1/' "$work/$1/metrics.jsonl"
}

# summary NAME KEY: a value of the run's summary
summary() {
  sed -n "s/^ *\"$2\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" "$work/$1/summary.json" | head -n 1
}

# same A B: the hash of every step, line by line, and the SHA-256 of the last weights
same() {
  [ "$(hashes "$1" | wc -l)" -gt 0 ] || { echo "$1 has no steps"; return 1; }
  diff <(hashes "$1") <(hashes "$2") || return 1
  local a b
  a=$(summary "$1" weightsSha256)
  b=$(summary "$2" weightsSha256)
  echo "weightsSha256 $a and $b"
  [ ${#a} -eq 64 ] && [ "$a" = "$b" ] || return 1
  "$disttrain" verify "$work/$1" "$work/$2"
}

differ() {
  ! diff <(hashes "$1") <(hashes "$2") >/dev/null && ! "$disttrain" verify "$work/$1" "$work/$2" && [ "$(summary "$1" weightsSha256)" != "$(summary "$2" weightsSha256)" ]
}

expect_failure() {
  local code=0 expected=$1 pattern=$2
  shift 2
  timeout 120 "$@" </dev/null >"$work/out.log" 2>"$work/error.log" || code=$?
  cat "$work/out.log" "$work/error.log"
  echo "exit code $code, expected $expected"
  [ "$code" -eq "$expected" ] || return 1
  grep -Eq -- "$pattern" "$work/error.log" || { echo "standard error does not match: $pattern"; return 1; }
  if [ "$expected" -eq 1 ] && [ "$(grep -c '' "$work/error.log")" -ne 1 ]; then
    echo "standard error is not one sentence"
    return 1
  fi
  nothing_left
}

# The processes of this command that carry the mark and run the program under test, $disttrain.
left() {
  local process program
  program=$(basename "$disttrain")
  for process in /proc/[0-9]*; do
    if grep -qz "^DISTTRAIN_ACCEPTANCE_MARK=$DISTTRAIN_ACCEPTANCE_MARK\$" "$process/environ" 2>/dev/null \
      && tr '\0' ' ' <"$process/cmdline" 2>/dev/null | grep -q "/$program[ .]"; then
      basename "$process"
    fi
  done
}

kill_left() {
  local process
  for process in $(left); do
    kill -9 "$process" 2>/dev/null || true
  done
}

# A process that was told to end may take a moment; one that needs longer than its grace period is left behind.
nothing_left() {
  local deadline=$((SECONDS + 15))
  while [ -n "$(left)" ]; do
    if [ $SECONDS -ge $deadline ]; then
      echo "processes left: $(left)"
      return 1
    fi
    read -r -t 0.2 <> <(:) || true
  done
  local unfinished
  unfinished=$(find "$work" -name '*.tmp')
  [ -z "$unfinished" ] || { echo "half-written: $unfinished"; return 1; }
}

finish() {
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}
