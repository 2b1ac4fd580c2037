//! Lists: rows of JSON, of which people see some keys as columns. `--where`, `--sort` and `--limit` work the same way
//! for each of them.

use std::cmp::Ordering;

use ideal_core::validate::nearest;
use serde_json::Value as Json;

use crate::arguments::Listing;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// A key of every row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    key: &'static str,
    is_shown: bool,
    /// What people see of it, made of the whole row; else the value itself.
    words: Option<fn(&Json) -> String>,
}

impl Column {
    /// One that people see.
    pub(crate) const fn new(key: &'static str) -> Column {
        Column { key, is_shown: true, words: None }
    }
    /// One that is only filtered and sorted by, and in the JSON.
    pub(crate) const fn hidden(key: &'static str) -> Column {
        Column { key, is_shown: false, words: None }
    }
    /// Shown in these words.
    pub(crate) const fn told(key: &'static str, words: fn(&Json) -> String) -> Column {
        Column { key, is_shown: true, words: Some(words) }
    }
    fn words(&self, row: &Json) -> String {
        self.words.map_or_else(|| plain(&row[self.key]), |words| words(row))
    }
}

/// A value in one line; empty for none.
pub(crate) fn plain(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        Json::Bool(yes) => (if *yes { "yes" } else { "no" }).to_owned(),
        Json::Array(all) => all.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// Rows and the keys that each of them has.
#[derive(Debug)]
pub(crate) struct List {
    columns: &'static [Column],
    rows: Vec<Json>,
}

impl List {
    /// All rows, in the order in which they are shown unless another is asked for.
    pub(crate) fn new(columns: &'static [Column], rows: Vec<Json>) -> List {
        List { columns, rows }
    }

    /// Those rows that are asked for, in the order that is asked for.
    pub(crate) fn pick(mut self, listing: &Listing) -> Result<List, Failure> {
        for condition in listing.conditions.iter().flat_map(|all| all.split(',')) {
            let Some((key, wanted)) = condition.split_once('=') else {
                let message = format!("`{condition}` is not a condition; write KEY=VALUE or KEY!=VALUE");
                return Err(Failure::new("bad-condition", Exit::BadInput, message)
                    .next(format!("a key is one of {}", self.keys())));
            };
            let (key, is) = key.strip_suffix('!').map_or((key, true), |key| (key, false));
            let (column, wanted) = (self.column(key.trim())?, wanted.trim());
            let equals = |row: &Json| plain(&row[column.key]) == wanted || column.words(row) == wanted;
            self.rows.retain(|row| equals(row) == is);
        }
        if let Some(sort) = &listing.sort {
            let (key, backwards) = sort.strip_prefix('-').map_or((sort.as_str(), false), |key| (key, true));
            let column = self.column(key)?;
            let order = |a: &Json, b: &Json| compare(&a[column.key], &b[column.key]);
            self.rows.sort_by(|a, b| if backwards { order(b, a) } else { order(a, b) });
        }
        self.rows.truncate(listing.limit.unwrap_or(usize::MAX));
        Ok(self)
    }

    fn column(&self, key: &str) -> Result<Column, Failure> {
        let found = self.columns.iter().find(|column| column.key == key);
        found.copied().ok_or_else(|| {
            let near = nearest(key, self.columns.iter().map(|column| column.key));
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            Failure::new("unknown-key", Exit::BadInput, format!("there is no key `{key}`{near}"))
                .next(format!("a key is one of {}", self.keys()))
        })
    }
    fn keys(&self) -> String {
        self.columns.iter().map(|column| column.key).collect::<Vec<_>>().join(", ")
    }

    /// As a table. A column in which nothing stands is left out.
    pub(crate) fn render(&self) -> String {
        let mut lines = vec![String::new(); self.rows.len() + 1];
        for column in self.columns.iter().filter(|column| column.is_shown) {
            let cells: Vec<String> = self.rows.iter().map(|row| column.words(row)).collect();
            if cells.iter().all(String::is_empty) {
                continue;
            }
            let title = column.key.replace('_', " ").to_uppercase();
            let width = cells.iter().chain([&title]).map(|cell| cell.chars().count()).max().unwrap_or(0);
            let dash = |cell: String| if cell.is_empty() { "-".to_owned() } else { cell };
            for (line, cell) in lines.iter_mut().zip([title].into_iter().chain(cells.into_iter().map(dash))) {
                line.push_str(&format!("{cell:width$}  "));
            }
        }
        lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
    }

    /// Says it: for scripts all rows as one document, or each as one line. `noun` is what a row is.
    pub(crate) fn say(&self, noun: &str, output: &Output) -> anyhow::Result<()> {
        if output.is_stream() {
            return self.rows.iter().try_for_each(|row| output.document(noun, row));
        }
        if output.is_json() {
            return output.document(&format!("{noun}s"), &self.rows);
        }
        match self.rows.is_empty() {
            true => output.note(&format!("there is no such {noun}")),
            false => output.result(&self.render()),
        }
        Ok(())
    }
}

/// Numbers by their size, texts with the numbers in them by theirs: `web[2]` comes before `web[10]`. None is first.
fn compare(a: &Json, b: &Json) -> Ordering {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => natural(&plain(a), &plain(b)),
    }
}

