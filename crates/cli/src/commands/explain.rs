//! `ideal explain`: what a diagnostic, or a cause of waiting, means and how to mend it.

mod causes;

use ideal_core::validate::nearest;
use ideal_file::explain::{page, pages};

use crate::arguments::Explain;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use causes::{CAUSES, cause};

pub(crate) fn run(explain: &Explain, output: &Output) -> anyhow::Result<Exit> {
    let Some(code) = &explain.code else {
        let mut slugs: Vec<&str> = pages().map(|page| page.slug).collect();
        slugs.sort_unstable();
        slugs.extend(CAUSES.iter().map(|page| page.slug));
        if output.is_json() {
            output.document("codes", slugs)?;
        } else {
            output.result(&slugs.join("\n"));
        }
        return Ok(Exit::Done);
    };
    if let Some(page) = cause(code) {
        if output.is_json() {
            let data = serde_json::json!({"code": page.slug, "meaning": page.meaning, "mend": page.mend});
            output.document("code", data)?;
        } else {
            output.result(&fold(&page.to_string()));
        }
        return Ok(Exit::Done);
    }
    let Some(page) = page(code) else {
        let failure = Failure::new("no-such-code", Exit::BadInput, format!("there is no code `{code}`"));
        let name = code.strip_prefix("ideal/").unwrap_or(code);
        let names = pages().filter_map(|page| page.slug.strip_prefix("ideal/"));
        let names = names.chain(CAUSES.iter().map(|page| page.slug));
        return Err(match nearest(name, names) {
            Some(near) => failure.next(format!("did you mean `ideal explain {near}`?")),
            None => failure.next("ideal explain     lists all"),
        }
        .into());
    };
    if output.is_json() {
        let data = serde_json::json!({
            "code": page.slug, "meaning": page.meaning, "example": page.example, "mend": page.mend,
        });
        output.document("code", data)?;
    } else {
        output.result(&fold(&page.to_string()));
    }
    Ok(Exit::Done)
}

/// Paragraphs folded to a readable width.
fn fold(page: &str) -> String {
    let mut out = String::new();
    for line in page.lines() {
        let mut width = 0;
        // Examples stand as they are.
        if line.starts_with("    ") {
            out.push_str(line);
        } else {
            for word in line.split(' ') {
                if width > 0 && width + word.chars().count() + 1 > 88 {
                    out.push('\n');
                    width = 0;
                } else if width > 0 {
                    out.push(' ');
                    width += 1;
                }
                out.push_str(word);
                width += word.chars().count();
            }
        }
        out.push('\n');
    }
    out
}
