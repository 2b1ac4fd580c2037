//! What `after`, `before` and `notifies` mean: which declarations of a node they speak of.
//!
//! A reference is a `name`, or a kind and key as they are written: `file /etc/motd`. It is looked for in the list
//! that it stands in; from a recipe also in the recipes that it uses; from a cloud also in all its recipes.

use std::collections::{BTreeMap, BTreeSet};

use super::Declaration;
use crate::diagnostic::Diagnostic;
use crate::path::DocPath;
use crate::recipe::Use;
use crate::validate::nearest;

/// A declaration and the list that it stands in.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// Which recipe of the node has it, by its place among them; none: the cloud's own.
    pub list: Option<usize>,
    /// It, as written.
    pub declaration: &'a Declaration,
}

/// All that is declared for a node, in the order in which it comes: recipes first.
pub fn listed<'a>(
    recipes: impl IntoIterator<Item = &'a Use>,
    resources: impl IntoIterator<Item = &'a Declaration>,
) -> Vec<Listed<'a>> {
    let of_recipes = recipes.into_iter().enumerate().flat_map(|(i, used)| {
        used.resources.iter().map(move |declaration| Listed { list: Some(i), declaration })
    });
    let own = resources.into_iter().map(|declaration| Listed { list: None, declaration });
    of_recipes.chain(own).collect()
}

/// What the references of a list come to, by place in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Of each pair the first waits for the second, from `after` and `before`.
    pub needs: Vec<(usize, usize)>,
    /// Of each pair the second is notified when the first was changed.
    pub notifies: Vec<(usize, usize)>,
    /// What leads nowhere.
    pub problems: Vec<Problem>,
}

/// A reference that leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whose it is, by place in the list.
    pub of: usize,
    /// `after`, `before` or `notifies`.
    pub field: &'static str,
    /// Which of them.
    pub index: usize,
    slug: &'static str,
    message: String,
    help: String,
}

impl Problem {
    /// The same as a diagnostic; `item` is the place of the declaration.
    pub fn diagnostic(&self, item: &DocPath) -> Diagnostic {
        let place = item.key(self.field).index(self.index);
        Diagnostic::error(self.slug, place, self.message.clone()).help(self.help.clone())
    }
}

