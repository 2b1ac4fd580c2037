# Says what this machine is; then takes the program, if it is told to, and lets it do what is to be done.
# Read from the other end: one line for each thing, and then the program itself. BUILD is put in beforehand.
say() { printf 'ideal:%s %s\n' "$1" "$2"; }
fail() { say failed "$1"; exit 0; }
# Hands on so many bytes, and says how many came. `head` may read more than it hands on: only what comes last may be for it.
pieces() {
  came=0
  if dd iflag=fullblock count=0 < /dev/null > /dev/null 2>&1; then
    while [ "$came" -lt "$bytes" ]; do
      piece=$((bytes - came))
      [ "$piece" -le 262144 ] || piece=262144
      dd bs="$piece" count=1 iflag=fullblock 2> /dev/null || break
      came=$((came + piece))
      say came "$came" >&3
    done
  else
    head -c "$bytes"
  fi
}
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
[ -x "$lib/current/ideal" ] && say runs yes
[ -f "$home/identity.json" ] && say identity "$(tr -d '\n' < "$home/identity.json")"
say ready yes
while read -r order bytes sum; do
  case $order in
  take)
    new=$lib/$build/ideal.$$
    mkdir -p "$lib/$build" || fail "$lib cannot be made"
    trap 'rm -f "$new"' EXIT
    # A shell that a signal ends leaves by no exit.
    trap 'exit 1' HUP PIPE TERM
    exec 3>&1
    why=$( { pieces | gzip -dc > "$new"; } 2>&1 ) || fail "${why:-the program did not arrive}"
    exec 3>&-
    [ -z "$why" ] || fail "$why"
    set -- $(sha256sum "$new")
    [ "$1" = "$sum" ] || fail "what arrived is not what was sent"
    chmod 755 "$new" && sync "$new" 2>/dev/null || sync
    mv -f "$new" "$lib/$build/ideal" || fail "the program cannot be put in its place"
    say taken "$build"
    ;;
  # What is left of a node that died while it left.
  sweep)
    [ -f "$home/identity.json" ] || rm -rf /var/lib/ideal.gone
    say swept yes
    exit 0
    ;;
  install)
    rm -rf /var/lib/ideal.gone
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
