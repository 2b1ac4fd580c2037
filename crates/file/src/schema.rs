//! The JSON Schemas of what people write, made from the domain types and their comments.

use ideal_core::facts::Facts;
use ideal_core::ideal::Document;
use ideal_core::recipe::RecipeDocument;
use ideal_core::resource::plugin::{Answer, Question};
use serde_json::Value as Json;

/// Of the ideal file, as `ideal schema file` prints it. The same bytes each time.
pub fn schema() -> Json {
    schemars::schema_for!(Document).to_value()
}

/// Of `recipe.yaml`, as `ideal schema recipe` prints it.
pub fn recipe_schema() -> Json {
    schemars::schema_for!(RecipeDocument).to_value()
}

/// Of what is known of a node, as `ideal schema facts` prints it.
pub fn facts_schema() -> Json {
    schemars::schema_for!(Facts).to_value()
}

/// Of what a plugin is asked and answers, as `ideal schema plugin` prints it.
pub fn plugin_schema() -> Json {
    serde_json::json!({
        "question": schemars::schema_for!(Question).to_value(),
        "answer": schemars::schema_for!(Answer).to_value(),
    })
}
