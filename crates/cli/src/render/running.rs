//! Steps that are under way: at a terminal a line for each, and how much has come of what they bring.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ideal_core::plan::{Part, Step};
use ideal_core::time::Bytes;
use ideal_providers::Came;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// More steps than this have no line of their own: with the rest they fit on the smallest terminal.
const MOST: usize = 16;
/// Between two lines on what has come, where lines stay. One brings all of it in that time, unless its way is slow.
const LINES: Duration = Duration::from_secs(10);
/// Between two events of one step on what has come.
const EVENTS: Duration = Duration::from_secs(1);

type Key = (Part, &'static str);

/// What is redrawn at a terminal.
#[derive(Debug)]
pub(crate) struct Bars {
    pub(crate) all: MultiProgress,
    pub(crate) sum: ProgressBar,
}

/// Steps that are under way.
#[derive(Debug, Default)]
pub(crate) struct Running {
    steps: BTreeMap<Key, One>,
    spoke: Option<Instant>,
}

#[derive(Debug)]
struct One {
    label: String,
    since: Instant,
    came: Option<Came>,
    spoke: Option<Instant>,
    bar: Option<ProgressBar>,
}

impl Bars {
    pub(crate) fn new() -> Bars {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        let sum = all.add(ProgressBar::new_spinner());
        sum.set_style(style("{prefix}{msg}"));
        Bars { all, sum }
    }

    fn bar(&self, since: Instant) -> ProgressBar {
        let bar = ProgressBar::new_spinner().with_elapsed(since.elapsed());
        let bar = self.all.insert_before(&self.sum, bar);
        bar.set_style(style("  {spinner} {msg} {elapsed}"));
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn key(step: &Step) -> Key {
    (step.part.clone(), step.act.verb())
}

/// Whether it is time to speak again, which is then noted.
fn is_due(spoke: &mut Option<Instant>, pause: Duration, now: Instant) -> bool {
    let due = spoke.is_none_or(|at| now >= at + pause);
    if due {
        *spoke = Some(now);
    }
    due
}

/// `4.2 of 11 MB`.
pub(crate) fn amount(came: Came) -> String {
    let number = |bytes: Bytes| match bytes.0 {
        0..9_950_000 => format!("{:.1}", bytes.0 as f64 / 1e6),
        bytes => format!("{:.0}", bytes as f64 / 1e6),
    };
    format!("{} of {} MB", number(came.bytes), number(came.of))
}

impl One {
    fn draw(&self) {
        if let Some(bar) = &self.bar {
            let came = self.came.map(|came| format!(" {:<15}", amount(came))).unwrap_or_default();
            bar.set_message(format!("{}{came}", self.label));
        }
    }
}

impl Running {
    /// A step begins, of which this is said.
    pub(crate) fn began(&mut self, step: &Step, label: String, bars: Option<&Bars>) {
        let now = Instant::now();
        // A pause before the first word: what is quick needs none.
        if self.steps.is_empty() {
            self.spoke = Some(now);
        }
        let one = One { label, since: now, came: None, spoke: None, bar: None };
        if let Some(bar) = self.steps.insert(key(step), one).and_then(|old| old.bar) {
            bar.finish_and_clear();
        }
        self.fit(bars);
    }

    /// Some has come. Answers whether an event is due.
    pub(crate) fn came(&mut self, step: &Step, came: Came) -> bool {
        let Some(one) = self.steps.get_mut(&key(step)) else { return false };
        one.came = Some(came);
        one.draw();
        is_due(&mut one.spoke, EVENTS, Instant::now()) || came.bytes == came.of
    }

    /// What is to be said on a line that stays, when it is time for one: of all steps together, however many there are.
    pub(crate) fn line(&mut self, now: Instant) -> Option<String> {
        let coming = self.steps.values().filter_map(|one| Some((&one.label, one.came?)));
        let coming: Vec<(&String, Came)> = coming.filter(|(_, came)| came.bytes < came.of).collect();
        let (first, _) = *coming.first()?;
        let sum = |of: fn(Came) -> Bytes| Bytes(coming.iter().map(|(_, came)| of(*came).0).sum());
        let came = Came { bytes: sum(|came| came.bytes), of: sum(|came| came.of) };
        let line = match coming.len() {
            1 => format!("{} {}", first.split_whitespace().collect::<Vec<_>>().join(" "), amount(came)),
            many => format!("bring agent to {many} machines {}", amount(came)),
        };
        is_due(&mut self.spoke, LINES, now).then_some(line)
    }

    /// A step ended.
    pub(crate) fn ended(&mut self, step: &Step, bars: Option<&Bars>) {
        if let Some(bar) = self.steps.remove(&key(step)).and_then(|one| one.bar) {
            bar.finish_and_clear();
        }
        self.fit(bars);
    }

    /// Gives lines to as many steps as fit, and says how many have none.
    fn fit(&mut self, bars: Option<&Bars>) {
        let Some(bars) = bars else { return };
        let mut room = MOST.saturating_sub(self.steps.values().filter(|one| one.bar.is_some()).count());
        let mut without = 0;
        for one in self.steps.values_mut().filter(|one| one.bar.is_none()) {
            if room == 0 {
                without += 1;
                continue;
            }
            room -= 1;
            one.bar = Some(bars.bar(one.since));
            one.draw();
        }
        let more = if without == 0 { String::new() } else { format!("  and {without} more under way\n") };
        bars.sum.set_prefix(more);
    }
}

#[cfg(test)]
mod tests {
    use ideal_core::id::{MachineId, SlotId};
    use ideal_core::plan::{Act, Danger};

    use super::*;

    fn step(index: u32) -> Step {
        let slot = SlotId { cloud: "5f0c6f2e-0000-4000-8000-00000000000a".parse().unwrap(), index };
        let act = Act::BringAgent { machine: MachineId::new(format!("m-{index}")) };
        let (needs, brings, ends) = (Vec::new(), Vec::new(), Vec::new());
        let reason = "no agent answers".to_owned();
        Step { part: Part::node(slot), act, reason, needs, brings, ends, danger: Danger::None }
    }

    fn came(bytes: u64) -> Came {
        Came { bytes: Bytes(bytes), of: Bytes(11_200_000) }
    }

    #[test]
    fn an_amount_is_short() {
        assert_eq!(amount(came(0)), "0.0 of 11 MB");
        assert_eq!(amount(came(4_230_000)), "4.2 of 11 MB");
        assert_eq!(amount(came(9_960_000)), "10 of 11 MB");
    }

    #[test]
    fn fifty_at_once_are_one_line_now_and_then() {
        let mut running = Running::default();
        let begun = Instant::now();
        for index in 0..50 {
            running.began(&step(index), format!("bring agent      shop[{index}]   "), None);
            running.came(&step(index), came(1_000_000));
        }
        assert_eq!(running.line(begun), None, "what is quick needs no word");
        let later = Instant::now() + LINES;
        assert_eq!(running.line(later).unwrap(), "bring agent to 50 machines 50 of 560 MB");
        assert_eq!(running.line(later), None);
        for index in 1..50 {
            running.ended(&step(index), None);
        }
        assert_eq!(running.line(later + LINES).unwrap(), "bring agent shop[0] 1.0 of 11 MB");
        running.came(&step(0), came(11_200_000));
        assert_eq!(running.line(later + LINES * 2), None, "all of it has come");
    }

    #[test]
    fn events_of_a_step_keep_a_distance_but_the_last() {
        let mut running = Running::default();
        running.began(&step(0), String::new(), None);
        assert!(running.came(&step(0), came(0)));
        assert!(!running.came(&step(0), came(5)));
        assert!(running.came(&step(0), came(11_200_000)));
    }

    #[test]
    fn lines_are_as_many_as_fit() {
        let bars = Bars::new();
        let mut running = Running::default();
        for index in 0..50 {
            running.began(&step(index), String::new(), Some(&bars));
        }
        let shown = |running: &Running| running.steps.values().filter(|one| one.bar.is_some()).count();
        assert_eq!((shown(&running), bars.sum.prefix()), (MOST, "  and 34 more under way\n".to_owned()));
        for index in 0..40 {
            running.ended(&step(index), Some(&bars));
        }
        assert_eq!((shown(&running), bars.sum.prefix()), (10, String::new()));
    }
}
