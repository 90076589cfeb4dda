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

# VERSION PATH of every kubectl from 1.25 on, oldest first, one of each minor version.
find_kubectls() {
  local program version
  for program in ${DISTTRAIN_KUBECTL:-$(compgen -c kubectl | grep -E '^kubectl(\.[0-9.]+)?$' || true) /usr/lib/google-cloud-sdk/bin/kubectl.[0-9]*}; do
    program=$(type -P "$program") || continue

    # As JSON, because the text of this command has changed; the server is not asked.
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

# commands PATTERN: the block of k8s/README.md that has a line with it
commands() {
  awk -v pattern="$1" '/^ *```sh$/ { block = ""; inside = 1; next }
    /^ *```$/ && inside { if (found) { printf "%s", block; exit } inside = 0; next }
    inside { if (index($0, pattern)) found = 1; sub(/^  /, "", $0); block = block $0 "\n" }' "$root/k8s/README.md"
}

# What the README's commands give to `kubectl apply`, in a folder that sees k8s, with the programs in place of what they are called.
by_readme() {
  local program=$1 pattern=$2 folder=$work/readme-$RANDOM
  mkdir "$folder"
  ln -s "$root/k8s" "$folder/k8s"
  (
    cd "$folder"
    kubectl() { if [ "$1" = apply ]; then case $2 in -k) "$program" kustomize "$3" ;; *) cat ;; esac; else "$program" "$@"; fi; }
    disttrain() { sed -n '/^name:/,$p' "$root/src/DistTrain.Cli/Recipes/$2.yaml"; }
    eval "$(commands "$pattern")"
  )
}

own_run() {
  by_readme "$1" "mkdir my-run" >"$work/own.yaml" 2>"$work/warnings" || { cat "$work/warnings"; return 1; }
  [ ! -s "$work/warnings" ] || { cat "$work/warnings"; return 1; }
  grep -q 'image: registry.example/team/disttrain:0.1.0-cuda$' "$work/own.yaml" && grep -q 'replicas: 4' "$work/own.yaml" && grep -q 'name: fashion-mnist-cnn' "$work/own.yaml"
}

second_run() {
  by_readme "$1" "second-" >"$work/second.yaml" 2>"$work/warnings" || { cat "$work/warnings"; return 1; }
  [ ! -s "$work/warnings" ] || { cat "$work/warnings"; return 1; }
  ! grep -E 'disttrain-|instance: disttrain' "$work/second.yaml" && [ "$(grep -c '^---$' "$work/second.yaml")" -eq "$(grep -c '^---$' "$rendered/base.yaml")" ]
}

# All components in one kustomization, those that change pods before those that move or queue them.
all_together() {
  local folder=$work/all-$RANDOM
  mkdir "$folder"
  ln -s "$root/k8s" "$folder/k8s"
  printf '%s\n' 'apiVersion: kustomize.config.k8s.io/v1beta1' 'kind: Kustomization' 'resources: [k8s/base]' \
    'components: [k8s/components/local, k8s/components/gpu, k8s/components/spot, k8s/components/jobset, k8s/components/kueue, k8s/components/monitoring]' >"$folder/kustomization.yaml"
  "$1" kustomize "$folder" >"$work/all.yaml" 2>"$work/warnings" || { cat "$work/warnings"; return 1; }
  [ ! -s "$work/warnings" ] || { cat "$work/warnings"; return 1; }
  grep -q 'kueue.x-k8s.io/queue-name: disttrain' "$work/all.yaml" && [ "$(grep -c 'imagePullPolicy: Never' "$work/all.yaml")" -eq 2 ] && grep -q 'nvidia.com/gpu: "1"' "$work/all.yaml"
}

# What launch is compared with: the base for one namespace, image and number of workers.
launched=$root/tests/DistTrain.Cli.Tests/Kubernetes/Rendered/launch.yaml

# kustomized PROGRAM FILE
kustomized() {
  local folder=$work/kustomized-$RANDOM
  mkdir "$folder"
  ln -s "$root/k8s" "$folder/k8s"
  printf '%s\n' 'apiVersion: kustomize.config.k8s.io/v1beta1' 'kind: Kustomization' 'namespace: team' 'resources: [k8s/base]' \
    'images: [{ name: disttrain, newName: registry.example/team/disttrain, newTag: "2" }]' 'replicas: [{ name: disttrain-worker, count: 7 }]' >"$folder/kustomization.yaml"
  "$1" kustomize "$folder" >"$2"
}

kustomized_as_committed() {
  kustomized "$1" "$work/kustomized.yaml" && diff "$launched" "$work/kustomized.yaml" && return 0
  echo "Where the change is meant: DISTTRAIN_WRITE_RENDERED=1 tests/acceptance/kubernetes.sh"
  return 1
}

# as_launched NAME: the manifests that the program prints under a name are those of kustomize, with that name in place of the base's.
as_launched() {
  sed "s/disttrain-\\(coordinator\\|worker\\|run\\|configuration\\)/$1-\\1/g; s/instance: disttrain\$/instance: $1/" "$launched" >"$work/$1-kustomized.yaml"
  # The variable that these commands set is a layer of the configuration, too.
  env -u DISTTRAIN__FAILUREDETECTION "$disttrain" launch kubernetes "$root/k8s/base/run.yaml" --dry-run --name "$1" --namespace team --image registry.example/team/disttrain:2 --workers 7 >"$work/$1-launched.yaml" || return 1
  same_objects "$work/$1-kustomized.yaml" "$work/$1-launched.yaml"
}

# What is printed may be given to kubectl: it reads every object of it, here as the resources of a kustomization.
read_by_kubectl() {
  local folder=$work/read-$RANDOM
  mkdir "$folder"
  cp "$work/disttrain-launched.yaml" "$folder/launched.yaml"
  printf '%s\n' 'apiVersion: kustomize.config.k8s.io/v1beta1' 'kind: Kustomization' 'resources: [launched.yaml]' >"$folder/kustomization.yaml"
  "$1" kustomize "$folder" >"$work/read.yaml" && diff "$launched" "$work/read.yaml"
}

if [ -n "${DISTTRAIN_WRITE_RENDERED:-}" ]; then
  mkdir -p "$rendered"
  rm -f "$rendered"/*.yaml
  for set in "${sets[@]}"; do
    check "written: $set" render "${kubectls[-1]#* }" "$set" "$rendered/$(basename "$set").yaml"
  done
  check "written: launch" kustomized "${kubectls[-1]#* }" "$launched"
fi

build
dotnet build -c Release "$root/tests/DistTrain.Kubernetes.Tests" >"$work/build.log" 2>&1 </dev/null || { cat "$work/build.log"; exit 1; }
check "launch --dry-run prints what kustomize makes of the base" as_launched disttrain
check "launch --dry-run --name digits-2 prints the same under that name" as_launched digits-2

for kubectl in "${kubectls[@]}"; do
  check "kubectl ${kubectl%% *}: the base as launch is compared with it" kustomized_as_committed "${kubectl#* }"
  check "kubectl ${kubectl%% *}: what launch --dry-run prints" read_by_kubectl "${kubectl#* }"
  for set in "${sets[@]}"; do
    check "kubectl ${kubectl%% *}: $set" as_committed "${kubectl#* }" "$set"
  done
  check "kubectl ${kubectl%% *}: all components together" all_together "${kubectl#* }"
  check "kubectl ${kubectl%% *}: a run of one's own, by the commands of k8s/README.md" own_run "${kubectl#* }"
  check "kubectl ${kubectl%% *}: a second run, by the commands of k8s/README.md" second_run "${kubectl#* }"
done
check "there is no file for a set that is gone" test "$(find "$rendered" -name '*.yaml' | wc -l)" -eq ${#sets[@]}

finish