/// Resolves the references of all declarations. `uses`: of each recipe, which of the others it uses itself.
pub fn resolve(all: &[Listed<'_>], uses: &[Vec<usize>]) -> References {
    let mut by_label: BTreeMap<(Option<usize>, String), Vec<usize>> = BTreeMap::new();
    for (i, one) in all.iter().enumerate() {
        let mut labels: BTreeSet<String> = one.declaration.name.iter().map(ToString::to_string).collect();
        labels.extend(one.declaration.resource().map(|resource| resource.label()));
        for label in labels {
            by_label.entry((one.list, label)).or_default().push(i);
        }
    }
    let mut references = References::default();
    for (i, one) in all.iter().enumerate() {
        let declaration = one.declaration;
        let fields: [(&'static str, &[String]); 3] = [
            ("after", &declaration.after),
            ("before", &declaration.before),
            ("notifies", &declaration.notifies),
        ];
        for (field, texts) in fields {
            for (index, text) in texts.iter().enumerate() {
                let problem = |slug, message: String, help: String| Problem {
                    of: i,
                    field,
                    index,
                    slug,
                    message,
                    help,
                };
                let visible = lists_seen(one.list, uses);
                let mut targets = Vec::new();
                // The nearest list that knows it: two recipes may well have a `config` each.
                if let Some(found) = by_label.get(&(one.list, text.clone())) {
                    targets.extend(found);
                } else {
                    targets.extend(
                        visible
                            .iter()
                            .filter_map(|list| by_label.get(&(Some(*list), text.clone())))
                            .flatten(),
                    );
                }
                if targets.is_empty() {
                    let lists: BTreeSet<Option<usize>> =
                        visible.iter().map(|list| Some(*list)).chain([one.list]).collect();
                    let known = by_label.keys().filter(|(list, _)| lists.contains(list));
                    let help = match nearest(text, known.map(|(_, label)| label.as_str())) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => {
                            "write the `name` of a resource, or its kind and key: file /etc/motd".to_owned()
                        }
                    };
                    let message = format!("there is no resource `{text}` here");
                    references.problems.push(problem("ideal/unknown-resource", message, help));
                }
                for target in targets {
                    if target == i {
                        let message = format!("`{text}` is this resource itself");
                        let help = "remove it, or name another".to_owned();
                        references.problems.push(problem("ideal/unknown-resource", message, help));
                        continue;
                    }
                    match field {
                        "after" => references.needs.push((i, target)),
                        "before" => references.needs.push((target, i)),
                        _ if hears(all[target].declaration) => references.notifies.push((i, target)),
                        _ => {
                            let message = format!("`{text}` does nothing when it is notified");
                            let help = "notify a unit, or a command with `notified: true`".to_owned();
                            references.problems.push(problem("ideal/bad-notify", message, help));
                        }
                    }
                }
            }
        }
    }
    references.needs.sort_unstable();
    references.needs.dedup();
    references.notifies.sort_unstable();
    references.notifies.dedup();
    references
}

/// The recipes in which a reference is looked for, beside its own list. `list`: the recipe that has it, by its place
/// among those of the node; none for the cloud's own.
pub fn lists_seen(list: Option<usize>, uses: &[Vec<usize>]) -> BTreeSet<usize> {
    let Some(list) = list else { return (0..uses.len()).collect() };
    let mut seen = BTreeSet::new();
    let mut open: Vec<usize> = uses.get(list).cloned().unwrap_or_default();
    while let Some(next) = open.pop() {
        if seen.insert(next) {
            open.extend(uses.get(next).into_iter().flatten());
        }
    }
    seen
}

/// Whether a resource does something when it is notified.
fn hears(declaration: &Declaration) -> bool {
    match declaration.kinds()[..] {
        ["command"] => declaration.command.as_ref().is_some_and(|command| command.notified),
        [kind] => kind == "unit",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declarations(values: serde_json::Value) -> Vec<Declaration> {
        serde_json::from_value(values).unwrap()
    }

    #[test]
    fn what_a_reference_leads_to() {
        let used = declarations(serde_json::json!([
            {"file": {"path": "/etc/a"}, "name": "config"},
            {"command": {"run": ["reload"], "notified": true}, "name": "reload"},
        ]));
        let user = declarations(serde_json::json!([
            {"file": {"path": "/etc/b"}, "after": ["config"], "notifies": ["reload"]},
        ]));
        let stranger = declarations(serde_json::json!([{"file": {"path": "/etc/c"}, "after": ["config"]}]));
        let own = declarations(serde_json::json!([
            {"file": {"path": "/etc/d"}, "before": ["file /etc/b"], "notifies": ["file /etc/a"]},
            {"file": {"path": "/etc/e"}, "after": ["file /etc/e", "file /etc/q"]},
        ]));
        let lists = [(Some(0), &used), (Some(1), &user), (Some(2), &stranger), (None, &own)];
        let all: Vec<Listed<'_>> = lists
            .into_iter()
            .flat_map(|(list, all)| all.iter().map(move |declaration| Listed { list, declaration }))
            .collect();
        let found = resolve(&all, &[vec![], vec![0], vec![]]);
        assert_eq!(found.needs, [(2, 0), (2, 4)]);
        assert_eq!(found.notifies, [(2, 1)]);
        let problems: Vec<_> =
            found.problems.iter().map(|one| (one.of, one.slug, one.help.as_str())).collect();
        assert_eq!(
            problems,
            [
                (
                    3,
                    "ideal/unknown-resource",
                    "write the `name` of a resource, or its kind and key: file /etc/motd"
                ),
                (4, "ideal/bad-notify", "notify a unit, or a command with `notified: true`"),
                (5, "ideal/unknown-resource", "remove it, or name another"),
                (5, "ideal/unknown-resource", "did you mean `file /etc/a`?"),
            ]
        );
    }
}
