#!/usr/bin/env bash
# `sweep`: the digits with six batches in less than five minutes on two cores, with a critical batch and its interval; ended by kill -9 and by Ctrl-C it goes on, trains nothing twice and has
# the bits of a sweep that nobody ended; the report is one file that a real browser shows without a network. How long it takes is judged in full only, and only where the machine is quiet.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
build

# sweep NAME ARGUMENTS...
sweep() {
  local name=$1
  shift
  timeout 900 "$disttrain" sweep digits --out "$work/$name" "$@" </dev/null
}

in_time() {
  local start=$SECONDS
  sweep whole "${line[@]}" >"$work/whole.txt"
  cat "$work/whole.txt"
  echo "$((SECONDS - start)) s"
  $short || [ $((SECONDS - start)) -lt 300 ]
}

# A line for every run, a row of the table for every batch, which has reached the loss, and heads that say which loss a column has.
complete() {
  local batch head
  for head in "final validation loss" "final training loss"; do
    grep -q "^  batch .*  $head  " "$work/whole.txt" && grep -q "<th [^>]*>$head</th>" "$work/whole/report.html" || { echo "no column: $head"; return 1; }
  done
  wc -l "$work/whole/sweep.csv"
  [ "$(wc -l <"$work/whole/sweep.csv")" -eq $((1 + runs)) ] || return 1
  for batch in $batches; do
    grep -Eq "^ +$batch +[0-9.]+ +[0-9]+ +[0-9]+ +[0-9.]+ " "$work/whole.txt" || { echo "batch $batch"; return 1; }
  done
}

# The fit has an interval of 95 % around what it says; three points leave one degree of freedom, and may say that they do not tell.
critical_batch() {
  grep '^sgd: ' "$work/whole.txt" || return 1
  $short && grep -Eq '^sgd: the critical batch is not known: .* is open \([0-9,.]+ to ([0-9,.]+|infinity)\)' "$work/whole.txt" && return
  grep -Eq '^sgd: the critical batch is ([0-9,.]+ \([0-9,.]+ to [0-9,.]+\)|above [0-9,.]+|below [0-9,.]+) samples' "$work/whole.txt"
}

# Small batches take more steps and fewer samples than large ones.
law() {
  awk '/^ +[0-9]+ / { if (!n++) { s = $3; e = $4 } t = $3; f = $4 } END { print s, t, e, f; exit !(n > 1 && s > t && e < f) }' "$work/whole.txt"
}

# hashes_of NAME: the weights of every run of a sweep
hashes_of() {
  (cd "$work/$1/cells" && grep -H '"weightsSha256"' ./*/summary.json)
}

# until_steps NAME N: waits for so many steps of a sweep
until_steps() {
  local deadline=$((SECONDS + 120))
  until [ "$(cat "$work/$1"/cells/*/metrics.jsonl 2>/dev/null | wc -l)" -ge "$2" ]; do
    [ $SECONDS -lt $deadline ] || { echo "no $2 steps"; return 1; }
    read -r -t 0.2 <> <(:) || true
  done
}

# ended SIGNAL STEPS CODE. What a shell starts in the background would ignore Ctrl-C.
ended() {
  local code=0
  env --default-signal=INT "$disttrain" sweep digits --out "$work/ended" "${line[@]}" </dev/null >/dev/null 2>"$work/ended.log" &
  local program=$!
  until_steps ended "$2" || return 1
  kill "-$1" "$program"
  wait "$program" || code=$?
  cat "$work/ended.log"
  echo "exit code $code, expected $3"
  [ "$code" -eq "$3" ] && nothing_left
}

goes_on() {
  sweep ended "${line[@]}" >"$work/ended.txt" 2>"$work/ended.log"
  cat "$work/ended.log"
  grep -q 'goes on where it was' "$work/ended.log" && diff <(hashes_of whole) <(hashes_of ended)
}

nothing_twice() {
  local before after
  before=$(stat -c '%Y %n' "$work"/ended/cells/*/metrics.jsonl)
  sweep ended "${line[@]}" >"$work/again.txt" 2>"$work/again.log"
  after=$(stat -c '%Y %n' "$work"/ended/cells/*/metrics.jsonl)
  cat "$work/again.log"
  [ "$before" = "$after" ] && [ ! -s "$work/again.log" ] && diff "$work/again.txt" "$work/ended.txt"
}

# Nothing in the page asks for anything: no address, no script, no other file.
one_file() {
  ! grep -Eo '(src|href)="[^d][^"]*"|<script|url\(|@import' "$work/whole/report.html"
}

# A browser without a network shows the page with all its pictures. Whether it does, it says itself: a script is added to a copy of the page.
in_browser() {
  command -v chromium >/dev/null || { echo "needs a browser: apt-get install chromium"; return 1; }
  sed 's#</body>#<script>onload = () => document.body.dataset.shown = [...document.images].filter(i => i.complete \&\& i.naturalWidth > 100).length + " of " + document.images.length</script></body>#' \
    "$work/whole/report.html" >"$work/shown.html"
  timeout 120 unshare -rn chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --user-data-dir="$work/browser" --dump-dom "file://$work/shown.html" \
    >"$work/shown.txt" 2>"$work/browser.log" || { tail "$work/browser.log"; return 1; }
  grep -o 'data-shown="[^"]*"' "$work/shown.txt"
  grep -q 'data-shown="5 of 5"' "$work/shown.txt" && grep -q '<h1>Batch sizes for digits</h1>' "$work/shown.txt"
}

if $short; then
  batches="16 64 256" runs=3 line=(--batches 16,64,256 --rates 1x --samples 12000)
else
  batches="16 32 64 128 256 512" runs=18 line=(--batches 16,32,64,128,256,512)
fi
check "digits with the batches $batches" in_time
check "a line for each of $runs runs, a row for each batch" complete
check "a critical batch with its interval" critical_batch
check "larger batches take fewer steps and more samples" law
check "the report is one file and needs no other" one_file
$short || check "a real browser without a network shows it with its pictures" in_browser
check "killed in the middle: no process is left" ended KILL 100 137
check "Ctrl-C: a sentence, and no process is left" ended INT 300 1
check "the same command goes on, to the bits of a sweep that nobody ended" goes_on
check "once more: nothing is trained twice" nothing_twice
check "runs of another recipe do not mix" expect_failure 2 'seed is .2.: was 1 when the run began' "$disttrain" sweep digits "${line[@]}" --out "$work/ended" --set seed=2
check "batches that are none are all named" expect_failure 2 "'none' must be a whole number" "$disttrain" sweep digits --batches 16,none,0
check "no process is left" nothing_left
finish
