//! The small syntax tree of an expression: everything that may be evaluated, and nothing else.

use minijinja::machinery::ast::{self, BinOpKind, CallArg, CompareOpKind, Expr, UnaryOpKind};
use minijinja::machinery::parse_expr;
use minijinja::value::ValueKind;
use serde_json::Value as Json;

use super::LONGEST_EXPRESSION;
use ideal_core::validate::nearest;

/// What may follow a bar.
pub(crate) const FILTERS: [&str; 12] = [
    "default", "lower", "upper", "replace", "trim", "join", "length", "int", "float", "string", "first",
    "last",
];

/// An expression that may be evaluated.
#[derive(Debug)]
pub(crate) enum Expression {
    Constant(Json),
    /// A name and where it stands in the expression.
    Name(String, usize),
    Attribute(Box<Expression>, String),
    Item(Box<Expression>, Box<Expression>),
    Filter(&'static str, Box<Expression>, Vec<Expression>),
    Defined(Box<Expression>),
    Not(Box<Expression>),
    Minus(Box<Expression>),
    Binary(Operator, Box<Expression>, Box<Expression>),
    Choice(Box<Expression>, Box<Expression>, Option<Box<Expression>>),
    List(Vec<Expression>),
}

/// What stands between two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    And,
    Or,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
    Add,
    Subtract,
    Multiply,
    Divide,
    DivideWhole,
    Remainder,
    Join,
}

/// Why a text is no expression of ours, and where.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) why: String,
    pub(crate) at: usize,
}

fn wrong<T>(expr: &Expr<'_>, why: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { why: why.into(), at: expr.span().start_offset as usize })
}

/// One step of a [`Trail`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(i64),
    /// Known only when evaluated.
    Computed,
}

/// A name with the attributes and items taken from it: `clouds['shop.db'].nodes[0]`.
#[derive(Clone, Debug)]
pub(crate) struct Trail {
    pub(crate) root: String,
    pub(crate) steps: Vec<Step>,
    /// Where it starts in the expression.
    pub(crate) at: usize,
    /// Under `default` or `is defined`: it need not exist.
    pub(crate) may_miss: bool,
}

impl std::fmt::Display for Trail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.root)?;
        for step in &self.steps {
            let word = |key: &str| {
                key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                    && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            };
            match step {
                Step::Key(key) if word(key) => write!(f, ".{key}")?,
                Step::Key(key) => write!(f, "['{key}']")?,
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Computed => f.write_str("[...]")?,
            }
        }
        Ok(())
    }
}

impl Expression {
    /// Reads an expression and refuses all that is not ours.
    pub(crate) fn parse(source: &str) -> Result<Expression, Wrong> {
        if source.len() > LONGEST_EXPRESSION {
            return Err(Wrong {
                why: format!("an expression has at most {LONGEST_EXPRESSION} characters"),
                at: 0,
            });
        }
        if source.trim().is_empty() {
            return Err(Wrong { why: "there is nothing between {{ and }}".to_owned(), at: 0 });
        }
        match parse_expr(source) {
            Ok(expr) => own(&expr),
            Err(error) => {
                let why = error.detail().unwrap_or("it cannot be read");
                // The library speaks of a template; there is none here.
                Err(Wrong {
                    why: format!("this is no expression: {}", why.replace("end of template", "its end")),
                    at: 0,
                })
            }
        }
    }

    /// Every name that is asked for, with what is taken from it.
    pub(crate) fn trails(&self) -> Vec<Trail> {
        let mut trails = Vec::new();
        self.collect(false, &mut trails);
        trails
    }

