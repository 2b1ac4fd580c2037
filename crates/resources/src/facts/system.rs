//! The operating system.

use std::collections::BTreeMap;

use ideal_core::facts::Os;

use crate::ground::Ground;

/// What the system says of itself.
pub(super) fn os(ground: &dyn Ground) -> Os {
    // On a node that is a folder, the host's system is the node's.
    let places =
        [ground.host_path("/etc/os-release"), "/etc/os-release".into(), "/usr/lib/os-release".into()];
    let text = places.iter().find_map(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    let mut os = read(&text);
    os.init = init().to_owned();
    os
}

fn read(text: &str) -> Os {
    let value = |text: &str| text.trim().trim_matches(['"', '\'']).to_owned();
    let lines = text.lines().filter_map(|line| line.split_once('='));
    let all: BTreeMap<&str, String> = lines.map(|(key, text)| (key.trim(), value(text))).collect();
    let get = |key: &str| all.get(key).cloned().unwrap_or_default();
    let like = get("ID_LIKE");
    let all_like: Vec<&str> =
        std::iter::once(all.get("ID").map_or("", String::as_str)).chain(like.split(' ')).collect();
    let known = ["debian", "rhel", "fedora", "suse", "alpine", "arch"];
    let family = known.into_iter().find(|family| all_like.contains(family)).unwrap_or(all_like[0]);
    let family = if family == "fedora" { "rhel" } else { family };
    Os {
        id: get("ID"),
        family: family.to_owned(),
        version: get("VERSION_ID"),
        codename: get("VERSION_CODENAME"),
        name: get("PRETTY_NAME"),
        init: String::new(),
    }
}

fn init() -> &'static str {
    let there = |path: &str| std::path::Path::new(path).exists();
    match (there("/run/systemd/system"), there("/etc/init.d")) {
        (true, _) => "systemd",
        (false, true) => "sysv",
        (false, false) => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_say_what_they_are() {
        let debian = read(
            "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n",
        );
        assert_eq!(
            (debian.id.as_str(), debian.family.as_str(), debian.version.as_str()),
            ("debian", "debian", "12")
        );
        assert_eq!(read("ID=ubuntu\nID_LIKE=debian\n").family, "debian");
        assert_eq!(read("ID=rocky\nID_LIKE=\"rhel centos fedora\"\n").family, "rhel");
        assert_eq!(read("ID=fedora\n").family, "rhel");
        assert_eq!(read("ID=void\n").family, "void");
        assert_eq!(read("").family, "");
    }
}
