//! How fast the agent heals, and when it gives up. Policy, with the argument for each figure.

use std::time::Duration;

/// How fast the agent heals.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How often resources that are not right are looked at again; all of them, where drift cannot be noticed.
    pub drift: Duration,
    /// How often all resources are looked at. What happens to files and processes is noticed at once; this finds
    /// the rest, and a thousand looks cost some milliseconds.
    pub sweep: Duration,
    /// The wait before the second restart of a replica (the first is at once); it doubles from there.
    pub first_wait: Duration,
    /// The longest wait: a dependency that comes back is found within it.
    pub longest_wait: Duration,
    /// A replica that lived this long died of something new: its waits begin anew.
    pub lived: Duration,
    /// How many restarts within `window` before the next thing is tried.
    pub budget: usize,
    /// See `budget`. A replica that lived this long begins at the first thing again.
    pub window: Duration,
    /// How often any other thing is tried before the next one: making it anew helps at once or not at all, and a
    /// place elsewhere is found within some tries or not at all.
    pub tries: usize,
    /// Within how long most replicas of a node must fail, each for at least the second time in a row, to be a storm.
    pub storm: Duration,
    /// How long nothing is started again in a storm: long enough for a person or a disk, short enough to end alone.
    pub pause: Duration,
    /// How long a replica that is not well has to end by itself: it was given its time by its check.
    pub ill: Duration,
    /// How long a replica without a check must live to count as running.
    pub settled: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            drift: Duration::from_secs(2),
            sweep: Duration::from_secs(30),
            first_wait: Duration::from_millis(250),
            longest_wait: Duration::from_secs(30),
            lived: Duration::from_secs(10),
            budget: 10,
            window: Duration::from_secs(300),
            tries: 3,
            storm: Duration::from_secs(10),
            pause: Duration::from_secs(30),
            ill: Duration::from_millis(500),
            settled: Duration::from_millis(100),
        }
    }
}
