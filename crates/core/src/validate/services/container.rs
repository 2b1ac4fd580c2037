//! What only a container has, and what a replica finds when it starts.

use std::collections::BTreeMap;

use super::super::{name_help, text, zero};
use crate::diagnostic::Diagnostic;
use crate::id::Name;
use crate::ideal::document::Document;
use crate::ideal::service::{Capabilities, Port, Pull, ServiceFile, ServiceSpec};
use crate::path::Place;

/// The powers of a program that the kernel knows, without `CAP_`.
const CAPABILITIES: [&str; 42] = [
    "ALL",
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// Checks of what a replica is made of.
pub(super) fn container(spec: &ServiceSpec, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    match &spec.image {
        Some(name) => image(name, &place.key("image"), found),
        None => of_containers_only(spec, place, found),
    }
    for (key, argv) in [("entrypoint", &spec.entrypoint)] {
        if let Some(argv) = argv {
            text::argv(argv, &place.key(key), found);
        }
    }
    let init = place.key("init");
    for (i, argv) in spec.init.iter().enumerate() {
        text::argv(argv, &init.index(i), found);
    }
    if let Some(user) = &spec.user {
        let here = place.key("user");
        text::argument(user, &here, found);
        text::not_a_flag(user, &here, "a user", found);
    }
    if spec.memory.is_some_and(|memory| memory.0 == 0) {
        found.push(zero(&place.key("memory"), "a replica needs memory"));
    }
    if spec.pids == Some(0) {
        found.push(zero(&place.key("pids"), "a replica is one process at least"));
    }
    powers(&spec.capabilities, &place.key("capabilities"), found);
    twice(&spec.networks, &place.key("networks"), found);
}

/// A name that stands in a list again.
pub(super) fn twice(names: &[Name], place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    for (i, name) in names.iter().enumerate() {
        if let Some(first) = names[..i].iter().position(|other| other == name) {
            let message = format!("`{name}` stands here already");
            let again = Diagnostic::error("ideal/named-twice", place.index(i).path(), message);
            found.push(again.help("remove one").related(place.index(first).path(), "the first"));
        }
    }
}

fn image(name: &str, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    text::argument(name, place, found);
    if text::has_expression(name) || is_image(name) {
        return;
    }
    let message = "this cannot be the name of an image";
    let help = "write name:tag such as postgres:16 or ghcr.io/example/pub:1.2, in lower case; exactly one is \
                name@sha256:… with 64 digits";
    found.push(Diagnostic::error("ideal/bad-image-name", place.path(), message).help(help));
}

/// `host:port/path:tag@sha256:digits`, of which all but one part of the path may be missing.
fn is_image(text: &str) -> bool {
    let (name, digest) = text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest)));
    let hex = |text: &str| {
        text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    if digest.is_some_and(|digest| !digest.strip_prefix("sha256:").is_some_and(hex)) {
        return false;
    }
    let (path, tag) = match name.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (name, None),
    };
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if tag.is_some_and(|tag| {
        tag.is_empty() || tag.len() > 128 || !tag.chars().all(word) || tag.starts_with(['.', '-'])
    }) {
        return false;
    }
    let (host, path) = match path.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (Some(host), path),
        _ => (None, path),
    };
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let part = |part: &str| {
        part.starts_with(edge)
            && part.ends_with(edge)
            && part.chars().all(|c| edge(c) || matches!(c, '_' | '.' | '-'))
    };
    let good = |host: &str| {
        let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
        let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
        !name.is_empty()
            && letters
            && !name.starts_with('-')
            && port.is_none_or(|port| port.parse::<u16>().is_ok())
    };
    host.is_none_or(good) && text.len() <= 512 && path.split('/').all(part)
}

