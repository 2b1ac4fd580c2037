//! What replicas are called, where programs look for them: no name may lead to two things.

use std::collections::BTreeMap;

use crate::address::CloudPath;
use crate::diagnostic::Diagnostic;
use crate::id::Name;
use crate::ideal::Cloud;
use crate::ideal::document::Document;
use crate::path::Place;

/// What every machine and every container calls itself.
const ITSELF: [&str; 3] = ["localhost", "ip6-localhost", "ip6-loopback"];

/// A service `db` has a replica that is known as `db-0`: a service of that name in the same cluster would be found in its
/// place, and the other way round.
pub(super) fn names(
    document: &Document,
    by_path: &BTreeMap<&CloudPath, &Cloud>,
    list: &Place<'_>,
    found: &mut Vec<Diagnostic>,
) {
    for (name, spec) in &document.services {
        let place = list.key(name.as_str());
        if ITSELF.contains(&name.as_str()) {
            let message = format!("`{name}` is what each machine calls itself");
            let help = "give the service another name";
            found.push(Diagnostic::error("ideal/name-taken", place.path(), message).at_key().help(help));
        }
        let Some((other, index)) = replica(name.as_str()) else { continue };
        let Some((other, of)) = document.services.get_key_value(&other) else { continue };
        let within = |path: &CloudPath| {
            let clouds = by_path.iter().filter(|(own, _)| own.is_within(path));
            clouds.map(|(_, cloud)| cloud.most).fold(0, u32::saturating_add)
        };
        let is_one = index < of.replicas.unwrap_or_else(|| within(&of.on));
        if is_one && of.on.0.first() == spec.on.0.first() {
            let message = format!("`{name}` is also the name of a replica of service `{other}`");
            found.push(
                Diagnostic::error("ideal/name-taken", place.path(), message)
                    .at_key()
                    .help("give one of the two another name")
                    .related(list.key(other.as_str()).path(), "this service"),
            );
        }
    }
}

/// The service and the number of a replica that would be called so.
fn replica(name: &str) -> Option<(Name, u32)> {
    let (service, digits) = name.rsplit_once('-')?;
    let index: u32 = digits.parse().ok()?;
    // `db-01` is nobody's.
    (index.to_string() == digits).then(|| Some((Name::new(service).ok()?, index)))?
}
