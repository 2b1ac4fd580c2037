# Says what this machine is; then takes the program, if it is told to, and lets it do what is to be done.
# Read from the other end: one line for each thing, and then the program itself. BUILD is put in beforehand.
say() { printf 'ideal:%s %s\n' "$1" "$2"; }
fail() { say failed "$1"; exit 0; }
lib=/usr/local/lib/ideal
build=BUILD
home=/var/lib/ideal/home
umask 022
say system "$(uname -s)"
say kernel "$(uname -r)"
say machine "$(uname -m)"
set -- $({ df -Pk /usr/local || df -Pk /usr || df -Pk /; } 2>/dev/null | tail -n 1)
say free "${4:-0}"
"$lib/$build/ideal" version > /dev/null 2>&1 && say has "$build"
[ -f "$home/identity.json" ] && say identity "$(tr -d '\n' < "$home/identity.json")"
say ready yes
while read -r order bytes sum; do
  case $order in
  take)
    new=$lib/$build/ideal.$$
    mkdir -p "$lib/$build" || fail "$lib cannot be made"
    trap 'rm -f "$new"' EXIT
    why=$( { head -c "$bytes" | gzip -dc > "$new"; } 2>&1 ) || fail "${why:-the program did not arrive}"
    [ -z "$why" ] || fail "$why"
    set -- $(sha256sum "$new")
    [ "$1" = "$sum" ] || fail "what arrived is not what was sent"
    chmod 755 "$new" && sync "$new" 2>/dev/null || sync
    mv -f "$new" "$lib/$build/ideal" || fail "the program cannot be put in its place"
    say taken "$build"
    ;;
  install)
    exec "$lib/$build/ideal" agent install
    ;;
  leave)
    [ -x "$lib/current/ideal" ] && exec "$lib/current/ideal" agent leave
    exec "$lib/$build/ideal" agent leave
    ;;
  *)
    exit 0
    ;;
  esac
done
