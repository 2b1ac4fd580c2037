//! The seam to the language of expressions in the texts of a slice.

pub(crate) use ideal_file::expression::{RenderProblem, render};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_rendered() {
        let context = serde_json::json!({
            "port": {"main": 8008}, "clouds": {"shop.db": {"nodes": [{"address": "10.0.0.1"}]}},
        });
        let check = |text: &str| render(text, &context);
        assert_eq!(check("a {{ port.main }} b").unwrap(), "a 8008 b");
        assert_eq!(check("{{ clouds['shop.db'].nodes[0].address }}").unwrap(), "10.0.0.1");
        // A port or mount that is not there yet is waited for, like any other value.
        assert!(matches!(check("{{ port.other }}"), Err(RenderProblem::Unknown { .. })));
        assert!(matches!(check("{{ port"), Err(RenderProblem::Refused { .. })));
    }
}