    /// The trail of a plain chain of attributes and items.
    pub(crate) fn trail(&self) -> Option<Trail> {
        match self {
            Expression::Name(root, at) => {
                Some(Trail { root: root.clone(), steps: Vec::new(), at: *at, may_miss: false })
            }
            Expression::Attribute(of, key) => {
                let mut trail = of.trail()?;
                trail.steps.push(Step::Key(key.clone()));
                Some(trail)
            }
            Expression::Item(of, index) => {
                let mut trail = of.trail()?;
                trail.steps.push(match &**index {
                    Expression::Constant(Json::String(key)) => Step::Key(key.clone()),
                    Expression::Constant(Json::Number(n)) => n.as_i64().map_or(Step::Computed, Step::Index),
                    _ => Step::Computed,
                });
                Some(trail)
            }
            _ => None,
        }
    }

    fn collect(&self, may_miss: bool, trails: &mut Vec<Trail>) {
        if let Some(trail) = self.trail() {
            trails.push(Trail { may_miss, ..trail });
        }
        match self {
            Expression::Constant(_) | Expression::Name(..) => {}
            Expression::Attribute(of, _) => of.collect_inside(may_miss, trails),
            Expression::Item(of, index) => {
                of.collect_inside(may_miss, trails);
                index.collect(false, trails);
            }
            Expression::Filter(name, of, arguments) => {
                of.collect(may_miss || *name == "default", trails);
                arguments.iter().for_each(|argument| argument.collect(false, trails));
            }
            Expression::Defined(of) => of.collect(true, trails),
            Expression::Not(of) | Expression::Minus(of) => of.collect(false, trails),
            Expression::Binary(_, left, right) => {
                left.collect(false, trails);
                right.collect(false, trails);
            }
            Expression::Choice(test, yes, no) => {
                test.collect(false, trails);
                // Which branch is taken depends on the test, so a name in one of them need not exist.
                yes.collect(true, trails);
                no.iter().for_each(|no| no.collect(true, trails));
            }
            Expression::List(items) => items.iter().for_each(|item| item.collect(false, trails)),
        }
    }

    /// As `collect`, below a chain whose whole was collected already.
    fn collect_inside(&self, may_miss: bool, trails: &mut Vec<Trail>) {
        match self {
            Expression::Name(..) => {}
            Expression::Attribute(of, _) => of.collect_inside(may_miss, trails),
            Expression::Item(of, index) => {
                of.collect_inside(may_miss, trails);
                index.collect(false, trails);
            }
            other => other.collect(may_miss, trails),
        }
    }
}

fn boxed(expr: &Expr<'_>) -> Result<Box<Expression>, Wrong> {
    own(expr).map(Box::new)
}

fn own(expr: &Expr<'_>) -> Result<Expression, Wrong> {
    Ok(match expr {
        Expr::Const(constant) => match constant_of(&constant.value) {
            Some(json) => Expression::Constant(json),
            None => return wrong(expr, "a constant of this kind is not read"),
        },
        Expr::Var(var) => Expression::Name(var.id.to_owned(), expr.span().start_offset as usize),
        Expr::GetAttr(attr) => Expression::Attribute(boxed(&attr.expr)?, attr.name.to_owned()),
        Expr::GetItem(item) => Expression::Item(boxed(&item.expr)?, boxed(&item.subscript_expr)?),
        Expr::UnaryOp(unary) => match unary.op {
            UnaryOpKind::Not => Expression::Not(boxed(&unary.expr)?),
            UnaryOpKind::Neg => Expression::Minus(boxed(&unary.expr)?),
        },
        Expr::BinOp(binary) => {
            let Some(operator) = operator(binary.op) else {
                return wrong(expr, "powers are not computed here");
            };
            Expression::Binary(operator, boxed(&binary.left)?, boxed(&binary.right)?)
        }
        Expr::Compare(compare) => {
            let [one] = &compare.ops[..] else { return wrong(expr, "write `a < b and b < c` for a chain") };
            Expression::Binary(comparison(one.op), boxed(&compare.expr)?, boxed(&one.expr)?)
        }
        Expr::IfExpr(choice) => Expression::Choice(
            boxed(&choice.test_expr)?,
            boxed(&choice.true_expr)?,
            choice.false_expr.as_ref().map(boxed).transpose()?,
        ),
        Expr::Filter(filter) => return own_filter(expr, filter),
        Expr::Test(test) => match (test.name, &test.args[..]) {
            ("defined", []) => Expression::Defined(boxed(&test.expr)?),
            ("undefined", []) => Expression::Not(Box::new(Expression::Defined(boxed(&test.expr)?))),
            _ => return wrong(expr, "the only tests are `is defined` and `is undefined`"),
        },
        Expr::List(list) => Expression::List(list.items.iter().map(own).collect::<Result<_, _>>()?),
        Expr::Call(_) => return wrong(expr, "functions cannot be called here"),
        Expr::Slice(_) => return wrong(expr, "slices are not read; take one item: [0]"),
        Expr::Tuple(_) => return wrong(expr, "write a list: [a, b]"),
        Expr::Map(_) => return wrong(expr, "mappings cannot be written inside an expression"),
    })
}

