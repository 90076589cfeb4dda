#!/usr/bin/env bash
# A newcomer's first command: in a fresh clone, with an empty NuGet cache and only the SDK, it trains to 95 % within a minute after the build.
# The whole of it (restore, build, tests, format, the short acceptance commands) is `.ci/run`, which is meant to be run in such a clone.
#
#   tests/acceptance/fresh-clone.sh
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
unset DISTTRAIN__FAILUREDETECTION
command="dotnet run -c Release --project src/DistTrain.Cli -- train"

if [ -e "$root/README.md" ]; then
  check "README shows the command" grep -qF "$command" "$root/README.md"
fi
check "clone" git clone --quiet "$root" "$work/clone"
cd "$work/clone"
export NUGET_PACKAGES=$work/packages HOME=$work/home DOTNET_CLI_HOME=$work/home
mkdir -p "$NUGET_PACKAGES" "$HOME"

check "$command" bash -c "$command </dev/null"
cp -r runs/digits "$work/digits"
accuracy=$(summary digits accuracy)
seconds=$(summary digits wallSeconds)
check "validation accuracy $accuracy is at least 0.95" awk "BEGIN { exit !($accuracy >= 0.95) }"
check "trained in $seconds s, at most 60" awk "BEGIN { exit !($seconds <= 60) }"
started=$SECONDS
check "once more, with nothing to build" bash -c "$command </dev/null"
check "from command to prompt in $((SECONDS - started)) s, at most 60" test $((SECONDS - started)) -le 60
cp -r runs/digits-2 "$work/digits-2"
check "the same bits again" env disttrain="$work/clone/artifacts/bin/DistTrain.Cli/release/disttrain" \
  bash -c '"$disttrain" verify "$0" "$1"' "$work/digits" "$work/digits-2"
check "no process is left" nothing_left
finish
