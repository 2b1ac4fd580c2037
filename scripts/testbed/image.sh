#!/usr/bin/env bash
# Makes the system that the tests run in: a Debian of its own, as one archive that an engine can import. Made once
# and kept in FOLDER until what it is made of changes. Prints the path of the archive.
#
#     image.sh FOLDER
set -euo pipefail
folder=$(mkdir -p "$1" && cd "$1" && pwd)
release=bookworm
# What a plain server has, and what the tests look at: an init, cron, accounts, git, tools of filesystems; and
# package managers that are not Debian's own.
packages=systemd,systemd-sysv,sysvinit-utils,dbus,cron,git,sudo,ca-certificates,openssh-client,e2fsprogs,mount,procps,gpgv
packages+=,dnf,rpm,createrepo-c,python3-pip,ruby
# Servers, of which none runs before it is asked to.
servers=(openssh-server postgresql xfsprogs)

key=$(printf '%s\n' "$release" "$packages" | cat - "${BASH_SOURCE[0]}" | sha256sum | cut -c1-16)
image=$folder/system-$key.tar

exec 9> "$folder/image.lock"
flock 9
if [ ! -e "$image" ]; then
    # Packages come from where the host has them: its sources, its proxy, its keys.
    eval "$(apt-config shell proxy Acquire::http::Proxy)"
    [ -z "${proxy:-}" ] || export http_proxy="$proxy"
    mirror=$(apt-get indextargets --format '$(REPO_URI)' "Codename: $release" 2> /dev/null | sort -u | head -n 1)
    root=$(mktemp -d "$folder/root.XXXXXX")
    trap 'rm -rf "$root"' EXIT
    chmod 755 "$root"
    debootstrap --variant=minbase --include="$packages" "$release" "$root" ${mirror:+"$mirror"} >&2
    # What the host says about getting packages holds in there too.
    rm -f "$root"/etc/apt/sources.list
    for at in sources.list sources.list.d apt.conf.d trusted.gpg trusted.gpg.d keyrings auth.conf.d; do
        [ ! -e "/etc/apt/$at" ] || cp -a "/etc/apt/$at" "$root/etc/apt/"
    done
    rm -f "$root"/etc/apt/apt.conf.d/*docker* "$root"/etc/apt/apt.conf.d/*packagekit* "$root"/etc/apt/apt.conf.d/*appstream*
    chroot "$root" apt-get update -qq >&2
    printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    mkdir -p "$root/etc/postgresql-common/createcluster.d"
    echo 'create_main_cluster = false' > "$root/etc/postgresql-common/createcluster.d/none.conf"
    DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get install -y -qq --no-install-recommends "${servers[@]}" >&2
    rm "$root/usr/sbin/policy-rc.d" "$root/etc/postgresql-common/createcluster.d/none.conf"
    rm -f "$root"/etc/systemd/system/multi-user.target.wants/{ssh,postgresql}.service "$root"/etc/systemd/system/sshd.service
    # Each machine makes its own.
    rm -f "$root"/etc/ssh/ssh_host_*
    # Nothing that belongs to a console or to time of boot: a container has neither.
    rm -f "$root"/lib/systemd/system/getty.target.wants/* "$root"/etc/systemd/system/getty.target.wants/*
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/log/*
    tar -C "$root" --numeric-owner -cf "$image.part" .
    rm -f "$folder"/system-*.tar
    mv "$image.part" "$image"
fi
echo "$image"
