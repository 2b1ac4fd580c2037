//! What is kept right on a node, and who else wants it.

use crate::diagnostic::Diagnostic;
use crate::path::{DocPath, Place};
use crate::resource::Declaration;

/// Two resources that want the same thing to be different.
pub(crate) fn disagree(one: &Declaration, thing: &str, item: &Place<'_>, other: &DocPath) -> Diagnostic {
    let kind = one.kinds().first().copied().unwrap_or_default();
    let message = format!("{thing} is wanted in two ways on the same nodes");
    Diagnostic::error("ideal/resources-disagree", item.key(kind).path(), message)
        .help("remove one, or move the other out of the cloud that hands it down")
        .related(other.clone(), "wanted differently here")
}
