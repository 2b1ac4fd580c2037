//! What the first process of a container is, and how our keeper comes to run beside one that is not the keeper.
//!
//! With `keeper` it is the first process itself. With `systemd` it is a unit, found in a folder of the machine's home
//! that the container has among its units. With `sshd` a loop starts it, again and again, beside the server. What
//! the image does not have is said before anything is made.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use hyper::Method;
use ideal_core::ideal::Init;
use ideal_host::{durable, unit};
use serde_json::{Value, json};

use super::engine::{Checked, Engine, escaped};
use crate::ProviderError;

/// Where in the home of a machine the folder of its unit is.
pub(super) const UNITS: &str = "units";
/// Where in a container that folder is: among those that systemd reads, and in no image in use.
pub(super) const UNITS_WITHIN: &str = "/usr/local/lib/systemd/system";
/// What a container is that only shows what is in its image.
const PROBE: &str = "ideal.probe";
/// Older ones were left behind, in seconds.
const PROBE_LIMIT: u64 = 60;

/// Becomes the image's systemd. Where control groups are of the second kind the engine gives them read-only.
const SYSTEMD: &str = "[ -w /sys/fs/cgroup ] || mount -o remount,rw /sys/fs/cgroup
for init in /lib/systemd/systemd /usr/lib/systemd/systemd; do [ ! -x $init ] || exec $init; done";
/// Becomes the image's sshd, with a loop beside it; `$0` is written by a keeper that is ended, which it is for good
/// only when its container is.
const SSHD: &str = r#"mkdir -p /run/sshd && chmod 755 /run/sshd && ssh-keygen -A || exit
while :; do rm -f "$0"; env "$@"; sleep 1; done &
exec "$(command -v sshd)" -D -e"#;

/// The first process of a container, and what the engine has to know of it.
#[derive(Debug)]
pub(super) struct First {
    pub command: Vec<String>,
    pub environment: Vec<String>,
    pub stop: &'static str,
    /// The keeper, where it is a unit.
    unit: String,
}

impl First {
    /// `keeper` is its command, `marks` its environment, `home` the machine's as the container sees it.
    pub(super) fn of(init: Init, keeper: Vec<String>, marks: BTreeMap<String, String>, home: &str) -> First {
        let environment: Vec<String> = marks.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let over = ideal_host::Home::new(home).over().display().to_string();
        let shell = |script: &str| vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()];
        let (stop, none) = ("SIGTERM", String::new());
        match init {
            Init::Keeper => First { command: keeper, environment, stop, unit: none },
            Init::Systemd => {
                let unit = unit::keeper(&keeper, &environment, home, &over);
                // By this systemd knows where it is.
                let environment = vec!["container=docker".to_owned()];
                First { command: shell(SYSTEMD), environment, stop: "SIGRTMIN+3", unit }
            }
            // The marks are the keeper's alone: what carries them ends with it.
            Init::Sshd => {
                let command = [shell(SSHD), vec![over], environment, keeper].concat();
                First { command, environment: Vec::new(), stop, unit: none }
            }
        }
    }

    /// Writes the keeper's unit into a folder of units, so that systemd starts it.
    pub(super) fn write_unit(&self, folder: &Path) -> io::Result<()> {
        let wanted = folder.join("multi-user.target.wants");
        std::fs::create_dir_all(&wanted)?;
        durable::write(&folder.join(unit::NAME), self.unit.as_bytes())?;
        let link = wanted.join(unit::NAME);
        durable::remove(&link)?;
        std::os::unix::fs::symlink(format!("../{}", unit::NAME), link)
    }
}

/// Gives a container what systemd needs as its first process.
pub(super) fn open_for_systemd(host: &mut Value, control_groups: u32) {
    let mut capabilities = vec![json!("SYS_ADMIN")];
    if let Some(more) = host["CapAdd"].as_array() {
        capabilities.extend(more.iter().filter(|one| **one != "SYS_ADMIN").cloned());
    }
    host["CapAdd"] = json!(capabilities);
    host["SecurityOpt"] = json!(["apparmor=unconfined", "seccomp=unconfined"]);
    host["Tmpfs"] = json!({"/run": "", "/run/lock": "", "/tmp": "exec"});
    if control_groups > 1 {
        host["CgroupnsMode"] = json!("private");
    } else {
        host["Binds"] = json!(["/sys/fs/cgroup:/sys/fs/cgroup:rw"]);
    }
}

/// Why an image cannot be a machine with this first process, if so.
pub fn lacks(engine: &Engine, image: &str, init: Init) -> Result<Option<String>, ProviderError> {
    let (word, paths, package): (_, &[&str], _) = match init {
        Init::Keeper => return Ok(None),
        Init::Systemd => {
            ("systemd", &["/lib/systemd/systemd", "/usr/lib/systemd/systemd"], "the package systemd")
        }
        Init::Sshd => ("sshd", &["/usr/sbin/sshd", "/usr/bin/sshd"], "a server of OpenSSH"),
    };
    if has_one_of(engine, image, paths)? {
        return Ok(None);
    }
    Ok(Some(format!(
        "the image `{image}` has no {}, and the file wants `init: {word}`: put {package} into the image, name \
         another, or leave `init` out",
        paths.join(" or ")
    )))
}

/// Whether one of these paths is in an image: looked at in a container of it that never runs.
fn has_one_of(engine: &Engine, image: &str, paths: &[&str]) -> Result<bool, ProviderError> {
    let remove = |id: &str| engine.call(Method::DELETE, &format!("/containers/{id}?force=1&v=1"), None);
    let filter = escaped(&json!({"label": [PROBE]}).to_string());
    let there = engine.call(Method::GET, &format!("/containers/json?all=1&filters={filter}"), None)?;
    let there = there.checked("list containers")?;
    let now = ideal_host::now().0 / 1000;
    for old in there.as_array().into_iter().flatten() {
        let created = old.get("Created").and_then(Value::as_u64).unwrap_or_default();
        if let Some(id) =
            old.get("Id").and_then(Value::as_str).filter(|_| now.saturating_sub(created) > PROBE_LIMIT)
        {
            remove(id)?;
        }
    }
    let body = json!({"Image": image, "Entrypoint": ["/"], "Labels": {PROBE: ""}, "NetworkDisabled": true});
    let made = engine.call(Method::POST, "/containers/create", Some(body))?.checked("look into the image")?;
    let Some(id) = made.get("Id").and_then(Value::as_str) else {
        return Err(ProviderError::retry("the engine did not say which container it made"));
    };
    let mut found = Ok(false);
    for path in paths {
        let asked =
            engine.call(Method::HEAD, &format!("/containers/{id}/archive?path={}", escaped(path)), None);
        found = asked.and_then(|reply| match reply.code {
            404 => Ok(false),
            _ => reply.checked("look into the image").map(|_| true),
        });
        if !matches!(found, Ok(false)) {
            break;
        }
    }
    remove(id)?;
    found
}
