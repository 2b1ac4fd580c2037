//! The file that `ideal init` writes: small, commented, and running as it is.

use ideal_core::id::{CloudId, Name};

/// A starter file for a cluster of this name. It needs three uuids: of the whole, of `db` and of `web`.
pub fn starter(name: &Name, uuids: [CloudId; 3]) -> String {
    let [whole, db, web] = uuids;
    format!(
        r#"# The ideal: what should be. `ideal check` reads it, `ideal plan` shows what would be done about it,
# `ideal up` makes it so, `ideal away` puts everything away without losing a byte, `ideal wake` brings it back.
ideal: 1

vars:
  greeting: hello

providers:
  here: local            # nodes are processes and folders on this machine; nothing else is needed

clouds:
  {name}:
    uuid: {whole}    # set once, never changed; the name may change
    provider: here       # inherited by the clouds inside
    clouds:

      db:                # one node with data that outlives it
        uuid: {db}
        nodes: 1
        mounts:
          data: {{size: 64MiB, at: /data}}

      web:               # two nodes, all alike
        uuid: {web}
        nodes: 2
        resources:       # kept right on every node
          - file:
              path: /etc/motd
              content: "{{{{ vars.greeting }}}} from {{{{ node.name }}}}\n"

services:
  counter:               # counts on the mount, and goes on counting after away and wake
    on: {name}.db
    command:
      - /bin/sh
      - -c
      - 'while true; do n=$(cat "$0" 2>/dev/null || echo 0); echo $((n + 1)) > "$0"; sleep 1; done'
      - "{{{{ mount.data }}}}/count"

  hello:                 # one replica on each node of the cloud
    on: {name}.web
    command: [/bin/sh, -c, "while true; do date > alive; sleep 1; done"]
    health:
      command: [/bin/sh, -c, "test -e alive"]
      every: 5s
"#
    )
}
