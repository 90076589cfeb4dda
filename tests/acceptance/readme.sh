#!/usr/bin/env bash
# The README's commands, in its order, in the folder they are meant for. The first two are .ci/run's and fresh-clone.sh's.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# The shell blocks of the README, without its first two commands, in a copy of the checkout's place: runs/ goes to the scratch folder.
commands=$work/commands.sh
{
  echo 'set -euo pipefail; shopt -s expand_aliases'
  sed -n '/^```sh$/,/^```$/{/^```/d;p}' "$root/README.md" \
    | grep -vxF -e 'dotnet run -c Release --project src/DistTrain.Cli -- train' -e 'dotnet test -c Release' \
    | sed "s#runs/#$work/runs/#g"
} >"$commands"
in_root() { (cd "$root" && bash "$commands" </dev/null); }

check "the README has commands" test "$(wc -l <"$commands")" -ge 12
check "every command of the README works" in_root
check "its runs are complete" test "$(cat "$work"/runs/{one,three,longer,several,line}/summary.json | grep -c '"status": "completed"')" -eq 5
check "no process is left" nothing_left
finish