fn own_filter(expr: &Expr<'_>, filter: &ast::Filter<'_>) -> Result<Expression, Wrong> {
    let Some(name) = FILTERS.into_iter().find(|name| *name == filter.name) else {
        let help = nearest(filter.name, FILTERS).map(|near| format!("; did you mean `{near}`?"));
        return wrong(expr, format!("there is no filter `{}`{}", filter.name, help.unwrap_or_default()));
    };
    let Some(of) = &filter.expr else { return wrong(expr, "a filter needs something to work on") };
    let mut arguments = Vec::new();
    for argument in &filter.args {
        match argument {
            CallArg::Pos(argument) => arguments.push(own(argument)?),
            _ => return wrong(expr, "arguments of filters have no names"),
        }
    }
    let wanted = match name {
        "default" => 1..=1,
        "replace" => 2..=2,
        "join" => 0..=1,
        _ => 0..=0,
    };
    if !wanted.contains(&arguments.len()) {
        return wrong(expr, format!("filter `{name}` takes {} arguments", wanted.end()));
    }
    Ok(Expression::Filter(name, boxed(of)?, arguments))
}

fn constant_of(value: &minijinja::Value) -> Option<Json> {
    match value.kind() {
        ValueKind::None => Some(Json::Null),
        ValueKind::Bool => Some(value.is_true().into()),
        ValueKind::String => value.as_str().map(Json::from),
        ValueKind::Number => match i64::try_from(value.clone()) {
            Ok(whole) if value.is_integer() => Some(whole.into()),
            _ => f64::try_from(value.clone()).ok().map(Json::from),
        },
        _ => None,
    }
}

fn operator(op: BinOpKind) -> Option<Operator> {
    Some(match op {
        BinOpKind::Eq => Operator::Equal,
        BinOpKind::Ne => Operator::NotEqual,
        BinOpKind::Lt => Operator::Less,
        BinOpKind::Lte => Operator::LessOrEqual,
        BinOpKind::Gt => Operator::Greater,
        BinOpKind::Gte => Operator::GreaterOrEqual,
        BinOpKind::ScAnd => Operator::And,
        BinOpKind::ScOr => Operator::Or,
        BinOpKind::Add => Operator::Add,
        BinOpKind::Sub => Operator::Subtract,
        BinOpKind::Mul => Operator::Multiply,
        BinOpKind::Div => Operator::Divide,
        BinOpKind::FloorDiv => Operator::DivideWhole,
        BinOpKind::Rem => Operator::Remainder,
        BinOpKind::Concat => Operator::Join,
        BinOpKind::In => Operator::In,
        BinOpKind::Pow => return None,
    })
}

fn comparison(op: CompareOpKind) -> Operator {
    match op {
        CompareOpKind::Eq => Operator::Equal,
        CompareOpKind::Ne => Operator::NotEqual,
        CompareOpKind::Lt => Operator::Less,
        CompareOpKind::Lte => Operator::LessOrEqual,
        CompareOpKind::Gt => Operator::Greater,
        CompareOpKind::Gte => Operator::GreaterOrEqual,
        CompareOpKind::In => Operator::In,
        CompareOpKind::NotIn => Operator::NotIn,
    }
}
