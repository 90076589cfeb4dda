#!/usr/bin/env bash
# The manifests of k8s/ as kubectl renders them: every overlay, by every kubectl that is found, without a warning, as it is committed.
# DISTTRAIN_WRITE_RENDERED=1 writes the committed files anew, in a change that says why. DISTTRAIN_KUBECTL names the kubectls, instead of
# those on the path and in the folder of Google's SDK, which brings several versions.
#
#   tests/acceptance/kubernetes.sh           by every kubectl
#   tests/acceptance/kubernetes.sh --short   by the oldest and the newest
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

rendered=$root/tests/DistTrain.Kubernetes.Tests/Rendered
sets=(base reader)
for overlay in "$root"/k8s/overlays/*/; do
  sets+=("overlays/$(basename "$overlay")")
done

# VERSION PROGRAM of every kubectl from 1.25 on, oldest first, one of each minor version.
find_kubectls() {
  local program version
  for program in ${DISTTRAIN_KUBECTL:-$(compgen -c kubectl | grep -E '^kubectl(\.[0-9.]+)?$' || true) /usr/lib/google-cloud-sdk/bin/kubectl.[0-9]*}; do
    # Once as JSON, as the text of this command changed: the server is not asked.
    version=$("$program" version --client -o json 2>/dev/null | sed -n 's/^ *"gitVersion": "v\([^"]*\)".*/\1/p') || continue
    [ -z "$version" ] || echo "$version $program"
  done | sort -V | awk '{ split($1, part, "."); minor = part[1] "." part[2] } (part[1] > 1 || part[2] >= 25) && !seen[minor]++'
}

mapfile -t kubectls < <(find_kubectls)
if [ ${#kubectls[@]} -eq 0 ]; then
  echo "$(basename "$0") needs kubectl 1.25 or newer, which this machine lacks: apt-get install kubernetes-client (from Debian 13 on), or see https://kubernetes.io/docs/tasks/tools/" >&2
  exit 1
fi
if $short && [ ${#kubectls[@]} -gt 2 ]; then
  kubectls=("${kubectls[0]}" "${kubectls[-1]}")
fi

# render PROGRAM SET FILE: what it prints, and whether it did so without a word
render() {
  "$1" kustomize "$root/k8s/$2" >"$3" 2>"$work/warnings" || { cat "$work/warnings"; return 1; }
  [ ! -s "$work/warnings" ] || { cat "$work/warnings"; return 1; }
  [ -s "$3" ]
}

# same_objects ONE OTHER: the same to a cluster, whatever the order of objects and keys
same_objects() {
  DISTTRAIN_MANIFESTS="$1:$2" "$root/artifacts/bin/DistTrain.Kubernetes.Tests/release/DistTrain.Kubernetes.Tests" -method '*Two_files_hold_the_same_objects' -noLogo
}

as_committed() {
  render "$1" "$2" "$work/rendered.yaml" || return 1
  diff "$rendered/$(basename "$2").yaml" "$work/rendered.yaml" && return 0
  echo "Where the change is meant: DISTTRAIN_WRITE_RENDERED=1 tests/acceptance/kubernetes.sh"
  return 1
}

if [ -n "${DISTTRAIN_WRITE_RENDERED:-}" ]; then
  mkdir -p "$rendered"
  rm -f "$rendered"/*.yaml
  for set in "${sets[@]}"; do
    check "written: $set" render "${kubectls[-1]#* }" "$set" "$rendered/$(basename "$set").yaml"
  done
fi

for kubectl in "${kubectls[@]}"; do
  for set in "${sets[@]}"; do
    check "kubectl ${kubectl%% *}: $set" as_committed "${kubectl#* }" "$set"
  done
done
check "there is no file for a set that is gone" test "$(find "$rendered" -name '*.yaml' | wc -l)" -eq ${#sets[@]}

finish
