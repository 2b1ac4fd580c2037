//! The JSON Schema of the ideal file, made from the domain types and their comments.

use ideal_core::ideal::Document;
use serde_json::Value as Json;

/// The schema, as `ideal schema file` prints it. The same bytes each time.
pub fn schema() -> Json {
    schemars::schema_for!(Document).to_value()
}
