//! How things look.

pub(crate) mod card;
pub(crate) mod diagnostic;
pub(crate) mod list;
pub(crate) mod matrix;
pub(crate) mod progress;
pub(crate) mod receipt;
mod running;
pub(crate) mod status;
pub(crate) mod words;
