//! Under which host requests from outside reach a service.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ServiceSpec;
use crate::id::Name;

/// Requests for a host are to reach the replicas of a service. The service does nothing about it itself: nodes with
/// the recipe `proxy`, or another that asks for `routes`, do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The name that is asked for: `pub.example.org`, or `*.example.org` for all below it.
    pub host: String,
    /// The port of the service that answers, by name. Default: the only one that it has.
    #[serde(default)]
    pub port: Option<Name>,
    /// How it is asked in secret. Without: as plain text.
    #[serde(default)]
    pub tls: Option<Tls>,
}

/// A certificate and its key, by the names of the secrets that hold them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The secret with the certificate, and those that vouch for it, as PEM.
    pub certificate: Name,
    /// The secret with its private key, as PEM. It may be the same one.
    pub key: Name,
}

impl Route {
    /// The port that answers: the one that is said, or the only one there is.
    pub fn port_of<'s>(&'s self, spec: &'s ServiceSpec) -> Option<&'s Name> {
        match &self.port {
            Some(port) => Some(port),
            None => spec.ports.keys().next().filter(|_| spec.ports.len() == 1),
        }
    }
    /// The secrets that it names.
    pub fn secrets(&self) -> impl Iterator<Item = &Name> {
        self.tls.iter().flat_map(|tls| [&tls.certificate, &tls.key])
    }
}

/// Whether a text can be a host: labels of letters, digits and dashes, at most 63 each and 253 in all; the first may
/// be `*`. It stands in configurations as it is, so nothing else may be in it.
pub fn is_host(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let rest = text.strip_prefix("*.").unwrap_or(text);
    text.len() <= 253 && rest.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_a_host() {
        for good in ["pub.example.org", "*.example.org", "localhost", "a-1.b", "10.0.0.1"] {
            assert!(is_host(good), "{good}");
        }
        let long = ["a".repeat(64), ["a"; 130].join(".")];
        for bad in
            ["", "*", "a..b", ".a", "a.", "-a", "a-", "A.b", "a b", "a;b", "a/b", "a:80", "a.*.b", "é.org"]
        {
            assert!(!is_host(bad), "{bad}");
        }
        assert!(!is_host(&long[0]) && !is_host(&long[1]));
    }
}
