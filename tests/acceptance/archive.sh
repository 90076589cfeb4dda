#!/usr/bin/env bash
# The release archive as a user meets it: checked, unpacked into an empty folder by somebody who is not root, on a machine without .NET, used, and removed.
#
#   tests/acceptance/archive.sh
#
# As root it hides the machine's .NET and becomes another user; otherwise it leaves .NET out of the environment and stays who you are.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
limit=250000000
sdk=$(dirname "$(readlink -f "$(command -v dotnet)")")
home=$work/home

# A shell command of the user, in the user's folder, with an environment that knows nothing of .NET.
user() {
  local clean=(env -i "PATH=/usr/bin:/bin" "HOME=$home" "DISTTRAIN_ACCEPTANCE_MARK=$DISTTRAIN_ACCEPTANCE_MARK"
    "DISTTRAIN__FAILUREDETECTION=$DISTTRAIN__FAILUREDETECTION" bash -c "cd '$home' && $1")
  if [ "$(id -u)" -eq 0 ]; then
    unshare --mount --propagation private -- bash -c 'mount -t tmpfs none "$0" && exec setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs -- "$@"' \
      "$sdk" "${clean[@]}" </dev/null
  else
    "${clean[@]}" </dev/null
  fi
}

build
mkdir "$home" "$work/made"
chmod 755 "$work"
[ "$(id -u)" -ne 0 ] || chown 65534:65534 "$home"
version=$(sed -n 's#.*<Version>\(.*\)</Version>.*#\1#p' "$root/Directory.Build.props")
name=disttrain-$version-linux-x64

check "deploy/archive.sh makes $name.tar.gz" "$root/deploy/archive.sh" "$work/made"
size=$(stat -c %s "$work/made/$name.tar.gz")
check "it has $((size / 1000000)) MB, at most $((limit / 1000000))" test "$size" -le "$limit"
check "its checksum is right" bash -c 'cd "$0" && sha256sum -c "$1"' "$work/made" "$name.tar.gz.sha256"
only_below() { ! tar -tzf "$work/made/$name.tar.gz" | grep -vE "^$name(/|\$)"; }
check "all of it lies below one folder" only_below
[ "$(id -u)" -ne 0 ] || check "the user has no .NET" user '! dotnet --version'

check "unpacked" user "tar -xzf ../made/$name.tar.gz"
check "it has $(du -s --apparent-size --block-size=1MB "$home/$name" | cut -f1) MB unpacked; nothing in it is for building or debugging" \
  user "! find $name -name '*.pdb' -o -name '*.xml' | grep ."
check "it says its version" user "$name/disttrain --version | grep -xF '$version'"
check "disttrain train digits" user "$name/disttrain train digits --workers 2 --out run"
check "the program of the build trains" train local digits --workers 2
cp -r "$home/run" "$work/run"
check "the same bits as the program of the build" same local run
check "verify, by the archive's program" user "$name/disttrain verify run ../local"
check "predict" user "$name/disttrain predict run --count 5"
check "removed, and nothing of it is left" user "rm -rf $name && [ \"\$(ls -A)\" = run ]"
check "no process is left" nothing_left
finish
