//! What is kept right on one node: how one looks at each kind of resource, and how one changes it.
//!
//! The pure half of a kind (spec, checks, `compare`) is in `ideal_core::resource`; the half here has the same name
//! in [`kinds`]. Who only looks is given [`Eyes`]; every change goes through [`Hands`], which only a converging
//! [`Keeper`] makes. So a diagnosis can change nothing: it has no hands.
//!
//! Reading order: [`ground`] (what resources stand on), [`eyes`], [`hands`], [`kinds`] (one is enough), [`prepare`]
//! (from a slice to rendered resources), [`pass`] (what is done in which order), [`keeper`] (what is remembered
//! between passes), [`watch`] (who notices drift). Beside it stands [`bundle`]: files that a person copies.
//!
//! Invariants: no path and no link in one leads out of the node's root; a file is at each moment the old or the new;
//! what is owed after a crash is written down before the change that owes it.

pub mod accounts;
pub mod bundle;
pub mod digest;
pub mod exec;
pub mod eyes;
pub mod facts;
pub mod ground;
pub mod hands;
pub mod keeper;
pub mod kinds;
pub mod ledger;
pub mod pass;
pub mod plugins;
pub mod prepare;
pub mod question;
pub mod root;
mod tarball;
pub mod watch;

pub use eyes::Eyes;
pub use ground::{Ground, Machine};
pub use hands::Hands;
pub use keeper::{Keeper, Mode, Pick, Wanted};
