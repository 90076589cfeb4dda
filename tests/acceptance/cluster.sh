#!/usr/bin/env bash
# A cluster, played: the rendered objects of k8s/base as processes in network, mount and process namespaces of their own, with an API server, Services, policies, probes,
# volumes and back-off. A run is scaled, killed, drained and evicted, and has the bits of one undisturbed worker; workers are 0 at its end, however it ends.
# Needs root, and ip, nft, unshare, setpriv (Debian: iproute2, nftables, util-linux). Nothing of it is seen outside of its namespaces.
#
#   tests/acceptance/cluster.sh           everything
#   tests/acceptance/cluster.sh --short   without what another part shows as well
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
build
dotnet build -c Release "$root/tests/DistTrain.PlayedCluster" >"$work/build.log" 2>&1 </dev/null || { cat "$work/build.log"; exit 1; }

# Containers have users of their own, and take their configuration from the objects alone.
unset DISTTRAIN__FAILUREDETECTION
chmod 755 "$work"
options=()
if $short; then options=(--short); fi

# The deadline of the whole: within it every wait of a play has its own. What a play has started ends with it.
timeout --signal=KILL 1500 "$root/artifacts/bin/DistTrain.PlayedCluster/release/DistTrain.PlayedCluster" \
  "$root/tests/DistTrain.Kubernetes.Tests/Rendered/base.yaml" "$(dirname "$disttrain")" "$work/played" "${options[@]}"
