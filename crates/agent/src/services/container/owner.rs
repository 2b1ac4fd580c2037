//! Who the program of a container is, by number: what it is given must be its own, and only the image knows the names.

use std::io::Read;

use hyper::Method;
use ideal_resources::accounts::Accounts;

use super::NotStarted;
use crate::engine::{EngineError, escaped};
use crate::node::Node;
use crate::services::vault::Owner;
use crate::services::wanted::Program;

/// A file of accounts is no longer.
const LARGEST: u64 = 4 << 20;

/// Who runs in a container that was made. Asked only where it matters: for files that are private, and for mounts.
pub(super) async fn of(node: &Node, program: &Program, id: &str) -> Result<Owner, NotStarted> {
    let private = program.files.iter().any(|file| file.private);
    if !private && program.replica.spec.mounts.is_empty() {
        return Ok(Owner::default());
    }
    let engine = &node.containers.engine;
    let seen = engine.get(&format!("/containers/{id}/json")).await?.good("look at the container")?;
    let user = seen.pointer("/Config/User").and_then(|user| user.as_str()).unwrap_or_default();
    if let Some(owner) = numbers(user) {
        return Ok(owner);
    }
    let passwd = read(node, id, "/etc/passwd").await?;
    let group = read(node, id, "/etc/group").await?;
    named(user, &Accounts::read(&passwd, &group)).map_err(NotStarted::Failed)
}

/// `7`, `7:8`, or nothing, which is root. A number without a group has that of root, as engines have it.
fn numbers(user: &str) -> Option<Owner> {
    if user.is_empty() {
        return Some(Owner::default());
    }
    let (uid, gid) = user.split_once(':').unwrap_or((user, "0"));
    Some(Owner { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
}

fn named(user: &str, accounts: &Accounts) -> Result<Owner, String> {
    let (name, group) = user.split_once(':').map_or((user, None), |(name, group)| (name, Some(group)));
    let known = accounts.users.get(name);
    let uid = known.map(|user| user.uid).or_else(|| name.parse().ok());
    let uid =
        uid.ok_or_else(|| format!("its image has no user `{name}`: name one that it has, or a number"))?;
    let gid = match group {
        None => Some(known.map_or(0, |user| user.gid)),
        Some(group) => accounts.groups.get(group).map(|group| group.gid).or_else(|| group.parse().ok()),
    };
    let gid = gid.ok_or_else(|| format!("its image has no group of `{user}`"))?;
    Ok(Owner { uid, gid })
}

/// A file of the container's own; empty where there is none.
async fn read(node: &Node, id: &str, path: &str) -> Result<String, NotStarted> {
    let at = format!("/containers/{id}/archive?path={}", escaped(path));
    let opened = node.containers.engine.open(Method::GET, &at, None, None, "show the accounts of the image");
    let mut stream = match opened.await {
        Ok(stream) => stream,
        Err(EngineError::Said(_)) => return Ok(String::new()),
        Err(silent) => return Err(silent.into()),
    };
    let mut archive = Vec::new();
    while let Some(part) = stream.next().await? {
        archive.extend_from_slice(&part);
        if archive.len() as u64 > LARGEST {
            return Err(NotStarted::Failed(format!("{path} of its image is longer than {LARGEST} bytes")));
        }
    }
    let mut text = String::new();
    let mut archive = tar::Archive::new(archive.as_slice());
    let first = archive.entries().ok().and_then(|mut entries| entries.next()?.ok());
    _ = first.map(|entry| entry.take(LARGEST).read_to_string(&mut text));
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_two_numbers() {
        let accounts =
            Accounts::read("root:x:0:0::/:/bin/sh\nnode:x:1000:1001::/home/node:/bin/sh\n", "staff:x:50:\n");
        let check = |user: &str| match numbers(user) {
            Some(owner) => Ok((owner.uid, owner.gid)),
            None => named(user, &accounts).map(|owner| (owner.uid, owner.gid)),
        };
        let cases = [
            ("", (0, 0)),
            ("7", (7, 0)),
            ("7:8", (7, 8)),
            ("node", (1000, 1001)),
            ("node:staff", (1000, 50)),
        ];
        for (user, owner) in cases {
            assert_eq!(check(user), Ok(owner), "{user}");
        }
        assert!(check("nobody").unwrap_err().contains("no user `nobody`"));
        assert!(check("node:none").is_err());
    }
}
