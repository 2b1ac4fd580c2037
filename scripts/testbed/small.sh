#!/usr/bin/env bash
# Makes the smallest system that can be a node: busybox, the tools of its filesystems that the host has, and the
# libraries that those and PROGRAM need, as one archive that an engine can import. Without PROGRAM it is busybox and
# nothing else. Prints the path of the archive.
#
#     small.sh FOLDER [PROGRAM]
set -euo pipefail
folder=$(mkdir -p "$1" && cd "$1" && pwd)
root=$(mktemp -d "$folder/small.XXXXXX")
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
cd "$root"
mkdir -p bin sbin etc proc sys dev tmp root run var/lib usr/local/bin
PATH=$PATH:/usr/sbin:/sbin
cp "$(command -v busybox)" bin/busybox
for name in sh ls cat cp mv rm mkdir rmdir ln chmod sleep sync echo mount umount df ps kill id stat touch tar dd sha256sum tail head wc date test; do
    ln -s busybox "bin/$name"
done
echo 'root:x:0:0:root:/root:/bin/sh' > etc/passwd
echo 'root:x:0:' > etc/group
# What a program needs beside itself; one that is static needs nothing.
libraries() {
    { ldd "$1" 2> /dev/null || true; } | { grep -o '/[^ ]*' || true; } | while read -r library; do
        mkdir -p ".$(dirname "$library")"
        cp -L "$library" ".$library"
    done
}
pack() {
    tar --numeric-owner -cf "$folder/$1.part" .
    mv "$folder/$1.part" "$folder/$1"
    echo "$folder/$1"
}
if [ "$#" -lt 2 ]; then
    pack bare.tar
    exit
fi
for name in mkfs.ext4 fsck.ext4 resize2fs fsfreeze mkfs.xfs xfs_repair xfs_growfs; do
    if at=$(command -v "$name"); then
        cp -L "$at" "sbin/$name"
        libraries "$at"
    fi
done
cp /etc/mke2fs.conf etc/
libraries "$2"
pack small.tar
