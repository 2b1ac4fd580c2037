//! What a template asks for, found without rendering it; and whether it can be read at all.

use std::collections::BTreeSet;

use minijinja::machinery::ast::{Call, CallArg, Expr, Spanned, Stmt};
use minijinja::machinery::parse;
use minijinja::{Error, ErrorKind};

use super::{environment, words};
use crate::yaml::shortened;

/// Names of the template language itself.
const OWN: [&str; 4] = ["loop", "range", "dict", "namespace"];

/// One name that a template asks its context for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// `option`.
    pub root: String,
    /// What is taken from it first, `port`; nothing when that is known only when rendered, or it is taken whole.
    pub key: Option<String>,
    /// The line, counted from 1.
    pub line: usize,
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateProblem {
    /// The line, counted from 1.
    pub line: usize,
    /// One line.
    pub why: String,
}

/// Reads a template and answers what it asks for.
///
/// # Errors
///
/// The text cannot be read, or names a filter, test or function that there is not.
pub fn check_template(name: &str, text: &str) -> Result<Vec<Asked>, TemplateProblem> {
    let root = parse(text, name, environment().syntax().clone()).map_err(|error| problem(&error))?;
    let mut names = Names::default();
    names.statement(&root);
    if let Some(problem) = names.problem {
        return Err(problem);
    }
    let asked = names
        .asked
        .into_iter()
        .filter(|asked| !names.made.contains(&asked.root) && !OWN.contains(&asked.root.as_str()));
    Ok(asked.collect())
}

/// Of a text that was not rendered the library's words hold no values.
fn problem(error: &Error) -> TemplateProblem {
    let why = match error.detail() {
        Some(detail) => format!("{}: {}", words(error.kind()), shortened(detail)),
        None => words(error.kind()).to_owned(),
    };
    TemplateProblem { line: error.line().unwrap_or(1), why }
}

#[derive(Default)]
struct Names {
    asked: BTreeSet<Asked>,
    /// Names that the template makes itself, wherever in it.
    made: BTreeSet<String>,
    problem: Option<TemplateProblem>,
}

impl Names {
    fn body(&mut self, all: &[Stmt<'_>]) {
        all.iter().for_each(|one| self.statement(one));
    }

    fn statement(&mut self, statement: &Stmt<'_>) {
        match statement {
            Stmt::Template(template) => self.body(&template.children),
            Stmt::EmitExpr(emit) => self.expression(&emit.expr),
            Stmt::EmitRaw(_) => {}
            Stmt::ForLoop(each) => {
                self.target(&each.target);
                self.expression(&each.iter);
                each.filter_expr.iter().for_each(|filter| self.expression(filter));
                self.body(&each.body);
                self.body(&each.else_body);
            }
            Stmt::IfCond(choice) => {
                self.expression(&choice.expr);
                self.body(&choice.true_body);
                self.body(&choice.false_body);
            }
            Stmt::WithBlock(with) => {
                for (target, value) in &with.assignments {
                    self.target(target);
                    self.expression(value);
                }
                self.body(&with.body);
            }
            Stmt::Set(set) => {
                self.target(&set.target);
                self.expression(&set.expr);
            }
            Stmt::SetBlock(set) => {
                self.target(&set.target);
                set.filter.iter().for_each(|filter| self.expression(filter));
                self.body(&set.body);
            }
            Stmt::AutoEscape(escape) => self.body(&escape.body),
            Stmt::FilterBlock(block) => {
                self.expression(&block.filter);
                self.body(&block.body);
            }
            Stmt::Do(call) => self.call(&call.call),
        }
    }

    /// What a loop or an assignment gives a value.
    fn target(&mut self, target: &Expr<'_>) {
        match target {
            Expr::Var(var) => _ = self.made.insert(var.id.to_owned()),
            Expr::List(list) => list.items.iter().for_each(|item| self.target(item)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.target(item)),
            other => self.expression(other),
        }
    }

    fn ask(&mut self, root: &Expr<'_>, key: Option<String>) -> bool {
        let Expr::Var(var) = root else { return false };
        let line = root.span().start_line as usize;
        self.asked.insert(Asked { root: var.id.to_owned(), key, line });
        true
    }

    fn expression(&mut self, expression: &Expr<'_>) {
        match expression {
            Expr::Const(_) => {}
            Expr::Var(_) => _ = self.ask(expression, None),
            Expr::GetAttr(attr) => {
                if !self.ask(&attr.expr, Some(attr.name.to_owned())) {
                    self.expression(&attr.expr);
                }
            }
            Expr::GetItem(item) => {
                let key = match &item.subscript_expr {
                    Expr::Const(constant) => constant.value.as_str().map(str::to_owned),
                    _ => None,
                };
                if !self.ask(&item.expr, key) {
                    self.expression(&item.expr);
                }
                self.expression(&item.subscript_expr);
            }
            Expr::Slice(slice) => {
                self.expression(&slice.expr);
                let parts = [&slice.start, &slice.stop, &slice.step];
                parts.into_iter().flatten().for_each(|part| self.expression(part));
            }
            Expr::UnaryOp(unary) => self.expression(&unary.expr),
            Expr::BinOp(binary) => {
                self.expression(&binary.left);
                self.expression(&binary.right);
            }
            Expr::Compare(compare) => {
                self.expression(&compare.expr);
                compare.ops.iter().for_each(|one| self.expression(&one.expr));
            }
            Expr::IfExpr(choice) => {
                self.expression(&choice.test_expr);
                self.expression(&choice.true_expr);
                choice.false_expr.iter().for_each(|no| self.expression(no));
            }
            Expr::Filter(filter) => {
                let probe = format!("{{{{ ''|{} }}}}", filter.name);
                self.must_be_known(&probe, ErrorKind::UnknownFilter, "filter", filter.name, expression);
                filter.expr.iter().for_each(|of| self.expression(of));
                self.arguments(&filter.args);
            }
            Expr::Test(test) => {
                let probe = format!("{{{{ '' is {} }}}}", test.name);
                self.must_be_known(&probe, ErrorKind::UnknownTest, "test", test.name, expression);
                self.expression(&test.expr);
                self.arguments(&test.args);
            }
            Expr::Call(call) => self.call(call),
            Expr::List(list) => list.items.iter().for_each(|item| self.expression(item)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.expression(item)),
            Expr::Map(map) => map.keys.iter().chain(&map.values).for_each(|part| self.expression(part)),
        }
    }

    fn call(&mut self, call: &Spanned<Call<'_>>) {
        match &call.expr {
            Expr::Var(var) if !OWN.contains(&var.id) => {
                let why = format!("there is no function `{}`", shortened(var.id));
                self.problem
                    .get_or_insert(TemplateProblem { line: call.expr.span().start_line as usize, why });
            }
            of => self.expression(of),
        }
        self.arguments(&call.args);
    }

    fn arguments(&mut self, all: &[CallArg<'_>]) {
        for one in all {
            match one {
                CallArg::Pos(value)
                | CallArg::Kwarg(_, value)
                | CallArg::PosSplat(value)
                | CallArg::KwargSplat(value) => self.expression(value),
            }
        }
    }

    /// Filters and tests are looked up when a template runs; a probe asks before.
    fn must_be_known(&mut self, probe: &str, missing: ErrorKind, noun: &str, name: &str, at: &Expr<'_>) {
        if let Err(error) = environment().render_str(probe, ())
            && error.kind() == missing
        {
            let why = format!("there is no {noun} `{}`", shortened(name));
            self.problem.get_or_insert(TemplateProblem { line: at.span().start_line as usize, why });
        }
    }
}
