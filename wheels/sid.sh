#!/usr/bin/env bash
# A userland of Debian sid, for the CPythons that it has: made at first, then a command runs in it.
#
#     wheels/sid.sh FOLDER COMMAND...
#
# As root, on Debian.  The command finds a copy of this working tree in /netpoll, where it runs, and the
# configuration of names, pip and TLS from outside.  The mounts are the command's own and end with it.
set -euo pipefail
folder=$1
shift

pythons=(3.14 3.15)
packages=(ca-certificates gcc g++ libc6-dev make openssl procps)
for version in "${pythons[@]}"; do
    packages+=("python$version-dev" "python$version-venv" "libpython$version-testsuite")
done

((UID == 0)) && [[ -e /etc/debian_version ]] || { echo "sid.sh: as root, on Debian" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

from_outside() {
    local path
    for path in /etc/resolv.conf /etc/pip.conf /etc/xdg/pip /etc/ssl/certs/ca-certificates.crt; do
        [[ ! -e $path ]] || { mkdir -p "$folder${path%/*}" && cp -rLT "$path" "$folder$path"; }
    done
}

mkdir -p "$folder"
if [[ ! -e $folder/.ready ]]; then
    command -v debootstrap >/dev/null || { apt-get update -qq && apt-get install -y -qq debootstrap; }
    # What snapshots of sid say of their age says nothing of what they are for here.
    [[ -e $folder/etc/debian_version ]] || debootstrap --variant=minbase sid "$folder"
    echo 'Acquire::Check-Valid-Until "false";' > "$folder/etc/apt/apt.conf.d/99-valid-until"
    from_outside # apt needs names
    chroot "$folder" sh -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"' - "${packages[@]}"
    touch "$folder/.ready"
fi
from_outside # anew, as ca-certificates has made certificates of its own

rm -rf "$folder/netpoll"
mkdir "$folder/netpoll"
git ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -T - -c | tar -x -C "$folder/netpoll"
exec unshare --mount sh -c '
    root=$1; shift
    mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" && mount -t tmpfs tmpfs "$root/tmp" || exit
    exec chroot "$root" sh -c "cd /netpoll && exec \"\$@\"" - "$@"' - "$folder" "$@"
