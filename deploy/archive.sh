#!/usr/bin/env bash
# Makes the release archive: everything that a linux-x64 machine with glibc and libstdc++ needs, the .NET runtime and libtorch included.
#
#   deploy/archive.sh [FOLDER]     writes FOLDER/disttrain-VERSION-linux-x64.tar.gz and its .sha256; FOLDER is artifacts where left away
#
# The archive of a source has the same bytes wherever one SDK makes it.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mkdir -p "${1:-$root/artifacts}"
target=$(cd "${1:-$root/artifacts}" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/disttrain-archive-XXXXXX")
trap 'rm -rf "$work"' EXIT

version=$(dotnet msbuild "$root/src/DistTrain.Cli" -getProperty:Version)
name=disttrain-$version-linux-x64
dotnet publish "$root/src/DistTrain.Cli" -c Release -r linux-x64 --self-contained \
  -p:ArtifactsPath="$work/build" -p:ContinuousIntegrationBuild=true -p:DebugType=none -o "$work/$name"

find "$work/$name" -type d -exec chmod 755 {} +
find "$work/$name" -type f -exec chmod 644 {} +
chmod 755 "$work/$name/disttrain" "$work/$name/createdump"
tar --create --directory="$work" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner "$name" | gzip --no-name -6 >"$work/$name.tar.gz"
(cd "$work" && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256")
mv "$work/$name.tar.gz" "$work/$name.tar.gz.sha256" "$target"
echo "$target/$name.tar.gz: $(du --apparent-size --block-size=1MB "$target/$name.tar.gz" | cut -f1) MB, unpacked $(du -s --apparent-size --block-size=1MB "$work/$name" | cut -f1) MB"
