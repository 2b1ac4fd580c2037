//! How a run shows itself while it goes on: lines that are redrawn at a terminal, one line for each finished
//! step elsewhere, events for scripts.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal, Write};
use std::rc::Rc;
use std::time::Instant;

use ideal_core::ideal::Ideal;
use ideal_core::journal::Outcome;
use ideal_core::plan::text::{address, is_quiet, waiting_line, words};
use ideal_core::plan::{Act, Step, Waiting};
use ideal_core::time::Span;
use ideal_engine::Progress;
use ideal_engine::progress::{Event, Go};
use ideal_engine::reconcile::why;
use ideal_providers::Came;
use serde_json::json;

use crate::arguments::Format;
use crate::output::Output;
use crate::render::running::{Bars, Running};
use crate::render::words as say;

/// Tells a person or a script how a run goes.
#[derive(Debug)]
pub(crate) struct Teller {
    ideal: Rc<Ideal>,
    output: Output,
    way: Way,
    /// Ask before each step.
    step: bool,
    tally: RefCell<Tally>,
    running: RefCell<Running>,
}

#[derive(Debug)]
enum Way {
    Nothing,
    Lines,
    Events,
    Bars(Bars),
}

/// What was told so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Parts as demanded, at the last look.
    pub(crate) right: usize,
    /// All parts.
    pub(crate) parts: usize,
    /// Steps that were taken.
    pub(crate) done: usize,
    /// Steps that came to nothing.
    pub(crate) failed: usize,
    /// Steps that were taken, by what they do.
    pub(crate) kinds: BTreeMap<String, usize>,
    /// Mounts of which the volume was made from a snapshot: which mount, which snapshot, and why that one.
    pub(crate) restored: Vec<(String, String, String)>,
}

impl Teller {
    /// One that speaks as was asked for. `step`: asks before each step.
    pub(crate) fn new(ideal: Rc<Ideal>, output: &Output, step: bool) -> Teller {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let way = match output.format {
            Format::Jsonl => Way::Events,
            Format::Json => Way::Nothing,
            _ if output.is_quiet() => Way::Nothing,
            Format::Human if !step && !dumb && std::io::stderr().is_terminal() => Way::Bars(Bars::new()),
            _ => Way::Lines,
        };
        let (tally, running) = (RefCell::default(), RefCell::default());
        Teller { ideal, output: output.clone(), way, step, tally, running }
    }

    /// What was told so far.
    pub(crate) fn tally(&self) -> Tally {
        self.tally.borrow().clone()
    }

    /// Takes away what is redrawn: the run is over.
    pub(crate) fn end(&self) {
        if let Way::Bars(Bars { all, sum }) = &self.way {
            sum.finish_and_clear();
            _ = all.clear();
        }
    }

    /// Says something between the lines.
    pub(crate) fn note(&self, text: &str) {
        match &self.way {
            Way::Bars(bars) => _ = bars.all.println(text),
            Way::Lines => self.output.note(text),
            Way::Events => self.event(&json!({"kind": "note", "message": text})),
            Way::Nothing => {}
        }
    }

    fn event(&self, event: &serde_json::Value) {
        self.output.result(&event.to_string());
    }

    fn bars(&self) -> Option<&Bars> {
        match &self.way {
            Way::Bars(bars) => Some(bars),
            _ => None,
        }
    }

    fn began(&self, step: &Step) {
        let part = address(&self.ideal, &step.part);
        if let Way::Events = &self.way {
            self.event(&json!({
                "kind": "began", "part": part, "verb": step.act.verb(), "reason": step.reason,
            }));
        }
        if !is_quiet(&step.act) {
            let label = format!("{:<16} {part:<24}", words(&step.act));
            self.running.borrow_mut().began(step, label, self.bars());
        }
    }

