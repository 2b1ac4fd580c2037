//! How things look. Pictures are made here, printed by `output`.

pub(crate) mod diagnostic;