/// What has no meaning for a process.
fn of_containers_only(spec: &ServiceSpec, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    let mapped = spec.ports.iter().find(|(_, port)| matches!(port, Port::Mapped { .. }));
    let keys = [
        ("entrypoint", spec.entrypoint.is_some()),
        ("read_only", spec.read_only),
        ("capabilities", spec.capabilities != Capabilities::default()),
        ("pull", spec.pull != Pull::default()),
        ("registry", spec.registry.is_some()),
        ("networks", !spec.networks.is_empty()),
    ];
    let mut refused = |at: crate::path::DocPath, what: &str, help: &str| {
        let message = format!("{what} is of containers, and this service is a process");
        found.push(Diagnostic::error("ideal/container-only", at, message).at_key().help(help.to_owned()));
    };
    for (key, _) in keys.iter().filter(|(_, given)| *given) {
        refused(place.key(key).path(), &format!("`{key}`"), "give the service an `image`, or remove this");
    }
    if let Some((name, port)) = mapped {
        let help = "a process listens where it is told: write one number, or `auto`";
        refused(place.key("ports").key(name.as_str()).path(), &format!("a port such as {port}"), help);
    }
}

fn powers(given: &Capabilities, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    for (key, names) in [("drop", &given.drop), ("add", &given.add)] {
        let list = place.key(key);
        for (i, name) in names.iter().enumerate() {
            let plain = name.to_ascii_uppercase();
            if CAPABILITIES.contains(&plain.as_str()) {
                continue;
            }
            let bare = plain.trim_start_matches("CAP_");
            let help = match CAPABILITIES.contains(&bare) {
                true => format!("write {bare}"),
                false => name_help(bare, CAPABILITIES.iter().copied(), "capabilities"),
            };
            let message = "the kernel knows no such capability";
            found.push(Diagnostic::error("ideal/bad-capability", list.index(i).path(), message).help(help));
        }
    }
}

/// Checks of the files that a replica finds.
pub(super) fn files(spec: &ServiceSpec, document: &Document, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    let list = place.key("files");
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for (i, file) in spec.files.iter().enumerate() {
        let here = list.index(i);
        if text::path(&file.path, &here.key("path"), "ideal/bad-service-file", found)
            && let Some(first) = places.insert(&file.path, i)
        {
            let message = format!("{} is a file of this service already", file.path);
            let again = Diagnostic::error("ideal/bad-service-file", here.key("path").path(), message);
            found.push(again.related(list.index(first).key("path").path(), "the first"));
        }
        content(file, document, &here, found);
    }
}

/// That the file declares a secret.
pub(super) fn known_secret(
    secret: &Name,
    document: &Document,
    place: &Place<'_>,
    found: &mut Vec<Diagnostic>,
) {
    if document.secrets.contains_key(secret) {
        return;
    }
    let message = format!("there is no secret `{secret}`");
    let near = super::super::nearest(secret.as_str(), document.secrets.keys().map(Name::as_str));
    let help = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("declare it in the ideal file: secrets: {{{secret}: age}}"),
    };
    found.push(Diagnostic::error("ideal/unknown-secret", place.path(), message).help(help));
}

fn content(file: &ServiceFile, document: &Document, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    let message = match (&file.content, &file.secret) {
        (Some(_), Some(_)) => "a file cannot have a content and be a secret",
        (None, None) => "nothing is said of what is in this file",
        (_, Some(secret)) if !document.secrets.contains_key(secret) => {
            return known_secret(secret, document, &place.key("secret"), found);
        }
        _ => return,
    };
    let wrong = Diagnostic::error("ideal/bad-service-file", place.path(), message);
    found.push(wrong.help("write one of `content` and `secret`"));
}

#[cfg(test)]
mod tests {
    use super::is_image;

    #[test]
    fn what_is_the_name_of_an_image() {
        let digest = "a".repeat(64);
        let exactly = format!("ghcr.io/a/pub@sha256:{digest}");
        for good in
            ["postgres", "postgres:16", "example/pub:1.2", "localhost:5000/a/b:x", "x/a.b-c_d:V1", &exactly]
        {
            assert!(is_image(good), "{good}");
        }
        for bad in ["", "-v", "Postgres", "a b", "a:", "a//b", "a@sha256:12", "host:x/a", "a:-x", "/a", "a/"]
        {
            assert!(!is_image(bad), "{bad}");
        }
    }
}