    fn came(&self, step: &Step, came: Came) {
        let is_due = self.running.borrow_mut().came(step, came);
        match &self.way {
            Way::Events if is_due => self.event(&json!({
                "kind": "came", "part": address(&self.ideal, &step.part), "verb": step.act.verb(),
                "bytes": came.bytes.0, "of": came.of.0,
            })),
            Way::Lines => {
                if let Some(line) = self.running.borrow_mut().line(Instant::now()) {
                    self.output.note(&format!("{} going {line}", say::clock(ideal_host::now())));
                }
            }
            _ => {}
        }
    }

    fn ended(&self, step: &Step, outcome: &Outcome, took: Span) {
        let part = address(&self.ideal, &step.part);
        let failed = why(outcome);
        if !is_quiet(&step.act) {
            let mut tally = self.tally.borrow_mut();
            match failed {
                Some(_) => tally.failed += 1,
                None => {
                    tally.done += 1;
                    *tally.kinds.entry(words(&step.act)).or_default() += 1;
                    if let Act::CreateVolume { from: Some(from), .. } = &step.act {
                        tally.restored.push((part.clone(), from.to_string(), step.reason.clone()));
                    }
                }
            }
        }
        self.running.borrow_mut().ended(step, self.bars());
        let words = words(&step.act);
        let took_words = say::span(took);
        match &self.way {
            Way::Events => self.event(&json!({
                "kind": "ended", "part": part, "verb": step.act.verb(), "took_ms": took.0,
                "outcome": if failed.is_some() { "failed" } else { "done" }, "why": failed,
            })),
            _ if is_quiet(&step.act) && failed.is_none() => {}
            Way::Lines => {
                let now = say::clock(ideal_host::now());
                match failed {
                    None => self.output.note(&format!("{now} done  {words} {part} {took_words}")),
                    Some(why) => {
                        self.output.note(&format!(
                            "{now} fail  {words} {part} {took_words}: {}",
                            say::line(why, 300)
                        ));
                    }
                }
            }
            Way::Bars(Bars { all, .. }) => {
                _ = match failed {
                    None => all.println(format!("  \u{2713} {words:<16} {part:<24} {took_words:>7}")),
                    Some(why) => {
                        all.println(format!("  \u{2717} {words:<16} {part:<24} {}", say::line(why, 90)))
                    }
                };
            }
            Way::Nothing => {}
        }
    }

    fn decided(&self, right: usize, parts: usize, waiting: &[Waiting]) {
        let done = {
            let mut tally = self.tally.borrow_mut();
            (tally.right, tally.parts) = (right, parts);
            tally.done
        };
        if let Some(Bars { sum, .. }) = self.bars() {
            let most = waiting.iter().find(|waiting| {
                !matches!(
                    waiting.cause,
                    ideal_core::plan::Cause::Fact { .. } | ideal_core::plan::Cause::Under { .. }
                )
            });
            let waits =
                most.map(|waiting| format!("\n  {}", say::line(&waiting_line(&self.ideal, waiting), 100)));
            sum.set_message(format!(
                "{} done \u{b7} {right} of {parts} parts as wanted \u{b7} Ctrl-C stops{}",
                say::counted(done, "step"),
                waits.unwrap_or_default()
            ));
        }
    }
}

impl Progress for Teller {
    fn tell(&self, event: &Event) {
        match event {
            Event::Began(step) => self.began(step),
            Event::Came { step, came } => self.came(step, *came),
            Event::Ended { step, outcome, took } => self.ended(step, outcome, *took),
            Event::Decided { right, parts, waiting } => self.decided(*right, *parts, waiting),
            Event::Noted(text) => self.note(text),
        }
    }

    fn may(&self, step: &Step) -> Go {
        if !self.step || is_quiet(&step.act) {
            return Go::On;
        }
        let part = address(&self.ideal, &step.part);
        let mut to = std::io::stderr().lock();
        _ = write!(to, "{} {part} because {}? [y/N] ", words(&step.act), step.reason);
        _ = to.flush();
        let mut answer = String::new();
        _ = std::io::stdin().lock().read_line(&mut answer);
        if matches!(answer.trim(), "y" | "yes") { Go::On } else { Go::Stop }
    }
}
