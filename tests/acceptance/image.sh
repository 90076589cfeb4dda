#!/usr/bin/env bash
# The image, built without a network on a base that is made here, and run as it is meant to be run: as uid 65532, without capabilities, its root
# read-only, nothing writable but /tmp and a volume. It trains the bits that the program trains here. A changed line of code changes the
# program's layer, and the one of the empty folder, which has the time of its making; above all not libtorch's.
#
#   tests/acceptance/image.sh           builds twice, the second time with a changed line
#   tests/acceptance/image.sh --short   builds once
#
# Needs root and, which it installs where they are missing, Debian's buildah, debootstrap and crun.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
limit=700000000
sdk=$(dirname "$(readlink -f "$(command -v dotnet)")")

need_tools() {
  local tool missing=()
  for tool in buildah debootstrap crun; do
    command -v "$tool" >/dev/null || missing+=("$tool")
  done
  if [ "$(id -u)" -ne 0 ]; then
    echo "image.sh needs root: it makes a root file system and runs containers." >&2
    exit 1
  fi
  if [ ${#missing[@]} -gt 0 ]; then
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"; } >"$work/apt.log" 2>&1 \
      || { cat "$work/apt.log"; echo "image.sh needs ${missing[*]}, and apt-get does not install them." >&2; exit 1; }
  fi
}

# Whatever a command mounts is gone when it ends: what is removed in the end holds nothing but files.
apart() { unshare --mount --propagation private -- "$@"; }

# A place of its own for images; overlay where the kernel lets it be mounted here.
use_storage() {
  local driver=vfs
  mkdir -p "$work/probe"/{lower,upper,work,merged} "$work/tmp"
  apart mount -t overlay overlay -o "lowerdir=$work/probe/lower,upperdir=$work/probe/upper,workdir=$work/probe/work" "$work/probe/merged" 2>/dev/null \
    && driver=overlay
  printf '[storage]\ndriver = "%s"\ngraphroot = "%s"\nrunroot = "%s"\n' "$driver" "$work/storage" "$work/storage-run" >"$work/storage.conf"
  export CONTAINERS_STORAGE_CONF=$work/storage.conf
}

# buildah's temporary files and caches belong to this run, too. --net: with nothing but a loopback device that is down.
buildah() { TMPDIR=$work/tmp unshare --mount --propagation private --net -- buildah "$@"; }

# This machine's release, from where apt has it.
make_base() {
  local codename mirror
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  mirror=$(apt-get indextargets --format '$(SITE)' "Created-By: Packages" "Codename: $codename" | head -n 1)
  apart debootstrap --variant=minbase --include=ca-certificates "$codename" "$work/debian" "$mirror" || { tail -n 20 "$work/debian/debootstrap/debootstrap.log"; return 1; }
  rm -rf "$work/debian"/{var/cache/apt,var/lib/apt/lists,var/log,usr/share/doc,usr/share/info,usr/share/locale,usr/share/man,dev}
  mkdir -p "$work/debian"/{dev,var/cache/apt,var/lib/apt/lists,var/log}
}

# What Microsoft's images are to the Dockerfile: this machine's SDK, and its runtimes alone, where those have them and with their variables.
make_bases() {
  cat >"$work/bases.Dockerfile" <<'END'
FROM scratch AS debian
COPY / /
RUN ln -s /usr/share/dotnet/dotnet /usr/bin/dotnet
ENV DOTNET_RUNNING_IN_CONTAINER=true DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=true ASPNETCORE_HTTP_PORTS=8080

FROM debian AS sdk
COPY --from=dotnet / /usr/share/dotnet/

FROM debian AS runtime
COPY --from=dotnet dotnet /usr/share/dotnet/
COPY --from=dotnet host /usr/share/dotnet/host/
COPY --from=dotnet shared /usr/share/dotnet/shared/
END
  local target
  for target in sdk runtime; do
    buildah build --isolation chroot --file "$work/bases.Dockerfile" --target "$target" --build-context "dotnet=$sdk" \
      --tag "localhost/base/$target" "$work/debian" || return 1
  done
}

# make_image NAME SOURCE: without the cache of an earlier build, so that equal layers are equal work and not the same file
make_image() {
  buildah build --isolation chroot --layers --no-cache --pull-never --file "$2/deploy/Dockerfile" --target cpu \
    --build-arg SDK=localhost/base/sdk --build-arg RUNTIME=localhost/base/runtime \
    --build-context "packages=$packages" --tag "localhost/$1" "$2" || return 1
  buildah push --disable-compression "localhost/$1" "dir:$work/$1"
}

# The digests of an image's layers, bottom first; its configuration's is not among them.
layers() { grep -o '"digest": *"sha256:[0-9a-f]*"' "$work/$1/manifest.json" | grep -o '[0-9a-f]\{64\}' | tail -n +2; }
configuration() { cat "$work/$1/$(grep -o '"digest": *"sha256:[0-9a-f]*"' "$work/$1/manifest.json" | grep -o '[0-9a-f]\{64\}' | head -n 1)"; }

# layer NAME FILE: the digest of the layer that brings a file
layer() {
  local digest
  for digest in $(layers "$1"); do
    if tar -tf "$work/$1/$digest" | grep -xE "(\./)?$2" >/dev/null; then
      echo "$digest"
      return
    fi
  done
}
size() { stat -c %s "$work/$1/$2"; }

unpack() {
  local digest
  mkdir "$work/rootfs"
  for digest in $(layers "$1"); do
    tar -xpf "$work/$1/$digest" -C "$work/rootfs" --numeric-owner --delay-directory-restore
  done
  ! find "$work/rootfs" -name '.wh.*' | grep .
}

# The container runtime without control groups, of which some machines have two kinds at once, which crun refuses: this one sees one kind.
runtime() {
  apart bash -c 'mount -t cgroup2 none /sys/fs/cgroup && exec crun --cgroup-manager=disabled --root "$0" "$@"' "$work/crun" "$@"
}

# container NAME COMMAND...: a container as Kubernetes would start it from the manifests: the image's user, variables and folder, no capability,
# no new privileges, a network without the world, a root that is read-only, and two places to write to.
container() {
  local name=$1 bundle=$work/bundle-$1 arguments
  shift
  arguments=$(printf '%s\n' "$@" | sed 's/[\\"]/\\&/g; s/.*/"&"/' | paste -sd,)
  mkdir -p "$bundle"
  cat >"$bundle/config.json" <<END
{
  "ociVersion": "1.0.2",
  "process": {
    "user": { "uid": 65532, "gid": 65532 }, "args": [$arguments], "cwd": "/var/lib/disttrain", "noNewPrivileges": true, "capabilities": {},
    "env": $(configuration image | grep -o '"Env":\[[^]]*\]' | sed 's/^"Env":\[/["DISTTRAIN__FAILUREDETECTION='"$DISTTRAIN__FAILUREDETECTION"'",/')
  },
  "root": { "path": "$work/rootfs", "readonly": true },
  "mounts": [
    { "destination": "/proc", "type": "proc", "source": "proc" },
    { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=64k"] },
    { "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "noexec", "mode=1777", "size=1g"] },
    { "destination": "/var/lib/disttrain", "type": "bind", "source": "$work/volume", "options": ["rbind", "rw", "nosuid", "nodev", "noexec"] }
  ],
  "linux": { "namespaces": [{ "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }] }
}
END
  runtime run --bundle "$bundle" "disttrain-$name-$$" </dev/null
}
inside() { container "$1" sh -c "$2"; }

# A run in a container that is asked to end in the middle: the first process of a container gets no signal's default.
stopped() {
  local code=0 deadline=$((SECONDS + 120)) running signal=TERM
  container stopped disttrain train digits --workers 2 --out stopped --set stop.epochs=2000 --set schedule.name=constant >"$work/stopped.log" 2>&1 &
  running=$!
  until grep -qs '"step":3,' "$work/volume/stopped/metrics.jsonl"; do
    if [ $SECONDS -ge $deadline ] || ! kill -0 "$running"; then
      echo "it does not come to step 3"
      signal=KILL
      break
    fi
    read -r -t 0.2 <> <(:) || true
  done
  runtime kill "disttrain-stopped-$$" "$signal"
  wait "$running" || code=$?
  tail -n 5 "$work/stopped.log"
  echo "exit code $code"
  [ "$code" -eq 0 ] && grep -q '"status": "stopped"' "$work/volume/stopped/summary.json"
}

need_tools
build
use_storage
packages=${NUGET_PACKAGES:-$HOME/.nuget/packages}
chmod 755 "$work"
mkdir "$work/volume"
chown 65532:65532 "$work/volume"

check "a base, by debootstrap" make_base
check "bases with this machine's SDK and runtime" make_bases
check "deploy/Dockerfile builds without a network" make_image image "$root"
check "the image unpacks" unpack image

echo "        layers, bottom first:"
for digest in $(layers image); do
  printf '        %4d MB  %.12s  %s\n' $(($(size image "$digest") / 1000000)) "$digest" \
    "$(tar -tvf "$work/image/$digest" | sort -k3 -n -r | head -n 1 | sed 's/.* //')"
done
total=$(for digest in $(layers image); do size image "$digest"; done | awk '{ all += $1 } END { print all }')
check "unpacked it has $((total / 1000000)) MB, less than $((limit / 1000000))" test "$total" -lt "$limit"

declared() { configuration image | grep -F "$1"; }
check "it is nobody's: user 65532" declared '"User":"65532:65532"'
check "its entry point is disttrain" declared '"Entrypoint":["disttrain"]'
check "it is labelled" declared '"org.opencontainers.image.version":"'"$(sed -n 's#.*<Version>\(.*\)</Version>.*#\1#p' "$root/Directory.Build.props")"'"'
clean() {
  ! find "$work/rootfs/opt" \( -name '*.pdb' -o -name '*.xml' -o -name '*python*' -o -name '*test*' \) | grep . \
    && ! find "$work/rootfs/opt" \( -perm /6022 -o ! -user root -o ! -group root \) | grep . \
    && ! find "$work/rootfs" -path "$work/rootfs/usr/share/dotnet/sdk" -o -path "$work/rootfs/source" -o -path "$work/rootfs/layers" -o -path "$work/rootfs/packages" | grep . \
    && [ -z "$(ls -A "$work/rootfs/var/lib/disttrain")" ]
}
check "no SDK, source, symbols or test library is inside; the program belongs to root and only root may change it" clean

check "id -u is 65532, id -g too" inside id '[ "$(id -u) $(id -g)" = "65532 65532" ]'
check "it has no capability" inside capabilities 'grep -q "^CapEff:[[:space:]]*0*$" /proc/self/status && grep -q "^CapBnd:[[:space:]]*0*$" /proc/self/status'
check "it writes to /tmp and to the volume" inside writes 'touch /tmp/x /var/lib/disttrain/x && rm /var/lib/disttrain/x'
check "it writes nowhere else" inside readonly '! find / -path /proc -prune -o -path /tmp -prune -o -path /var/lib/disttrain -prune -o -writable ! -type l ! -type c -print | grep . && ! touch /opt/disttrain/x'
check "disttrain train digits" container train disttrain train digits --workers 2
check "the program of the build trains" train local digits --workers 2
check "the same bits in the image as here" same local volume/runs/digits
check "audit, in the image" container audit disttrain audit runs/digits
check "SIGTERM ends a run in the middle, its state written, with exit code 0" stopped

if ! $short; then
  # What a builder sees of the source, with one line of it changed.
  changed=$work/changed-source
  change() {
    mkdir "$changed" && cp -r "$root"/{src,protos,deploy,.dockerignore,.editorconfig,LICENSE,global.json} "$root"/Directory.* "$changed" || return 1
    if [ -d "$root/k8s" ]; then cp -r "$root/k8s" "$changed"; fi
    sed -i 's/Start here:/Begin here:/' "$changed/src/DistTrain/Verbs/CommandTree.cs"
    ! diff -rq "$root/src" "$changed/src" | grep -v CommandTree.cs
    grep -q 'Begin here:' "$changed/src/DistTrain/Verbs/CommandTree.cs"
  }
  check "a line of code is changed" change
  check "the changed source builds" make_image changed "$changed"
  differing() { diff <(layers image) <(layers changed) | grep '^<' | sed 's/^< //'; }
  layer_stays() {
    local before after
    before=$(layer image "$1")
    after=$(layer changed "$1")
    echo "$before, then $after"
    [ -n "$before" ] && [ "$before" = "$after" ]
  }
  check "libtorch's layer is the same" layer_stays opt/disttrain/libtorch_cpu.so
  check "the packages' layer is the same" layer_stays opt/disttrain/TorchSharp.dll
  only_program() { differing; [ "$(differing)" = "$(layer image opt/disttrain/disttrain.dll; layer image var/lib/disttrain/)" ]; }
  check "only the program's layer, of $(($(size image "$(layer image opt/disttrain/disttrain.dll)") / 1000)) kB, and the empty folder's differ" only_program
fi
check "no process is left" nothing_left
finish
