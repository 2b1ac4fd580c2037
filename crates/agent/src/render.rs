//! The seam to the language of expressions: `{{ a.b['c'].d[0] }}` in the texts of a slice.

use serde_json::Value;

/// Why a text could not be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RenderProblem {
    /// A name that has no value yet: waited for.
    #[error("`{name}` is not known yet")]
    Unknown { name: String },
    /// An expression that cannot be meant.
    #[error("{why}")]
    Refused { why: String },
}

/// Replaces every `{{ … }}` by its value.
pub(crate) fn render(text: &str, context: &Value) -> Result<String, RenderProblem> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let (expression, after) = after
            .split_once("}}")
            .ok_or_else(|| RenderProblem::Refused { why: "`{{` without `}}`".to_owned() })?;
        match look_up(expression.trim(), context)? {
            Value::String(value) => out.push_str(value),
            Value::Null => {}
            other => out.push_str(&other.to_string()),
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn look_up<'a>(expression: &str, context: &'a Value) -> Result<&'a Value, RenderProblem> {
    let unknown = || RenderProblem::Unknown { name: expression.to_owned() };
    let refused = || RenderProblem::Refused { why: format!("`{expression}` is not an expression") };
    let mut value = context;
    let mut rest = expression;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (key, after) = inner.split_once(']').ok_or_else(refused)?;
            let quoted = key.strip_prefix(['\'', '"']).and_then(|key| key.strip_suffix(['\'', '"']));
            value = match quoted {
                Some(key) => value.get(key),
                None => value.get(key.parse::<usize>().map_err(|_| refused())?),
            }
            .ok_or_else(unknown)?;
            rest = after;
        } else {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let name = &rest[..end];
            if name.is_empty() || name.contains(|c: char| !c.is_alphanumeric() && c != '_' && c != '-') {
                return Err(refused());
            }
            value = value.get(name).ok_or_else(unknown)?;
            rest = &rest[end..];
        }
    }
    if expression.is_empty() { Err(refused()) } else { Ok(value) }
}

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
        assert!(matches!(check("{{ port.other }}"), Err(RenderProblem::Unknown { .. })));
        assert!(matches!(check("{{ 1 + 1 }}"), Err(RenderProblem::Refused { .. })));
        assert!(matches!(check("{{ port"), Err(RenderProblem::Refused { .. })));
    }
}
