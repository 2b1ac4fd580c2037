#!/bin/sh
# A plugin of ideal: it keeps right what `- plugin: {use: NAME, key: ..., with: {...}}` declares.
#
# One question comes as a JSON object on standard input, one answer goes as a JSON object to standard output:
#
#   {"ideal":1,"ask":"check","key":"/srv/greeting","with":{"text":"Hello"}}     is it right? change nothing
#   {"right":false,"differences":[{"what":"text","before":"Hi","after":"Hello"}]}
#
#   {"ideal":1,"ask":"apply",...}                                               make it right
#   {"right":true}
#
#   {"ideal":1,"ask":"query","query":"text",...}                                tell about it; change nothing
#   {"answer":"Hello"}
#
# What cannot be made right is {"error":"why, in a line"}. What goes to standard error is shown when it fails.
# Any language will do; this one keeps a file whose only line is `text`, and its way of reading JSON is enough for
# texts without quotes and backslashes.
set -eu

question=$(cat)
field() {
    printf '%s' "$question" | sed -n "s/.*\"$1\"[ ]*:[ ]*\"\\([^\"\\\\]*\\)\".*/\\1/p"
}
ask=$(field ask)
key=$(field key)
text=$(field text)
there=$(cat "$key" 2>/dev/null) || there=""

case $ask in
check)
    if [ -f "$key" ] && [ "$there" = "$text" ]; then
        echo '{"right":true}'
    else
        printf '{"right":false,"differences":[{"what":"text","before":"%s","after":"%s"}]}\n' "$there" "$text"
    fi
    ;;
apply)
    # Whole or not at all: a plugin may be killed at any moment.
    printf '%s\n' "$text" >"$key.new"
    mv "$key.new" "$key"
    echo '{"right":true}'
    ;;
query)
    printf '{"answer":"%s"}\n' "$there"
    ;;
*)
    printf '{"error":"this plugin does not know how to %s"}\n' "$ask"
    ;;
esac
