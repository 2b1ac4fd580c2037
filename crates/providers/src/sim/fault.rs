//! What goes wrong, how often, and the one seeded source of chance.

use ideal_core::time::{Span, Time};

/// Chances in a thousand, and switches. All zero: a perfect cloud with latency.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    /// A call fails before its effect.
    pub fail_before: u32,
    /// A call has its effect and its answer is lost.
    pub lose_answer: u32,
    /// A call has no effect, and its caller cannot know.
    pub lose_call: u32,
    /// A call is turned away because there were too many.
    pub throttle: u32,
    /// A listing fails.
    pub fail_list: u32,
    /// A listing lacks a page, and says so.
    pub partial_list: u32,
    /// A listing is empty, and claims to be whole.
    pub empty_list: u32,
    /// A listing is an older one.
    pub stale_list: u32,
    /// A read by id is an older one.
    pub stale_read: u32,
    /// An agent does not answer.
    pub agent_silent: u32,
    /// An unmount is refused as busy.
    pub busy: u32,
    /// A snapshot ends in an error.
    pub snapshot_fails: u32,
    /// A machine dies, each time the cloud is listed.
    pub machine_dies: u32,
    /// A machine is ended by somebody else, each time the cloud is listed.
    pub machine_ended: u32,
    /// A machine is cut off for a while, each time the cloud is listed.
    pub cut: u32,
    /// Something takes twenty times as long.
    pub slow: u32,
    /// Every effect happens twice.
    pub twice: bool,
    /// No chance fault happens after this instant.
    pub until: Option<Time>,
    /// The cloud refuses to delete a volume that is not marked.
    pub enforces_marks: bool,
    /// No latency at all.
    pub instant: bool,
    /// Machines are asked for together, and not all of them may find room.
    pub batches: bool,
    /// Machines come without an agent: it is brought to them.
    pub brings: bool,
}

impl Faults {
    /// A perfect cloud.
    pub fn none() -> Faults {
        Faults { enforces_marks: true, ..Faults::default() }
    }

    /// A mix drawn from a seed: many kinds stay away, so that the others are seen alone (a swarm).
    pub fn swarm(random: &mut Random, until: Time) -> Faults {
        let mut rate =
            |most: u32| if random.below(2) == 0 { 0 } else { random.below(u64::from(most)) as u32 };
        Faults {
            fail_before: rate(100),
            lose_answer: rate(100),
            lose_call: rate(60),
            throttle: rate(100),
            fail_list: rate(100),
            partial_list: rate(100),
            empty_list: rate(60),
            stale_list: rate(200),
            stale_read: rate(200),
            agent_silent: rate(100),
            busy: rate(200),
            snapshot_fails: rate(150),
            machine_dies: rate(30),
            machine_ended: rate(20),
            slow: rate(60),
            cut: rate(30),
            twice: rate(8) == 1,
            until: Some(until),
            enforces_marks: rate(4) != 1,
            instant: false,
            batches: false,
            brings: false,
        }
    }
}

/// The one source of chance: SplitMix64 (Steele, Lea, Flood 2014), small and good enough for drawing faults.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The same seed, the same numbers.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }
    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// A number below `n` (at least 1 is taken).
    pub fn below(&mut self, n: u64) -> u64 {
        self.draw() % n.max(1)
    }
    /// True `permille` times in a thousand.
    pub fn chance(&mut self, permille: u32) -> bool {
        permille > 0 && self.below(1000) < u64::from(permille)
    }
    /// A span between two, in whole milliseconds.
    pub fn span(&mut self, low: Span, high: Span) -> Span {
        Span(low.0 + self.below(high.0.saturating_sub(low.0) + 1))
    }
}
