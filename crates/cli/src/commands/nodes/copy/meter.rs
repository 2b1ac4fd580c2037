//! How much was copied so far, shown at a terminal while it goes on.

use std::io::IsTerminal;
use std::sync::{Arc, Once};

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::arguments::Format;
use crate::output::Output;

/// What is done sooner is not shown going on.
const SOON: Duration = Duration::from_millis(300);

/// Counts bytes, from any thread.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    bar: Option<ProgressBar>,
    begun: Instant,
    shown: Arc<Once>,
}

impl Meter {
    /// One that is shown where a person looks.
    pub(super) fn new(output: &Output) -> Meter {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let is_shown =
            output.format == Format::Human && !output.is_quiet() && !dumb && std::io::stderr().is_terminal();
        let bar = is_shown.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
            let style =
                ProgressStyle::with_template("  {spinner} copied {bytes}, {bytes_per_sec}, {elapsed}");
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar
        });
        Meter { bar, begun: Instant::now(), shown: Arc::new(Once::new()) }
    }
    pub(super) fn add(&self, bytes: usize) {
        let Some(bar) = &self.bar else { return };
        bar.inc(bytes as u64);
        if self.begun.elapsed() > SOON {
            self.shown.call_once(|| bar.set_draw_target(ProgressDrawTarget::stderr()));
        }
    }
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
    pub(super) fn took(&self) -> Duration {
        self.begun.elapsed()
    }
}
