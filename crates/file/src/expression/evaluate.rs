//! What an expression comes to. Every text is bounded as it grows, numbers are checked, and no message shows
//! a value.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::syntax::{Expression, Operator};
use super::{MOST_OUTPUT, RenderProblem, refused};

type Outcome<'c> = Result<Cow<'c, Json>, RenderProblem>;

impl Expression {
    /// The value of the expression, given the values of its names.
    pub(crate) fn evaluate<'c>(&'c self, context: &'c Json) -> Outcome<'c> {
        match self {
            Expression::Constant(json) => Ok(Cow::Borrowed(json)),
            Expression::Name(name, _) => self.known(context.get(name)),
            Expression::Attribute(of, key) => match of.evaluate(context)? {
                Cow::Borrowed(of) => self.known(of.get(key)),
                Cow::Owned(of) => self.known(of.get(key)).map(|found| Cow::Owned(found.into_owned())),
            },
            Expression::Item(of, index) => {
                let index = index.evaluate(context)?;
                match of.evaluate(context)? {
                    Cow::Borrowed(of) => self.known(item(of, &index)),
                    Cow::Owned(of) => {
                        self.known(item(&of, &index)).map(|found| Cow::Owned(found.into_owned()))
                    }
                }
            }
            Expression::Filter("default", of, arguments) => match of.evaluate(context) {
                Err(RenderProblem::Unknown { .. }) => arguments[0].evaluate(context),
                other => other,
            },
            Expression::Filter(name, of, arguments) => {
                let of = of.evaluate(context)?;
                let arguments: Vec<_> =
                    arguments.iter().map(|argument| argument.evaluate(context)).collect::<Result<_, _>>()?;
                filter(name, &of, &arguments).map(Cow::Owned)
            }
            Expression::Defined(of) => match of.evaluate(context) {
                Ok(_) => Ok(Cow::Owned(true.into())),
                Err(RenderProblem::Unknown { .. }) => Ok(Cow::Owned(false.into())),
                Err(refused) => Err(refused),
            },
            Expression::Not(of) => Ok(Cow::Owned((!is_true(&*of.evaluate(context)?)).into())),
            Expression::Minus(of) => {
                let zero = Json::from(0);
                arithmetic(Operator::Subtract, &zero, &*of.evaluate(context)?).map(Cow::Owned)
            }
            Expression::Binary(Operator::And, left, right) => {
                let left = left.evaluate(context)?;
                if is_true(&left) { right.evaluate(context) } else { Ok(left) }
            }
            Expression::Binary(Operator::Or, left, right) => {
                let left = left.evaluate(context)?;
                if is_true(&left) { Ok(left) } else { right.evaluate(context) }
            }
            Expression::Binary(operator, left, right) => {
                let (left, right) = (left.evaluate(context)?, right.evaluate(context)?);
                binary(*operator, &left, &right).map(Cow::Owned)
            }
            Expression::Choice(test, yes, no) => match (is_true(&*test.evaluate(context)?), no) {
                (true, _) => yes.evaluate(context),
                (false, Some(no)) => no.evaluate(context),
                (false, None) => Ok(Cow::Owned("".into())),
            },
            Expression::List(items) => {
                let items: Result<Vec<Json>, _> =
                    items.iter().map(|item| item.evaluate(context).map(Cow::into_owned)).collect();
                Ok(Cow::Owned(items?.into()))
            }
        }
    }

    /// A value that is there; null is what nobody knows yet.
    fn known<'c>(&self, value: Option<&'c Json>) -> Outcome<'c> {
        match value {
            Some(value) if !value.is_null() => Ok(Cow::Borrowed(value)),
            _ => {
                let name = self.trail().map_or_else(|| "a value".to_owned(), |trail| trail.to_string());
                Err(RenderProblem::Unknown { name })
            }
        }
    }
}

