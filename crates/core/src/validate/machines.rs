//! Machines that exist: how one gets in, whether there are enough of them, and what they cannot have.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::ideal::document::Document;
use crate::ideal::{Cloud, Login, ProviderSpec, SshSpec, place_of};
use crate::path::{DocPath, Part, Place};

/// Checks of all providers that log in to machines, and of what is wanted of those that exist.
pub(crate) fn machines(document: &Document, clouds: &[Arc<Cloud>], found: &mut Vec<Diagnostic>) {
    let list = Place::ROOT.key("providers");
    for (name, provider) in &document.providers {
        let place = list.key(name.as_str());
        match provider {
            ProviderSpec::Ssh(spec) => {
                let place = place.key("ssh");
                own(spec, &place, found);
                enough(name.as_str(), spec, clouds, &place.key("machines"), found);
            }
            ProviderSpec::Ec2(spec) => login(&spec.login, &place.key("ec2").key("login"), found),
            _ => {}
        }
    }
    without_volumes(document, clouds, found);
}

fn own(spec: &SshSpec, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    login(&spec.login, &place.key("login"), found);
    let list = place.key("machines");
    let mut known: BTreeMap<(&str, Option<u16>), usize> = BTreeMap::new();
    for (at, machine) in spec.machines.iter().enumerate() {
        let place = list.index(at);
        for (key, why) in machine.wrong() {
            found.push(bad(&place.key(key), why));
        }
        login(&machine.login, &place.key("login"), found);
        let port = machine.login.port.or(spec.login.port);
        if let Some(first) = known.insert((machine.host(), port), at) {
            let message = format!("`{}` is in the list twice: one machine is one node", machine.host());
            let twice = Diagnostic::error("ideal/bad-machine", place.key("address").path(), message);
            found.push(twice.related(list.index(first).path(), "the first time"));
        }
    }
}

fn login(login: &Login, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    for (key, why) in login.wrong() {
        found.push(bad(&place.key(key), why));
    }
}

fn bad(place: &Place<'_>, why: &str) -> Diagnostic {
    Diagnostic::error("ideal/bad-machine", place.path(), why).help("ideal explain bad-machine has an example")
}

/// A node is a machine of the list, so there must be as many as the clouds may have nodes.
fn enough(name: &str, spec: &SshSpec, clouds: &[Arc<Cloud>], place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    let wanted: u64 = clouds
        .iter()
        .filter(|cloud| cloud.provider.as_str() == name)
        .map(|cloud| u64::from(cloud.most))
        .sum();
    let have = spec.machines.len();
    if wanted > have as u64 {
        let message = format!("{wanted} nodes are wanted of `{name}`, and it has {have} machines");
        let help = "add machines to the list, or write fewer `nodes:`";
        found.push(Diagnostic::error("ideal/too-few-machines", place.path(), message).at_key().help(help));
    }
}

/// Volumes are made by a provider, and this one makes nothing.
fn without_volumes(document: &Document, clouds: &[Arc<Cloud>], found: &mut Vec<Diagnostic>) {
    let exist = |cloud: &Cloud| matches!(document.providers.get(&cloud.provider), Some(ProviderSpec::Ssh(_)));
    let mut say = |path: DocPath, what: String| {
        let message =
            format!("{what} has mounts, and its machines only exist: nobody makes volumes for them");
        let help = "leave `mounts:` out: files on the machine's own disk stay where they are";
        found.push(Diagnostic::error("ideal/no-volumes", path, message).at_key().help(help));
    };
    for cloud in clouds.iter().filter(|cloud| exist(cloud) && !cloud.mounts.is_empty()) {
        say(place_of(&cloud.path, cloud.path.0.len()), format!("`{}`", cloud.path));
    }
    for (name, service) in document.services.iter().filter(|(_, service)| !service.mounts.is_empty()) {
        let covered = clouds.iter().filter(|cloud| cloud.path.is_within(&service.on));
        if covered.into_iter().any(|cloud| exist(cloud)) {
            let path = DocPath(vec![Part::Key("services".into()), Part::Key(name.to_string())]);
            say(path, format!("the service `{name}`"));
        }
    }
}
