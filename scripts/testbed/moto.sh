#!/usr/bin/env bash
# Runs moto's server, an EC2 of our own, at a free port of this machine. Says where on its first line (`127.0.0.1:4711`),
# once it answers. It ends when what it was started by ends its input.
#
#     moto.sh FOLDER        FOLDER is the Python environment that `make setup` makes: target/moto
set -euo pipefail
exec 3<&0
# What it says is read to the end, so that it never waits for that.
"$1/bin/moto_server" -H 127.0.0.1 -p 0 3<&- < /dev/null > >(exec 3<&-; sed -un 's|.* Running on http://||p') 2>&1 &
server=$!
finish() {
    kill "$server" 2> /dev/null || true
    wait "$server" || true
}
trap finish EXIT
trap 'exit 1' INT TERM
# Whoever started this holds the other end; when that is gone, for whatever reason, so is the server.
cat <&3 > /dev/null &
wait -n || true
