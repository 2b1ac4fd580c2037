//! Where words go. Standard output carries results and nothing else; all else goes to standard error. A reader
//! that went away (`| head`) is no error.

use std::io::{IsTerminal, Write};

use serde::Serialize;

use crate::arguments::{Format, Global};
use crate::exit::Exit;
use crate::failure::Failure;

/// How this run speaks.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) format: Format,
    /// Whether standard error may have colours.
    pub(crate) color: bool,
    quiet: bool,
}

#[derive(Serialize)]
struct Envelope<'a, T> {
    v: u32,
    kind: &'a str,
    data: T,
}

impl Output {
    pub(crate) fn new(global: &Global) -> Output {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let terminal = std::io::stderr().is_terminal() && !dumb;
        let color = !global.no_color && !set("NO_COLOR") && (terminal || set("CLICOLOR_FORCE"));
        Output { format: global.output, color: color && global.output == Format::Human, quiet: global.quiet }
    }
    /// Whether a script reads along.
    pub(crate) fn is_json(&self) -> bool {
        matches!(self.format, Format::Json | Format::Jsonl)
    }
    /// Whether a script reads along while it goes on.
    pub(crate) fn is_stream(&self) -> bool {
        self.format == Format::Jsonl
    }
    /// Whether only results and problems are said.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }
    /// A result, as text.
    pub(crate) fn result(&self, text: &str) {
        write(&mut std::io::stdout().lock(), text);
    }
    /// A result, for scripts: `{"v":1,"kind":...,"data":...}`.
    pub(crate) fn document(&self, kind: &str, data: impl Serialize) -> anyhow::Result<()> {
        let envelope = Envelope { v: 1, kind, data };
        let text = match self.format {
            Format::Jsonl => serde_json::to_string(&envelope)?,
            _ => serde_json::to_string_pretty(&envelope)?,
        };
        self.result(&text);
        Ok(())
    }
    /// Something said beside the result.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet && !self.is_json() {
            self.problem(text);
        }
    }
    /// Something that must be said.
    pub(crate) fn problem(&self, text: &str) {
        write(&mut std::io::stderr().lock(), text);
    }
    /// An error that ends the command, with what to do next.
    pub(crate) fn failure(&self, error: &anyhow::Error) -> Exit {
        let failure = error.downcast_ref::<Failure>();
        let exit = failure.map_or(Exit::Failed, |failure| failure.exit);
        let next = failure.map_or(&[][..], |failure| &failure.next);
        if self.is_json() {
            let code = failure.map_or("failed", |failure| failure.code);
            let message = format!("{error:#}");
            let json = serde_json::json!({
                "kind": "error", "code": code, "message": message, "next": next, "retryable": false,
            });
            self.problem(&json.to_string());
            return exit;
        }
        self.problem(&format!("\u{2717} {error:#}"));
        for next in next {
            self.problem(&format!("  next: {next}"));
        }
        exit
    }
}

/// Answers another program of ours.
pub(crate) fn answer(line: &str) {
    write(&mut std::io::stdout().lock(), line);
}

/// Says something before it is known how this run speaks.
pub(crate) fn complain(text: &str) {
    write(&mut std::io::stderr().lock(), &format!("\u{2717} {text}"));
}

fn write(to: &mut impl Write, text: &str) {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    // The only failure is a reader that went away, and it cannot be told.
    _ = to.write_all(text.as_bytes()).and_then(|()| to.write_all(end.as_bytes())).and_then(|()| to.flush());
}
