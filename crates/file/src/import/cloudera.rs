//! The storage file of Cloudera's scripts: for each role a list of instances, each a list of its volumes. It says nothing
//! of machines. A specification of storage, which has one list of volumes for each role, is understood too.

use ideal_core::id::Name;

use super::outline::{Cluster, Kind, Machine, Outline, Role, mounts};
use super::{Old, Remark, Wrong, name_of, untaken};
use crate::tree::{Node, Value};
use crate::yaml::shortened;

/// What the file means. `cluster`: its name, which only the name of the file says.
pub(super) fn read(root: &Node, cluster: &Name, old: &Old<'_>) -> Result<Outline, Wrong> {
    let is_role = |node: &Node| matches!(node.value, Value::List(_));
    if root.entries().is_empty() || !root.entries().iter().all(|entry| is_role(&entry.value)) {
        let wrong = root.entries().iter().find(|entry| !is_role(&entry.value));
        let at = wrong.map_or(root.at, |entry| entry.key_at);
        let why = "a storage file has a list of instances under the name of each role".to_owned();
        let help = "is it a file of wucluster? Then: ideal import wucluster";
        return Err(Wrong { at, why, help: help.to_owned() });
    }
    let mut remarks = vec![Remark {
        line: 0,
        text: "a storage file does not say image, type and zone of machines: write `image`, and `zones` and `types` of the \
               provider; the zone must be that of the volumes"
            .to_owned(),
    }];
    let mut taken = Vec::new();
    let mut roles = Vec::new();
    for entry in root.entries() {
        let Some(name) = name_of(&entry.key).map(|name| untaken(name, &mut taken)) else {
            let text = format!("`{}` cannot be a name; it is left out", shortened(&entry.key));
            remarks.push(old.remark(entry.key_at, text));
            continue;
        };
        let mut own = Vec::new();
        if name.as_str() != entry.key {
            let text = format!("`{}` is called `{name}` now", shortened(&entry.key));
            own.push(old.remark(entry.key_at, text));
        }
        let is_specification = entry.value.items().iter().any(|item| matches!(item.value, Value::Map(_)));
        if is_specification {
            let why = "one list of volumes for each node of this role: how many nodes it has is not said, so it has one";
            own.push(old.remark(entry.key_at, why));
        }
        let lists: Vec<&Node> =
            if is_specification { vec![&entry.value] } else { entry.value.items().iter().collect() };
        let nodes = lists.into_iter().map(|list| {
            let mut remarks = Vec::new();
            let mounts = mounts(list, old, &mut remarks);
            Machine { kind: Kind::default(), mounts, remarks }
        });
        roles.push(Role { name, nodes: nodes.collect(), remarks: own });
    }
    let cluster = Cluster { name: cluster.clone(), usual: Kind::default(), roles, remarks: Vec::new() };
    Ok(Outline { system: "cloudera", clusters: vec![cluster], remarks })
}
