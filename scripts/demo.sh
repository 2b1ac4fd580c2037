#!/bin/sh
# The whole loop in some seconds, on this machine, each claim checked: up, heal, away, wake, end.
# Usage: scripts/demo.sh PATH-OF-IDEAL
set -eu

ideal=$(realpath "${1:?usage: scripts/demo.sh PATH-OF-IDEAL}")
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/ideal-demo.XXXXXX")
export XDG_STATE_HOME="$work/state" XDG_RUNTIME_DIR="$work/run"
unset IDEAL_FILE IDEAL_OUTPUT || true
mkdir -m 700 "$work/run"
mkdir "$work/shop"
cp "$here/examples/quickstart/ideal.yaml" "$work/shop/"
cd "$work/shop"

# Everything of the demo carries its folder in its environment.
processes() {
    grep -lzs "^IDEAL_HOME=$work/" /proc/[0-9]*/environ | sed 's|/proc/\([0-9]*\)/environ|\1|' || true
}
clean_up() {
    code=$?
    trap - EXIT INT TERM
    for _ in 1 2 3 4 5; do
        left=$(processes)
        [ -z "$left" ] && break
        # Keepers may start something while the others are ended.
        kill -9 $left 2>/dev/null || true
    done
    cd /
    rm -rf "$work"
    [ "$code" -eq 0 ] || echo "the demo FAILED ($code)" >&2
    exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

say() { printf '\n== %s\n' "$*"; }
run() { printf '$ ideal %s\n' "$*"; "$ideal" "$@"; }
fail() { echo "CLAIM NOT TRUE: $*" >&2; exit 1; }
checked() { echo "   checked: $*"; }
pid_of() {
    "$ideal" status -o json | tr -d ' \n' | sed -n "s/.*\"$1\":{\"node\":\"[^\"]*\",\"pid\":\([0-9]*\).*/\1/p"
}
numbers() { find .ideal/local -name numbers -path '*/volumes/*' | head -n 1; }
milliseconds() { echo $(($(date +%s%N) / 1000000)); }
# Lines are 1, 2, 3 ...: nothing lost, nothing doubled.
is_whole() { awk '$1 != NR { exit 1 } END { if (NR == 0) exit 1 }' "$1"; }

say "The file is checked; nothing is contacted."
run check

say "What would be done, and why."
run plan --to launched
[ ! -e .ideal ] || fail "a plan left something behind"
checked "a plan changes nothing"

say "It is made so."
run up
"$ideal" status --check > /dev/null || fail "it is not as demanded after up"
checked "seen as demanded"
before=$(milliseconds)
"$ideal" up -q > /dev/null || fail "a second up failed"
checked "a second up finds nothing to do, in $(($(milliseconds) - before)) ms"

say "Ideal against actual."
run status
grep -q "hello from shop.web\[1\]" .ideal/local/machines/*/root/etc/motd || fail "no greeting on shop.web[1]"
sleep 0.5
echo "   the counter's data: $(tail -n 3 "$(numbers)" | tr '\n' ' ')..."

say "A service is killed: its node heals itself, and nobody else is needed."
pid=$(pid_of 'hello\[0\]')
[ -n "$pid" ] || fail "hello[0] has no process"
before=$(milliseconds)
kill -9 "$pid"
while :; do
    again=$(pid_of 'hello\[0\]')
    [ -n "$again" ] && [ "$again" != "$pid" ] && break
    [ $(($(milliseconds) - before)) -lt 3000 ] || fail "hello[0] did not come back"
done
checked "hello[0] runs again as process $again, seen $(($(milliseconds) - before)) ms after the kill"

say "The node of the database dies, with everything on it."
keeper=
for file in .ideal/local/machines/*/keeper.json; do
    folder=${file%/keeper.json}
    if [ -n "$(find "$folder/volumes" -name numbers 2>/dev/null)" ]; then
        keeper=$(tr -d ' \n' < "$file" | sed 's/.*"pid":\([0-9]*\).*/\1/')
    fi
done
[ -n "$keeper" ] || fail "the database has no machine"
kill -9 "$keeper"
if "$ideal" status --check > /dev/null 2>&1; then fail "the death was not seen"; fi
lines=$(wc -l < "$(numbers)")
run heal
"$ideal" status --check > /dev/null || fail "it is not as demanded after heal"
is_whole "$(numbers)" || fail "numbers are missing"
[ "$(wc -l < "$(numbers)")" -ge "$lines" ] || fail "lines were lost"
checked "another machine, the same volume, no number lost or doubled"

say "It is put away: nothing runs, nothing is lost."
run away --yes
[ -z "$(processes)" ] || fail "something still runs"
seal=$(find .ideal/local/snapshots -name numbers | head -n 1)
last=$(tail -n 1 "$seal")
is_whole "$seal" || fail "the snapshot is not whole"
checked "no process is left; the snapshot ends with $last"

say "Away is a state like any other."
run status
"$ideal" status --check > /dev/null || fail "it is not as demanded while away"

say "It wakes."
run wake
sleep 0.3
is_whole "$(numbers)" || fail "the data is not what was put away"
grep -qx "$last" "$(numbers)" || fail "the last number is gone"
checked "every number up to $last is there, and it goes on: $(tail -n 1 "$(numbers)")"

say "It is ended for good, snapshots too."
run destroy --snapshots --yes --name shop
[ -z "$(processes)" ] || fail "a process is left"
[ ! -e .ideal ] || fail "a folder is left"
[ -z "$(find "$work/state" -type f)" ] || fail "a store is left"
checked "no process, no folder, no store is left"

say "All claims were checked."
