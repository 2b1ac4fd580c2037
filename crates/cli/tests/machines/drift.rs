//! Who keeps a machine right notices at once what others do to it: nobody waits for the next sweep.

use serde_json::json;

use crate::bed::{Bed, System};

/// Makes something wrong and waits until it is right again, a second at most.
fn healed(bed: &Bed, spoil: &str, right: &str) -> Result<(), String> {
    let script = format!(
        "{spoil}\nfor _ in $(seq 50); do if {right}; then exit 0; fi; sleep 0.02; done; echo 'it was not made right within a second'; exit 1"
    );
    bed.shell(&script).map(|_| ())
}

pub(crate) fn is_noticed(bed: &Bed) -> Result<(), String> {
    let unit = match bed.system {
        System::Systemd => json!({"unit": {"name": "cron"}}),
        System::Plain => json!({"unit": {"name": "own", "command": ["/bin/sleep", "3000000"]}}),
    };
    let wanted = json!([
        {"cron": {"name": "watched", "schedule": "@daily", "command": ["true"]}},
        {"user": {"name": "seen"}},
        {"authorized_key": {"user": "seen",
            "key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPSvqzUq0Nlk7XIyKZ0u9MFE5ZWiJN0rxPSF5p9gUYk a"}},
        unit,
    ]);
    bed.converges(&wanted)?;
    let process = match bed.system {
        System::Systemd => "pidof cron",
        System::Plain => "pgrep -fx '/bin/sleep 3000000'",
    };
    bed.watching(|| {
        healed(bed, "echo '# mine' >> /etc/cron.d/watched", "! grep -q mine /etc/cron.d/watched")?;
        healed(bed, "rm /etc/cron.d/watched", "[ -e /etc/cron.d/watched ]")?;
        let keys = "/home/seen/.ssh/authorized_keys";
        healed(bed, &format!("sed -i /ed25519/d {keys}"), &format!("grep -q ed25519 {keys}"))?;
        healed(
            bed,
            &format!("before=$({process}); kill -KILL $before"),
            &format!("now=$({process}) && [ \"$now\" != \"$before\" ]"),
        )
    })?;
    let gone = match bed.system {
        System::Systemd => json!({"unit": {"name": "cron", "state": "absent"}}),
        System::Plain => {
            json!({"unit": {"name": "own", "command": ["/bin/sleep", "3000000"], "state": "absent"}})
        }
    };
    bed.converges(&json!([
        gone,
        {"cron": {"name": "watched", "state": "absent"}},
        {"user": {"name": "seen", "state": "absent"}},
        {"directory": {"path": "/home/seen", "state": "absent", "with_content": true}},
    ]))?;
    Ok(())
}
