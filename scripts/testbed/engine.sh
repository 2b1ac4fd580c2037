#!/usr/bin/env bash
# Runs a container engine of its own, which shares nothing with another on this machine: own data, own socket, no
# bridge, no rule of a firewall. It ends when what it was started by ends its input.
#
#     engine.sh FOLDER      then: docker -H unix://FOLDER/engine.sock ...
set -euo pipefail
folder=$(mkdir -p "$1" && cd "$1" && pwd)
# One that was left behind by a start that was killed.
old=$(cat "$folder/engine.pid" 2> /dev/null || true)
if [ -e "/proc/${old:-none}/cmdline" ] && tr '\0' ' ' < "/proc/$old/cmdline" | grep -qF -- "--data-root $folder/data"; then
    kill "$old"
    while [ -e "/proc/$old" ]; do sleep 0.1; done
fi
# The containerd of an engine that was killed dies with it, and nobody may have taken note of its death yet: then the
# next engine would take it for alive and wait for it. Containers do without; it is started anew.
words() { { tr '\0' ' ' < "/proc/$1/cmdline"; } 2> /dev/null || true; }
old=$(cat "$folder/run/containerd/containerd.pid" 2> /dev/null || true)
if [ -n "$old" ] && [[ $(words "$old") == *"$folder/run/containerd/"* ]]; then
    kill -KILL "$old" 2> /dev/null || true
    while [ -n "$(words "$old")" ]; do sleep 0.1; done
fi
rm -f "$folder/run/containerd/containerd.pid"
rm -f "$folder/engine.pid" "$folder/engine.sock"
exec 3<&0
dockerd --data-root "$folder/data" --exec-root "$folder/run" --pidfile "$folder/engine.pid" \
    --host "unix://$folder/engine.sock" --bridge none --iptables=false --ip6tables=false \
    > "$folder/engine.log" 2>&1 3<&- &
engine=$!
finish() {
    kill "$engine" 2> /dev/null || true
    wait "$engine" || true
    # It leaves the name of the network that its containers shared with the host, and its folder where one before it
    # was killed.
    umount "$folder"/run/netns/* "$folder/data" 2> /dev/null || true
}
trap finish EXIT
trap 'exit 1' INT TERM
# Whoever started this holds the other end; when that is gone, for whatever reason, so is the engine.
cat <&3 > /dev/null &
wait -n || true
