//! What waits for what among the resources of one node.
//!
//! Two kinds of waiting. A resource *needs* another when it cannot be right without it: it is blocked when that one
//! fails. It *follows* another when it was written after it and the first may touch what it reads: it waits until
//! the first is done with, well or badly. What neither needs nor follows another may go at the same time.
//!
//! Needs come from `after` and `before`, and from what kinds say they provide and use: a file needs the directory
//! that it lies in, and its owner. Following comes from the order as written and from [`Reach`].

use std::collections::BTreeMap;

use super::Resource;

/// What a resource provides or uses, when another may declare it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thing {
    /// What is at this path. Who uses a path uses every path above it.
    Path(String),
    /// A user.
    User(String),
    /// A group.
    Group(String),
}

/// The folder that a path lies in.
pub(super) fn above(path: &str) -> Option<Thing> {
    let (above, _) = path.rsplit_once('/')?;
    (!above.is_empty()).then(|| Thing::Path(above.to_owned()))
}

/// An owner and a group.
pub(super) fn accounts(owner: Option<&str>, group: Option<&str>) -> impl Iterator<Item = Thing> {
    let owner = owner.map(|name| Thing::User(name.to_owned()));
    owner.into_iter().chain(group.map(|name| Thing::Group(name.to_owned())))
}

/// How far the effects of a kind reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Its own thing: what it provides.
    Own,
    /// Anything: a program runs. It follows all before it, and all after follow it.
    Anything,
    /// Packages: all after follow it. It follows programs, and what steers the package manager, but neither files
    /// nor units nor other packages, so that the packages of a pass can be one transaction.
    Packages,
}

/// One resource with what is said of its order.
#[derive(Clone, Debug)]
pub struct Item<'a> {
    /// The resource, rendered.
    pub resource: &'a Resource,
    /// Places in the list of what it needs, from `after` of itself and `before` of others.
    pub after: Vec<usize>,
}

/// What each resource waits for, by place in the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// What must be right before.
    pub needs: Vec<Vec<usize>>,
    /// What must be done with before, well or badly.
    pub follows: Vec<Vec<usize>>,
}

/// What steers package managers.
const STEERS_PACKAGES: [&str; 5] = ["/etc/apt/", "/etc/dpkg/", "/etc/yum", "/etc/dnf/", "/etc/apk/"];

/// The graph of a list, in the order as written.
pub fn graph(items: &[Item<'_>]) -> Graph {
    let mut graph = Graph::default();
    let mut provided: BTreeMap<Thing, usize> = BTreeMap::new();
    for (i, item) in items.iter().enumerate() {
        for thing in item.resource.provides() {
            provided.entry(thing).or_insert(i);
        }
    }
    // Since the last program: what went before it is waited for through it.
    let mut barrier: Option<usize> = None;
    let mut own: Vec<usize> = Vec::new();
    let mut packages: Vec<usize> = Vec::new();
    let mut steering: Vec<usize> = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let mut needs = item.after.clone();
        for thing in item.resource.uses() {
            let others = providers(&provided, &thing).filter(|other| *other != i);
            needs.extend(others.filter(|other| !belongs_to(items[*other].resource, item.resource)));
        }
        needs.sort_unstable();
        needs.dedup();
        let mut follows: Vec<usize> = barrier.into_iter().collect();
        match item.resource.reach() {
            Reach::Own => follows.extend(&packages),
            Reach::Packages => follows.extend(&steering),
            Reach::Anything => follows.extend(own.iter().chain(&packages)),
        }
        // A need that points the other way than the order as written wins.
        follows.retain(|other| !needs.contains(other));
        match item.resource.reach() {
            Reach::Anything => {
                barrier = Some(i);
                own.clear();
                packages.clear();
                steering.clear();
            }
            Reach::Packages => packages.push(i),
            Reach::Own => {
                own.push(i);
                if steers_packages(item.resource) {
                    steering.push(i);
                }
            }
        }
        graph.needs.push(needs);
        graph.follows.push(follows);
    }
    forget_contradictions(&mut graph);
    graph
}

/// Whether the one belongs to the account that the other declares. An account's home may lie in a directory that is
/// the account's own; such a directory can only come after the account.
fn belongs_to(one: &Resource, account: &Resource) -> bool {
    matches!(account, Resource::User(_)) && {
        let provided = account.provides();
        one.uses().iter().any(|thing| !matches!(thing, Thing::Path(_)) && provided.contains(thing))
    }
}

fn steers_packages(resource: &Resource) -> bool {
    resource.provides().iter().any(|thing| match thing {
        Thing::Path(path) => STEERS_PACKAGES.iter().any(|at| path.starts_with(at)),
        _ => false,
    })
}

