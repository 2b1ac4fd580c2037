//! Why a request came to nothing, by name: EC2's codes, and what each means for whoever asked.

use ideal_core::time::Span;

use super::element::Element;
use crate::ProviderError;

/// Why a request came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// EC2 answered with an error.
    Said {
        /// `InvalidVolume.NotFound`.
        code: String,
        /// In its words.
        message: String,
    },
    /// Nothing was sent.
    Unsent(String),
    /// It may have been done; nobody knows.
    Lost(String),
}

/// What an error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Too many requests: nothing happened.
    Throttled,
    /// EC2 is not well: it may have happened.
    Unwell,
    /// There is no such thing, which for one made a moment ago proves nothing.
    NotFound,
    /// The thing is between two states, or its state does not allow it now.
    State,
    /// No room for this type in this zone.
    Capacity,
    /// The token was used with other parameters.
    TokenTaken,
    /// What the token made is over.
    TokenOver,
    /// The credentials are too old.
    Expired,
    /// All else: asking again does no better.
    Refused,
}

impl Failure {
    /// Reads an error answer.
    pub(crate) fn read(status: u16, body: &[u8]) -> Failure {
        let read = Element::read(body).ok();
        let error = read.as_ref().and_then(|answer| answer.anywhere("Error"));
        match error {
            Some(error) => Failure::Said {
                code: error.text("Code").to_owned(),
                message: error.text("Message").to_owned(),
            },
            // A proxy or a balancer answered: what is behind it may have done it.
            None if status >= 500 => Failure::Lost(format!("the endpoint answered {status}")),
            None => Failure::Said {
                code: status.to_string(),
                message: format!("the endpoint answered {status} and nothing that EC2 would say"),
            },
        }
    }

    /// What it means.
    pub(crate) fn kind(&self) -> Kind {
        let code = match self {
            Failure::Said { code, .. } => code.as_str(),
            Failure::Unsent(_) => return Kind::Throttled,
            Failure::Lost(_) => return Kind::Unwell,
        };
        match code {
            "RequestLimitExceeded"
            | "Throttling"
            | "ThrottlingException"
            | "RequestThrottled"
            | "EC2ThrottledException"
            | "Client.RequestLimitExceeded"
            | "SnapshotCreationPerVolumeRateExceeded"
            | "VolumeModificationRateExceeded"
            | "ConcurrentTagAccess" => Kind::Throttled,
            "InternalError" | "InternalFailure" | "ServiceUnavailable" | "Unavailable" => Kind::Unwell,
            "InsufficientInstanceCapacity"
            | "InsufficientHostCapacity"
            | "InsufficientCapacity"
            | "InsufficientVolumeCapacity"
            | "InsufficientFreeAddressesInSubnet"
            | "Unsupported" => Kind::Capacity,
            "IdempotentParameterMismatch" => Kind::TokenTaken,
            "IdempotentInstanceTerminated" => Kind::TokenOver,
            "RequestExpired" | "ExpiredToken" => Kind::Expired,
            "IncorrectState"
            | "IncorrectInstanceState"
            | "IncorrectModificationState"
            | "PendingSnapshotLimitExceeded"
            | "ConcurrentSnapshotLimitExceeded"
            | "PendingVerification"
            // What was made a moment ago for the machine is not known everywhere yet.
            | "InvalidGroup.NotFound"
            | "InvalidKeyPair.NotFound" => Kind::State,
            // A malformed id is one that nothing has.
            _ if code.ends_with(".NotFound") || code.ends_with(".Malformed") || code == "InvalidID" => {
                Kind::NotFound
            }
            _ => Kind::Refused,
        }
    }

    /// Whether EC2 said just this.
    pub(crate) fn is(&self, what: &str) -> bool {
        matches!(self, Failure::Said { code, .. } if code == what)
    }

    /// In one line, with EC2's own word for it.
    pub(crate) fn why(&self) -> String {
        match self {
            Failure::Said { code, message } => format!("EC2 says {code}: {message}"),
            Failure::Unsent(why) | Failure::Lost(why) => why.clone(),
        }
    }
}

impl From<Failure> for ProviderError {
    fn from(failure: Failure) -> ProviderError {
        let why = failure.why();
        let after = |span| ProviderError::Retry { why: why.clone(), after: Some(span) };
        match (failure.kind(), &failure) {
            (Kind::Throttled, Failure::Unsent(_)) => after(Span::secs(5)),
            (Kind::Throttled, _) => after(Span::secs(10)),
            (Kind::Unwell, _) => ProviderError::Unknown { why },
            (Kind::State, _) => after(Span::secs(5)),
            (Kind::Capacity, _) => after(Span::mins(1)),
            (Kind::Expired, _) => after(Span::secs(1)),
            (Kind::TokenTaken | Kind::TokenOver, _) => ProviderError::TokenTaken,
            (Kind::NotFound | Kind::Refused, _) => ProviderError::refused(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: &str) -> Failure {
        let body = format!(
            "<Response><Errors><Error><Code>{code}</Code><Message>m</Message></Error></Errors></Response>"
        );
        Failure::read(400, body.as_bytes())
    }

    #[test]
    fn each_error_has_its_meaning() {
        let retry = |code: &str| matches!(ProviderError::from(said(code)), ProviderError::Retry { .. });
        let refused = |code: &str| matches!(ProviderError::from(said(code)), ProviderError::Refused { .. });
        for code in
            ["RequestLimitExceeded", "IncorrectState", "InsufficientInstanceCapacity", "RequestExpired"]
        {
            assert!(retry(code), "{code}");
        }
        for code in ["UnauthorizedOperation", "VolumeInUse", "InvalidVolume.NotFound", "VcpuLimitExceeded"] {
            assert!(refused(code), "{code}");
        }
        assert_eq!(ProviderError::from(said("IdempotentParameterMismatch")), ProviderError::TokenTaken);
        assert!(matches!(ProviderError::from(said("InternalError")), ProviderError::Unknown { .. }));
        for code in ["InvalidGroup.NotFound", "InvalidKeyPair.NotFound"] {
            assert_eq!(said(code).kind(), Kind::State, "{code}");
        }
        assert_eq!(said("InsufficientFreeAddressesInSubnet").kind(), Kind::Capacity);
        assert!(said("InvalidPermission.Duplicate").is("InvalidPermission.Duplicate"));
        assert_eq!(said("InvalidParameterValue").why(), "EC2 says InvalidParameterValue: m");
    }

    #[test]
    fn what_is_not_from_ec2_is_told_apart() {
        assert!(matches!(Failure::read(502, b"<html>"), Failure::Lost(_)));
        assert_eq!(Failure::read(403, b"no").kind(), Kind::Refused);
    }
}
