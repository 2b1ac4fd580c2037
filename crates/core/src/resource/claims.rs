//! Two declarations of one thing: they agree and are one, or disagree, which is an error with both places.
//!
//! Only what is the same on every node is compared. What has an expression in its key is known on the node, where
//! the same question is asked again.

use std::collections::BTreeMap;

use super::{Declaration, Presence, Resource};
use crate::diagnostic::Diagnostic;
use crate::path::{DocPath, Place};

/// What is declared on the way down to a cloud.
#[derive(Debug, Default)]
pub(crate) struct Claims<'d> {
    things: BTreeMap<String, (&'d Declaration, DocPath)>,
    /// Keys in the order in which they came, so that those of a cloud can be forgotten after it.
    log: Vec<String>,
}

impl<'d> Claims<'d> {
    /// How much is claimed so far, for [`Claims::forget`].
    pub(crate) fn mark(&self) -> usize {
        self.log.len()
    }
    /// Forgets all that came after a mark.
    pub(crate) fn forget(&mut self, mark: usize) {
        for key in self.log.drain(mark..) {
            self.things.remove(&key);
        }
    }

    /// Adds a declaration. Answers whether it says nothing that was not said before; that it contradicts goes to
    /// `found`.
    pub(crate) fn add(
        &mut self,
        one: &'d Declaration,
        item: &Place<'_>,
        found: &mut Vec<Diagnostic>,
    ) -> bool {
        let Some(thing) = one.claims() else { return false };
        if let Some((other, place)) = self.things.get(&thing) {
            if other.resource() != one.resource() {
                found.push(disagree(one, &thing, item, place));
                return true;
            }
            return *other == one;
        }
        if let Some((own, others)) = shares(one)
            && let Some((_, place)) = self.things.get(&others)
        {
            found.push(disagree(one, &thing, item, place));
            self.claim(own, one, item);
        } else if let Some((own, _)) = shares(one) {
            self.claim(own, one, item);
        }
        self.claim(thing, one, item);
        false
    }

    fn claim(&mut self, key: String, one: &'d Declaration, item: &Place<'_>) {
        if !self.things.contains_key(&key) {
            self.log.push(key.clone());
            self.things.insert(key, (one, item.path()));
        }
    }
}

/// A file whose whole content is declared leaves no room for a line in it: the key of the one and of the other.
fn shares(one: &Declaration) -> Option<(String, String)> {
    let whole = |path: &str| format!("the whole of {path}");
    let part = |path: &str| format!("a line of {path}");
    match one.resource()? {
        Resource::File(file) => {
            let content = [&file.content, &file.template, &file.source].into_iter().any(Option::is_some);
            let gone = file.state == Presence::Absent;
            (content || gone).then(|| (whole(&file.path), part(&file.path)))
        }
        Resource::Line(line) => Some((part(&line.path), whole(&line.path))),
        _ => None,
    }
}

/// Two resources that want the same thing to be different.
fn disagree(one: &Declaration, thing: &str, item: &Place<'_>, other: &DocPath) -> Diagnostic {
    let kind = one.kinds().first().copied().unwrap_or_default();
    let message = format!("{thing} is wanted in two ways on the same nodes");
    Diagnostic::error("ideal/resources-disagree", item.key(kind).path(), message)
        .help("remove one, or move the other out of the cloud that hands it down")
        .related(other.clone(), "wanted differently here")
}
