//! The container engine of this host, as the agent asks it.

pub(crate) mod frames;
pub(crate) mod program;
pub(crate) mod seen;

pub(crate) use ideal_host::engine::client::{Engine, EngineError, escaped};
