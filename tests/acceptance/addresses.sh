#!/usr/bin/env bash
# The same bits over several addresses: coordinator and workers started by hand on 127.0.0.2 to 127.0.0.5, as on four machines.
#
#   tests/acceptance/addresses.sh           one epoch of Fashion-MNIST
#   tests/acceptance/addresses.sh --short   a few steps
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fashion_mnist
build

length=(--set stop.epochs=1)
$short && length=(--set stop.epochs=0 --set stop.steps=4)
run=(fashion-mnist-cnn --set batch.global=1000 --set batch.micro=48 "${length[@]}")

# by_hand NAME LISTEN WORKER...: a coordinator, and a worker for each of the remaining arguments, which are its options
by_hand() {
  local name=$1 listen=$2 line address code=0 process
  shift 2
  mkfifo "$work/$name.first"
  "$disttrain" coordinator "${run[@]}" --workers $# --listen "$listen" --out "$work/$name" --json </dev/null >"$work/$name.first" &
  local processes=($!)
  exec 3<"$work/$name.first"
  read -r -t 60 line <&3
  cat <&3 >"$work/$name.out" &
  processes+=($!)
  exec 3<&-
  address=$(sed -n 's/.*"listening":"\([^"]*\)".*/\1/p' <<<"$line")
  echo "listening on $address"
  for options in "$@"; do
    # Split on purpose: each argument is a line of options.
    # shellcheck disable=SC2086
    "$disttrain" worker --coordinator "$address" $options </dev/null &
    processes+=($!)
  done
  for process in "${processes[@]}"; do
    wait "$process" || code=$?
  done
  return $code
}

check "one worker, one address: what the others are held against" train alone "${run[@]}" --workers 1
check "coordinator on 127.0.0.2, workers on 127.0.0.3 to 127.0.0.5" \
  by_hand apart 127.0.0.2:0 "--listen 127.0.0.3:0" "--listen 127.0.0.4:0" "--listen 127.0.0.5:0"
check "three addresses give the bits of one worker" same alone apart
check "workers that listen on all addresses and advertise one" \
  by_hand advertised 127.0.0.2:0 "--listen 0.0.0.0:0 --advertise 127.0.0.4" "--listen 0.0.0.0:0 --advertise 127.0.0.5" "--listen 127.0.0.3:0 --advertise 127.0.0.3"
check "advertised addresses give the bits of one worker" same alone advertised
check "each worker is known by the address it advertised" \
  eval 'for host in 127.0.0.3 127.0.0.4 127.0.0.5; do grep -q "joined from .*http://$host:" "$work/advertised/events.jsonl" || exit 1; done'
check "no process is left" nothing_left
finish
