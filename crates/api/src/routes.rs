//! The paths that an agent serves.

/// `POST`: an [`Order`](crate::Order) as JSON; answered with a [`Reply`](crate::Reply), or with a
/// [`LinkError`](crate::LinkError) and another code than 200.
pub const ORDERS: &str = "/v1/orders";
/// `GET`: the report, for people with `curl`.
pub const REPORT: &str = "/v1/report";
/// `GET`: the last lines of a replica's log as text; `?lines=N`.
pub const LOGS: &str = "/v1/logs/{service}";
/// `POST`: runs a program for a person, see [`exec`](crate::exec).
pub const EXEC: &str = "/v1/exec";
/// `GET`: `ok` while the agent serves.
pub const HEALTH: &str = "/v1/health";

/// The most that is read of a question or an answer.
pub const BODY_LIMIT: usize = 8 << 20;

/// [`LOGS`] of one replica. Brackets of `pub[0]` are escaped; names have nothing else to escape.
pub fn logs(service: &str, lines: usize) -> String {
    format!("/v1/logs/{}?lines={lines}", service.replace('[', "%5B").replace(']', "%5D"))
}