fn item<'j>(of: &'j Json, index: &Json) -> Option<&'j Json> {
    match index {
        Json::String(key) => of.get(key),
        Json::Number(number) => {
            let items = of.as_array()?;
            let index = number.as_i64()?;
            let from_end = usize::try_from(index.unsigned_abs()).ok()?;
            items.get(if index < 0 { items.len().checked_sub(from_end)? } else { from_end })
        }
        _ => None,
    }
}

fn is_true(value: &Json) -> bool {
    match value {
        Json::Null => false,
        Json::Bool(flag) => *flag,
        Json::Number(number) => number.as_f64() != Some(0.0),
        Json::String(text) => !text.is_empty(),
        Json::Array(items) => !items.is_empty(),
        Json::Object(entries) => !entries.is_empty(),
    }
}

/// The value as it stands in a text.
pub(crate) fn write_text(
    value: &Json,
    expression: &Expression,
    out: &mut String,
) -> Result<(), RenderProblem> {
    if value.is_null() {
        return expression.known(None).map(|_| ());
    }
    out.push_str(&text_of(value)?);
    Ok(())
}

fn text_of(value: &Json) -> Result<Cow<'_, str>, RenderProblem> {
    match value {
        Json::String(text) => bounded(Cow::Borrowed(text.as_str())),
        Json::Number(number) => Ok(number.to_string().into()),
        Json::Bool(flag) => Ok(flag.to_string().into()),
        Json::Null => Ok("".into()),
        Json::Array(_) => Err(refused("a list cannot stand in a text; use the filter `join`")),
        Json::Object(_) => Err(refused("a mapping cannot stand in a text; take one of its values")),
    }
}