fn natural(mut a: &str, mut b: &str) -> Ordering {
    loop {
        let (Some(first), Some(second)) = (a.chars().next(), b.chars().next()) else {
            return a.len().cmp(&b.len());
        };
        if first.is_ascii_digit() && second.is_ascii_digit() {
            let (left, rest_of_a) = digits(a);
            let (right, rest_of_b) = digits(b);
            match left.len().cmp(&right.len()).then(left.cmp(right)) {
                Ordering::Equal => (a, b) = (rest_of_a, rest_of_b),
                other => return other,
            }
        } else if first != second {
            return first.cmp(&second);
        } else {
            (a, b) = (&a[first.len_utf8()..], &b[second.len_utf8()..]);
        }
    }
}

/// The number that a text begins with, without leading zeros, and the rest.
fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (text[..end].trim_start_matches('0'), &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const COLUMNS: &[Column] = &[
        Column::new("address"),
        Column::hidden("cloud"),
        Column::told("mounted", |row| format!("{}/{}", row["mounted"], row["mounts"])),
        Column::new("image"),
    ];

    fn list() -> List {
        let row = |address: &str, cloud: &str, mounted: u32| json!({"address": address, "cloud": cloud, "mounted": mounted, "mounts": 2, "image": null});
        List::new(COLUMNS, vec![row("web[10]", "web", 1), row("web[2]", "web", 2), row("db[0]", "db", 2)])
    }
    fn listing(conditions: &[&str], sort: Option<&str>, limit: Option<usize>) -> Listing {
        let conditions = conditions.iter().map(|&text| text.to_owned()).collect();
        Listing { conditions, sort: sort.map(str::to_owned), limit }
    }
    #[track_caller]
    fn picked(conditions: &[&str], sort: Option<&str>, limit: Option<usize>) -> Vec<String> {
        let list = list().pick(&listing(conditions, sort, limit)).unwrap();
        list.rows.iter().map(|row| plain(&row["address"])).collect()
    }

    #[test]
    fn rows_are_picked() {
        assert_eq!(picked(&[], None, None), ["web[10]", "web[2]", "db[0]"]);
        assert_eq!(picked(&["cloud=web, mounted=2"], None, None), ["web[2]"]);
        assert_eq!(picked(&["cloud=web", "mounted=1/2"], None, None), ["web[10]"]);
        assert_eq!(picked(&["cloud!=web"], None, None), ["db[0]"]);
        assert_eq!(picked(&["image="], None, Some(1)), ["web[10]"]);
        assert_eq!(picked(&[], Some("address"), None), ["db[0]", "web[2]", "web[10]"]);
        assert_eq!(picked(&[], Some("-address"), Some(2)), ["web[10]", "web[2]"]);
        assert_eq!(picked(&[], Some("mounted"), None), ["web[10]", "web[2]", "db[0]"]);
    }

    #[test]
    fn what_is_no_key_is_refused_with_those_that_are() {
        let refused = |conditions: &[&str], sort| list().pick(&listing(conditions, sort, None)).unwrap_err();
        for failure in [refused(&["clod=web"], None), refused(&[], Some("clod"))] {
            assert_eq!(failure.message, "there is no key `clod`; did you mean `cloud`?");
            assert_eq!(failure.next, ["a key is one of address, cloud, mounted, image"]);
            assert_eq!(failure.exit, Exit::BadInput);
        }
        assert!(refused(&["web"], None).message.contains("KEY=VALUE"));
    }

    #[test]
    fn a_table_has_no_empty_column() {
        assert_eq!(list().render(), "ADDRESS  MOUNTED\nweb[10]  1/2\nweb[2]   2/2\ndb[0]    2/2\n");
    }

    #[test]
    fn numbers_in_texts_count() {
        for (a, b) in [("a2", "a10"), ("a", "a1"), ("a09", "a10"), ("1.9.2", "1.10.0"), ("", "a")] {
            assert_eq!(natural(a, b), Ordering::Less, "{a} {b}");
            assert_eq!(natural(b, a), Ordering::Greater, "{b} {a}");
        }
        assert_eq!(natural("a01", "a1"), Ordering::Equal);
    }
}
