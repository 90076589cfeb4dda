#!/bin/sh
# Publishes the program and sorts it into one folder for each layer of the image, by how often it changes. Called by deploy/Dockerfile.
#
#   deploy/layers.sh BACKEND PACKAGES LAYERS
#
# BACKEND   cpu or cuda: whose libtorch
# PACKAGES  a folder of NuGet packages to restore from; an empty one means the configured registries
# LAYERS    the folder to make
set -eu
backend=$1 packages=$2 layers=$3
cd "$(dirname "$0")/.."
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 MSBUILDDISABLENODEREUSE=1 DOTNET_EnableDiagnostics=0

set --
[ -z "$(ls -A "$packages")" ] || set -- "-p:RestoreSources=$packages"
published=$(mktemp -d)
dotnet publish src/DistTrain.Cli -c Release -r linux-x64 --no-self-contained \
  -p:TorchBackend="$backend" -p:ContinuousIntegrationBuild=true -p:DebugType=none -p:UseSharedCompilation=false "$@" -o "$published"

for layer in libtorch packages program; do
  mkdir -p "$layers/$layer/opt/disttrain"
done
for entry in "$published"/*; do
  case $(basename "$entry") in
    *.so | *.so.*) layer=libtorch ;;
    disttrain | disttrain.* | DistTrain.*) layer=program ;;
    *) layer=packages ;;
  esac
  mv "$entry" "$layers/$layer/opt/disttrain/"
done
mkdir "$layers/volume"

# The same contents are the same layer, whoever built them, when, and with whatever umask.
find "$layers" -type d -exec chmod 755 {} +
find "$layers" -type f -exec chmod 644 {} +
chmod 755 "$layers/program/opt/disttrain/disttrain"
find "$layers" -exec touch --no-dereference --date=@0 {} +
