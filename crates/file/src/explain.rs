//! What each diagnostic means and how to mend it, for `ideal explain`. A test holds this list, the fixtures and
//! what the checks say together.

mod pages;
mod text;

/// One kind of diagnostic.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Its stable name.
    pub slug: &'static str,
    /// What it means and why it matters.
    pub meaning: &'static str,
    /// A piece of a file that has it.
    pub example: &'static str,
    /// What to do.
    pub mend: &'static str,
}

/// Every kind.
pub fn pages() -> impl Iterator<Item = &'static Page> {
    pages::PAGES.iter().chain(text::PAGES)
}

/// The page of a slug, with or without the `ideal/` before it.
pub fn page(slug: &str) -> Option<&'static Page> {
    let name = slug.strip_prefix("ideal/").unwrap_or(slug);
    pages().find(|page| page.slug.strip_prefix("ideal/") == Some(name))
}

impl std::fmt::Display for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}\n\n{}\n\nFor example:\n", self.slug, self.meaning)?;
        for line in self.example.lines() {
            writeln!(f, "    {line}")?;
        }
        writeln!(f, "\n{}", self.mend)
    }
}
