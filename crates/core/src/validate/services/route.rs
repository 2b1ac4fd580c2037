//! Under which hosts services are reached.

use std::collections::BTreeMap;

use super::super::name_help;
use super::container::known_secret;
use crate::diagnostic::Diagnostic;
use crate::id::Name;
use crate::ideal::document::Document;
use crate::ideal::service::{ServiceSpec, is_host};
use crate::path::{DocPath, Place};

/// Who has a host, and where that is said.
pub(super) type Hosts<'d> = BTreeMap<&'d str, (&'d Name, DocPath)>;

/// Checks of the route of a service, if it has one.
pub(super) fn route<'d>(
    name: &'d Name,
    spec: &'d ServiceSpec,
    document: &Document,
    hosts: &mut Hosts<'d>,
    place: &Place<'_>,
    found: &mut Vec<Diagnostic>,
) {
    let Some(route) = &spec.route else { return };
    let place = place.key("route");
    let here = place.key("host");
    if !is_host(&route.host) {
        let message = "this cannot be the name of a host";
        let help =
            "write it alone and in lower case, without https:// and port: pub.example.org, or *.example.org";
        found.push(Diagnostic::error("ideal/bad-host", here.path(), message).help(help));
    } else if let Some((other, first)) = hosts.get(route.host.as_str()) {
        let message = format!("requests for {} reach service `{other}`", route.host);
        let taken = Diagnostic::error("ideal/host-taken", here.path(), message);
        found.push(taken.help("choose another host for one of the two").related(first.clone(), "taken here"));
    } else {
        hosts.insert(&route.host, (name, here.path()));
    }
    port(route.port.as_ref(), spec, &place, found);
    if let Some(tls) = &route.tls {
        let place = place.key("tls");
        known_secret(&tls.certificate, document, &place.key("certificate"), found);
        known_secret(&tls.key, document, &place.key("key"), found);
    }
}

fn port(port: Option<&Name>, spec: &ServiceSpec, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    let names = || spec.ports.keys().map(Name::as_str);
    let (at, message, help) = match (port, spec.ports.len()) {
        (Some(port), _) if spec.ports.contains_key(port) => return,
        (None, 1) => return,
        (port, 0) => {
            let at = if port.is_some() { place.key("port").path() } else { place.path() };
            let help = "give it one: `ports: {main: 8080}`, or `auto` in place of the number".to_owned();
            (at, "this service has no ports".to_owned(), help)
        }
        (Some(port), _) => {
            let help = name_help(port.as_str(), names(), "ports");
            (place.key("port").path(), format!("this service has no port `{port}`"), help)
        }
        (None, _) => {
            let all: Vec<&str> = names().collect();
            let help = format!("name one of its ports: {}", all.join(", "));
            (place.path(), "which port answers is not said".to_owned(), help)
        }
    };
    found.push(Diagnostic::error("ideal/unknown-port", at, message).help(help));
}
