#!/usr/bin/env bash
# Loss, gradient and update of a step are those of plain PyTorch, from its state at every step; a mean of means is seen to be something else.
#
#   tests/acceptance/pytorch.sh           100 steps of every model and rule
#   tests/acceptance/pytorch.sh --short   the same, 10 steps
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Another Python may come first in the path than the distribution's.
python=
for candidate in python3 /usr/bin/python3; do
  if "$candidate" -c 'import torch' 2>"$work/python.log"; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  echo "$(basename "$0") needs a Python that can import torch, and neither python3 nor /usr/bin/python3 can: apt-get install python3-torch" >&2
  exit 1
fi

dotnet build -c Release "$root/tests/DistTrain.PyTorch" >"$work/build.log" 2>&1 </dev/null || { cat "$work/build.log"; exit 1; }
length=()
$short && length=(--short)
"$python" -c 'import torch; print("PyTorch", torch.__version__)'
code=0
"$root/artifacts/bin/DistTrain.PyTorch/release/DistTrain.PyTorch" "$python" "${length[@]}" </dev/null | tee "$work/lines" || code=$?
passed=$(grep -c '^ok ' "$work/lines" || true)
failed=$(grep -c '^FAILED ' "$work/lines" || true)
# Ended without a verdict: what it said on standard error tells why.
if [ "$code" -ne 0 ] && [ "$failed" -eq 0 ]; then
  failed=1
fi
finish
