//! The secrets of the slice in force, in memory only: of this process, and of a file without a name that the keeper
//! holds for as long as the machine lives. So an agent that is started again has them, and no disk ever does.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

use ideal_core::secret::Secrets;
use rustix::fs::MemfdFlags;
use serde_json::Value;

/// The name of that file, for people who look at what a process holds open.
const NAME: &str = "ideal-secrets";

/// A new one, for the keeper; given to each agent as its standard input.
pub(crate) fn vessel() -> io::Result<File> {
    Ok(File::from(rustix::fs::memfd_create(NAME, MemfdFlags::CLOEXEC)?))
}

/// The one that this agent was given, if it was.
pub(crate) fn given() -> Option<File> {
    let at = "/proc/self/fd/0";
    let leads = std::fs::read_link(at).ok()?;
    if !leads.to_string_lossy().starts_with(&format!("/memfd:{NAME}")) {
        return None;
    }
    OpenOptions::new().read(true).write(true).open(at).ok()
}

/// What is in it.
pub(crate) fn read(vessel: &File) -> Secrets {
    let length = vessel.metadata().map_or(0, |meta| meta.len());
    let mut text = vec![0; usize::try_from(length).unwrap_or(0)];
    match vessel.read_exact_at(&mut text, 0) {
        Ok(()) => serde_json::from_slice(&text).unwrap_or_default(),
        Err(_) => Secrets::new(),
    }
}

/// Puts these into it, in place of all others.
pub(crate) fn write(vessel: &File, secrets: &Secrets) -> io::Result<()> {
    let text = serde_json::to_vec(secrets)?;
    // Emptied first: half of the new beside half of the old would be read as neither.
    vessel.set_len(0)?;
    vessel.write_all_at(&text, 0)
}

/// Puts certificates and keys where the routes among the values of expressions name them. One that is not at hand is
/// null, so that what asks for it waits.
pub(crate) fn serve(context: &mut Value) {
    let secrets = context.get("secret").cloned().unwrap_or_default();
    let routes = context.get_mut("routes").and_then(Value::as_array_mut);
    for route in routes.into_iter().flatten() {
        for key in ["certificate", "key"] {
            let Some(value) = route.get_mut(key) else { continue };
            let secret = value.as_str().and_then(|name| secrets.get(name)).cloned();
            *value = secret.unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn routes_are_served_with_what_is_at_hand() {
        let mut context = json!({
            "secret": {"cert": "PEM"},
            "routes": [{"host": "a", "certificate": "cert", "key": "lost"}, {"host": "b", "certificate": null}],
        });
        serve(&mut context);
        let expected =
            json!([{"host": "a", "certificate": "PEM", "key": null}, {"host": "b", "certificate": null}]);
        assert_eq!(context["routes"], expected);
        let mut plain = json!({"vars": {}});
        serve(&mut plain);
        assert_eq!(plain, json!({"vars": {}}));
    }
}
