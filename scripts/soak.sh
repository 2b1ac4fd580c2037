#!/bin/sh
# Plays seeds of the simulation, one after another on every processor, for as long as asked; then tells how many
# and how fast. Fails when one of them broke an invariant, and says how to play it again.
# Usage: scripts/soak.sh PATH-OF-IDEAL MINUTES [FIRST-SEED]
set -eu

ideal=$(realpath "${1:?usage: scripts/soak.sh PATH-OF-IDEAL MINUTES [FIRST-SEED]}")
minutes=${2:?usage: scripts/soak.sh PATH-OF-IDEAL MINUTES [FIRST-SEED]}
# Other seeds each time, unless said otherwise.
first=${3:-$(($(date +%s) * 1000))}
workers=$(nproc)
work=$(mktemp -d "${TMPDIR:-/tmp}/ideal-soak.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

begin=$(date +%s)
end=$((begin + minutes * 60))
echo "seeds from $first on, $workers at a time, for $minutes min"

worker() {
    seed=$((first + $1))
    count=0
    while [ "$(date +%s)" -lt "$end" ]; do
        "$ideal" sim --seed "$seed" > /dev/null 2>> "$work/said.$1" || echo "$seed" >> "$work/bad"
        seed=$((seed + workers))
        count=$((count + 1))
    done
    echo "$count" > "$work/count.$1"
}
number=0
while [ "$number" -lt "$workers" ]; do
    worker "$number" &
    number=$((number + 1))
done
wait

seconds=$(($(date +%s) - begin))
[ "$seconds" -gt 0 ] || seconds=1
total=$(cat "$work"/count.* | awk '{ sum += $1 } END { print sum + 0 }')
echo "$total seeds in $seconds s: $((total / seconds)) a second"
if [ -e "$work/bad" ]; then
    cat "$work"/said.* >&2
    echo "BROKEN: $(wc -l < "$work/bad") seeds. To play one again:" >&2
    sed 's/^/  ideal sim --seed /' "$work/bad" >&2
    exit 1
fi
echo "no invariant was broken"
