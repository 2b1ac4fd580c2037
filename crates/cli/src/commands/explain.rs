//! `ideal explain`: what a diagnostic means and how to mend it.

use ideal_core::validate::nearest;
use ideal_file::explain::{PAGES, page};

use crate::arguments::Explain;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

pub(crate) fn run(explain: &Explain, output: &Output) -> anyhow::Result<Exit> {
    let Some(code) = &explain.code else {
        let slugs: Vec<&str> = PAGES.iter().map(|page| page.slug).collect();
        if output.is_json() {
            output.document("codes", slugs)?;
        } else {
            output.result(&slugs.join("\n"));
        }
        return Ok(Exit::Done);
    };
    let Some(page) = page(code) else {
        let failure = Failure::new("no-such-code", Exit::BadInput, format!("there is no code `{code}`"));
        let name = code.strip_prefix("ideal/").unwrap_or(code);
        let names = PAGES.iter().filter_map(|page| page.slug.strip_prefix("ideal/"));
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
        output.result(&render_page(page));
    }
    Ok(Exit::Done)
}

/// The page, its paragraphs folded to a readable width.
fn render_page(page: &ideal_file::explain::Page) -> String {
    let mut out = String::new();
    for line in page.to_string().lines() {
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