fn bounded(text: Cow<'_, str>) -> Result<Cow<'_, str>, RenderProblem> {
    if text.len() > MOST_OUTPUT {
        Err(refused("a text of more than 64 KiB in an expression"))
    } else {
        Ok(text)
    }
}

fn binary(operator: Operator, left: &Json, right: &Json) -> Result<Json, RenderProblem> {
    use std::cmp::Ordering::{Greater, Less};
    Ok(match operator {
        Operator::Equal => equal(left, right).into(),
        Operator::NotEqual => (!equal(left, right)).into(),
        Operator::Less => (order(left, right)? == Less).into(),
        Operator::LessOrEqual => (order(left, right)? != Greater).into(),
        Operator::Greater => (order(left, right)? == Greater).into(),
        Operator::GreaterOrEqual => (order(left, right)? != Less).into(),
        Operator::In => contains(right, left)?.into(),
        Operator::NotIn => (!contains(right, left)?).into(),
        Operator::Join => joined(&text_of(left)?, &text_of(right)?)?,
        Operator::Add => match (left, right) {
            (Json::String(left), Json::String(right)) => joined(left, right)?,
            _ => arithmetic(operator, left, right)?,
        },
        _ => arithmetic(operator, left, right)?,
    })
}

fn joined(left: &str, right: &str) -> Result<Json, RenderProblem> {
    if left.len() + right.len() > MOST_OUTPUT {
        return Err(refused("a text of more than 64 KiB in an expression"));
    }
    Ok(format!("{left}{right}").into())
}

fn equal(left: &Json, right: &Json) -> bool {
    match (left, right) {
        (Json::Number(left), Json::Number(right)) => left.as_f64() == right.as_f64(),
        _ => left == right,
    }
}

fn order(left: &Json, right: &Json) -> Result<std::cmp::Ordering, RenderProblem> {
    let order = match (left, right) {
        (Json::Number(left), Json::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => left.as_f64().zip(right.as_f64()).and_then(|(left, right)| left.partial_cmp(&right)),
        },
        (Json::String(left), Json::String(right)) => Some(left.cmp(right)),
        _ => None,
    };
    order.ok_or_else(|| refused("only two numbers or two texts have an order"))
}

fn contains(all: &Json, one: &Json) -> Result<bool, RenderProblem> {
    match (all, one) {
        (Json::String(all), Json::String(one)) => Ok(all.contains(one.as_str())),
        (Json::Array(all), one) => Ok(all.iter().any(|item| equal(item, one))),
        (Json::Object(all), Json::String(one)) => Ok(all.contains_key(one)),
        _ => Err(refused("`in` asks a text, a list or a mapping")),
    }
}

fn arithmetic(operator: Operator, left: &Json, right: &Json) -> Result<Json, RenderProblem> {
    let (Json::Number(left), Json::Number(right)) = (left, right) else {
        return Err(refused("only numbers can be computed with; texts are joined with ~"));
    };
    if let (Some(left), Some(right)) = (left.as_i64(), right.as_i64())
        && operator != Operator::Divide
    {
        let result = match operator {
            Operator::Add => left.checked_add(right),
            Operator::Subtract => left.checked_sub(right),
            Operator::Multiply => left.checked_mul(right),
            Operator::DivideWhole => left.checked_div_euclid(right),
            _ => left.checked_rem_euclid(right),
        };
        return result.map(Json::from).ok_or_else(|| refused("this number cannot be computed"));
    }
    let (left, right) = (left.as_f64().unwrap_or(f64::NAN), right.as_f64().unwrap_or(f64::NAN));
    let result = match operator {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide => left / right,
        Operator::DivideWhole => left.div_euclid(right),
        _ => left.rem_euclid(right),
    };
    if result.is_finite() { Ok(result.into()) } else { Err(refused("this number cannot be computed")) }
}

fn filter(name: &str, of: &Json, arguments: &[Cow<'_, Json>]) -> Result<Json, RenderProblem> {
    let number = || refused("this text is not a number");
    Ok(match name {
        "lower" => text_of(of)?.to_lowercase().into(),
        "upper" => text_of(of)?.to_uppercase().into(),
        "trim" => text_of(of)?.trim().into(),
        "string" => text_of(of)?.into(),
        "replace" => replaced(&text_of(of)?, &text_of(&arguments[0])?, &text_of(&arguments[1])?)?.into(),
        "join" => {
            let Json::Array(items) = of else { return Err(refused("only a list can be joined")) };
            let between = arguments.first().map(|between| text_of(between)).transpose()?.unwrap_or_default();
            let mut out = String::new();
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(&between);
                }
                out.push_str(&text_of(item)?);
                if out.len() > MOST_OUTPUT {
                    return Err(refused("a text of more than 64 KiB in an expression"));
                }
            }
            out.into()
        }
        "length" => match of {
            Json::String(text) => text.chars().count().into(),
            Json::Array(items) => items.len().into(),
            Json::Object(entries) => entries.len().into(),
            _ => return Err(refused("only texts, lists and mappings have a length")),
        },
        "int" => match of {
            Json::String(text) => text.trim().parse::<i64>().map_err(|_| number())?.into(),
            Json::Number(n) if n.is_i64() || n.is_u64() => of.clone(),
            Json::Number(n) => {
                let whole = n.as_f64().unwrap_or_default().trunc();
                format!("{whole:.0}").parse::<i64>().map_err(|_| number())?.into()
            }
            _ => return Err(number()),
        },
        "float" => match of {
            Json::String(text) => match text.trim().parse::<f64>() {
                Ok(n) if n.is_finite() => n.into(),
                _ => return Err(number()),
            },
            Json::Number(n) => n.as_f64().unwrap_or_default().into(),
            _ => return Err(number()),
        },
        "first" | "last" => match of {
            Json::Array(items) => {
                let item = if name == "first" { items.first() } else { items.last() };
                item.cloned().ok_or_else(|| refused("the list is empty"))?
            }
            _ => return Err(refused("only a list has a first and a last item")),
        },
        _ => return Err(refused("there is no such filter")),
    })
}

fn replaced(text: &str, old: &str, new: &str) -> Result<String, RenderProblem> {
    if old.is_empty() {
        return Err(refused("nothing cannot be replaced by something"));
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(old) {
        out.push_str(before);
        out.push_str(new);
        if out.len() > MOST_OUTPUT {
            return Err(refused("a text of more than 64 KiB in an expression"));
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}
