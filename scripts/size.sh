#!/bin/sh
# The shipped program must be static (it is put into any Linux image) and small (it is sent to every node).
# Usage: scripts/size.sh PATH-OF-IDEAL
set -eu

program=${1:?usage: scripts/size.sh PATH-OF-IDEAL}
if ldd "$program" 2>/dev/null | grep -q '=>'; then
    echo "$program needs shared libraries:" >&2
    ldd "$program" >&2
    exit 1
fi
whole=$(wc -c < "$program")
packed=$(gzip -9 < "$program" | wc -c)
echo "static; $((whole / 1000000)) MB, $((packed / 1000000)) MB compressed (at most 40 and 12)"
[ "$whole" -le 40000000 ] && [ "$packed" -le 12000000 ]