/// Who provides a thing, or something above it.
fn providers<'m>(provided: &'m BTreeMap<Thing, usize>, thing: &Thing) -> impl Iterator<Item = usize> + 'm {
    let mut found = Vec::new();
    if let Thing::Path(path) = thing {
        let mut path = path.as_str();
        loop {
            found.extend(provided.get(&Thing::Path(path.to_owned())));
            match path.rsplit_once('/') {
                Some((above, _)) if !above.is_empty() => path = above,
                _ => break,
            }
        }
    } else {
        found.extend(provided.get(thing));
    }
    found.into_iter().copied()
}

/// Following gives way where needs say the opposite, at however many steps. After it nothing waits for itself,
/// unless needs alone make a circle.
pub fn forget_contradictions(graph: &mut Graph) {
    let backwards =
        |edges: &[Vec<usize>]| edges.iter().enumerate().all(|(i, to)| to.iter().all(|one| *one < i));
    if backwards(&graph.needs) && backwards(&graph.follows) {
        return;
    }
    for i in 0..graph.needs.len() {
        let follows = std::mem::take(&mut graph.follows[i]);
        graph.follows[i] = follows.into_iter().filter(|other| !leads_to(graph, *other, i)).collect();
    }
}

/// Whether `from` waits for `to`, directly or not.
fn leads_to(graph: &Graph, from: usize, to: usize) -> bool {
    let mut seen = vec![false; graph.needs.len()];
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        if at == to {
            return true;
        }
        if !std::mem::replace(&mut seen[at], true) {
            open.extend(graph.needs[at].iter().chain(&graph.follows[at]));
        }
    }
    false
}

/// The resources that need each other in a circle, if any do.
pub fn circle(graph: &Graph) -> Option<Vec<usize>> {
    // 0: not seen, 1: on the way, 2: done with.
    let mut marks = vec![0u8; graph.needs.len()];
    for start in 0..marks.len() {
        let mut way: Vec<(usize, usize)> = vec![(start, 0)];
        while let Some((at, next)) = way.last_mut() {
            let at = *at;
            if *next == 0 && marks[at] == 2 {
                way.pop();
                continue;
            }
            marks[at] = 1;
            let Some(need) = graph.needs[at].get(*next).copied() else {
                marks[at] = 2;
                way.pop();
                continue;
            };
            *next += 1;
            if marks[need] == 1 {
                let from = way.iter().position(|(one, _)| *one == need).unwrap_or(0);
                return Some(way[from..].iter().map(|(one, _)| *one).collect());
            }
            if marks[need] == 0 {
                way.push((need, 0));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Declaration;

    fn list(values: serde_json::Value) -> Vec<Resource> {
        let all: Vec<Declaration> = serde_json::from_value(values).unwrap();
        all.iter().map(|one| one.resource().unwrap()).collect()
    }

    fn graph_of(resources: &[Resource], after: &[(usize, usize)]) -> Graph {
        let item = |(i, resource)| {
            let after = after.iter().filter(|(of, _)| *of == i).map(|(_, need)| *need).collect();
            Item { resource, after }
        };
        graph(&resources.iter().enumerate().map(item).collect::<Vec<_>>())
    }

    #[test]
    fn files_need_directories_and_follow_programs() {
        let resources = list(serde_json::json!([
            {"file": {"path": "/srv/a/f", "content": ""}},
            {"directory": {"path": "/srv/a"}},
            {"command": {"run": ["true"]}},
            {"file": {"path": "/etc/x", "content": ""}},
        ]));
        let graph = graph_of(&resources, &[]);
        assert_eq!(graph.needs, [vec![1], vec![], vec![], vec![]]);
        assert_eq!(graph.follows, [vec![], vec![], vec![0, 1], vec![2]]);
        assert_eq!(circle(&graph), None);
    }

    #[test]
    fn a_home_lies_in_a_directory_of_its_user() {
        let resources = list(serde_json::json!([
            {"directory": {"path": "/srv/app", "owner": "app"}},
            {"directory": {"path": "/srv/app/home", "owner": "app", "group": "app"}},
            {"directory": {"path": "/srv"}},
            {"user": {"name": "app", "home": "/srv/app/home"}},
        ]));
        let graph = graph_of(&resources, &[]);
        assert_eq!(circle(&graph), None);
        assert_eq!(graph.needs, [vec![2, 3], vec![0, 2, 3], vec![], vec![2]]);
    }

    #[test]
    fn a_need_wins_over_the_order_as_written() {
        let resources = list(serde_json::json!([
            {"file": {"path": "/a", "content": ""}},
            {"command": {"run": ["true"]}},
        ]));
        let graph = graph_of(&resources, &[(0, 1)]);
        assert_eq!(graph.needs, [vec![1], vec![]]);
        assert_eq!(graph.follows, [Vec::<usize>::new(), vec![]]);
        let round = graph_of(&resources, &[(0, 1), (1, 0)]);
        assert_eq!(circle(&round), Some(vec![0, 1]));
    }
}
