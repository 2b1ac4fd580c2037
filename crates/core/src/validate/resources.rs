//! What is kept right on a node.

use super::{text, zero};
use crate::diagnostic::Diagnostic;
use crate::ideal::Resource;
use crate::path::{DocPath, Place};

/// Checks of one resource.
pub(super) fn resource(resource: &Resource, item: &Place<'_>, found: &mut Vec<Diagnostic>) {
    match resource {
        Resource::File(file) => {
            let place = item.key("file");
            text::path(&file.path, &place.key("path"), "ideal/bad-path", found);
            mode(&file.mode, &place.key("mode"), found);
        }
        Resource::Directory(directory) => {
            let place = item.key("directory");
            text::path(&directory.path, &place.key("path"), "ideal/bad-path", found);
            mode(&directory.mode, &place.key("mode"), found);
        }
        Resource::Link(link) => {
            let place = item.key("link");
            text::path(&link.path, &place.key("path"), "ideal/bad-path", found);
            let to = place.key("to");
            text::argument(&link.to, &to, found);
            if link.to.is_empty() {
                found.push(Diagnostic::error("ideal/bad-path", to.path(), "the link points at nothing"));
            }
        }
        Resource::Command(command) => {
            let place = item.key("command");
            text::argv(&command.run, &place.key("run"), found);
            if let Some(creates) = &command.creates {
                text::path(creates, &place.key("creates"), "ideal/bad-path", found);
            }
            if let Some(unless) = &command.unless {
                text::argv(unless, &place.key("unless"), found);
            }
            if command.timeout.0 == 0 {
                found.push(zero(&place.key("timeout"), "a command without time can never succeed"));
            }
        }
    }
}

fn mode(mode: &str, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    let octal = (3..=4).contains(&mode.len()) && mode.bytes().all(|b| (b'0'..=b'7').contains(&b));
    if !octal && !text::has_expression(mode) {
        let message = format!("`{}` are no permission bits", mode.chars().take(20).collect::<String>());
        let help = "write them in octal, as text: \"0644\"";
        found.push(Diagnostic::error("ideal/bad-mode", place.path(), message).help(help));
    }
}

/// Two resources that want the same path to be different things.
pub(crate) fn disagree(resource: &Resource, path: &str, item: &Place<'_>, other: &DocPath) -> Diagnostic {
    let kind = match resource {
        Resource::File(_) => "file",
        Resource::Directory(_) => "directory",
        Resource::Link(_) => "link",
        Resource::Command(_) => "command",
    };
    let message = format!("{path} is wanted in two ways on the same nodes");
    Diagnostic::error("ideal/resources-disagree", item.key(kind).key("path").path(), message)
        .help("remove one, or move the other out of the cloud that hands it down")
        .related(other.clone(), "wanted differently here")
}
