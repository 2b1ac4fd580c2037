//! How the agent comes to a machine: one connection, in which the machine says what it is, takes the program when it has
//! it not, and lets it put itself in force.

use std::time::Duration;

use ideal_core::build::Build;
use ideal_core::time::Bytes;
use ideal_host::Identity;
use ideal_host::brought::{self, Answer, Wanted};

use crate::failure::{Failure, clean};
use crate::program::Program;
use crate::session::Session;
use crate::way::Way;

/// The text that the machine's shell runs.
const REACH: &str = include_str!("reach.sh");
/// Until it has said what it is: longer than a connection may take to come about.
const TELLS_WITHIN: Duration = Duration::from_secs(20);
/// How long the program may take on its way. Over a slow line it is minutes.
const ARRIVES_WITHIN: Duration = Duration::from_secs(900);
/// How long it may take to put itself in force, and to come back when it does not go well.
const RUNS_WITHIN: Duration = Duration::from_secs(90);
/// How long what runs there may take to end.
const LEAVES_WITHIN: Duration = Duration::from_secs(120);
/// The oldest kernel that has all that an agent calls: `openat2`, which keeps paths within their root, is of 5.6.
const KERNEL: (u32, u32) = (5, 6);
/// What stays free beside the program.
const ROOM: u64 = 16 << 20;

/// What a machine says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probe {
    /// `Linux`.
    pub system: String,
    /// Its kernel's version, as `uname -r` says it.
    pub kernel: String,
    /// Its processors, as `uname -m` calls them.
    pub machine: String,
    /// What is free where the program goes.
    pub free: Bytes,
    /// Whether it has the program of the build that was asked for.
    pub has: bool,
    /// Which node it is, when it is one.
    pub identity: Option<Identity>,
}

impl Probe {
    /// Why no agent can run there, if so.
    fn lacks(&self) -> Option<String> {
        if self.system != "Linux" {
            return Some(format!("it runs {}, and an agent needs Linux", self.system));
        }
        let mut numbers = self.kernel.split(|letter: char| !letter.is_ascii_digit()).map(str::parse::<u32>);
        let mut next = || numbers.next().and_then(Result::ok).unwrap_or_default();
        let version = (next(), next());
        (version < KERNEL).then(|| {
            let (major, minor) = KERNEL;
            format!("its kernel is {}, and an agent needs {major}.{minor} or newer", self.kernel)
        })
    }
}

/// Asks a machine what it is. An error is also that no agent could run there.
pub async fn probe(way: &Way, program: &Program) -> Result<Probe, Failure> {
    let (mut session, probe) = begin(way, program.build()).await?;
    session.say_last(b"end\n").await?;
    suits(way, program, &probe).map(|_| probe)
}

/// Sees to it that the agent of this build runs there. Again is as good as once.
pub async fn bring(way: &Way, program: &Program, wanted: &Wanted) -> Result<(), Failure> {
    let (mut session, probe) = begin(way, program.build()).await?;
    suits(way, program, &probe)?;
    if !probe.has {
        give(&mut session, way, program, &probe).await?;
    }
    let wanted = serde_json::to_string(wanted).map_err(|error| Failure::Refused(error.to_string()))?;
    session.say_last(format!("install\n{wanted}\n").as_bytes()).await?;
    match answer(&mut session, way, RUNS_WITHIN).await? {
        Answer::Runs => Ok(()),
        Answer::Left => Err(Failure::Refused(format!("{}: it left instead of coming", way.name))),
        Answer::Failed(why) => Err(Failure::Refused(format!("{}: {}", way.name, clean(&why)))),
    }
}

/// Ends all that runs of ours there and removes it. `machine` is what must be there; where nothing or another is, nothing is
/// touched. Answers whether anything was.
pub async fn leave(
    way: &Way,
    program: &Program,
    is_ours: impl Fn(&Identity) -> bool,
) -> Result<bool, Failure> {
    let (mut session, probe) = begin(way, program.build()).await?;
    if !probe.identity.as_ref().is_some_and(is_ours) {
        session.say_last(b"end\n").await?;
        return Ok(false);
    }
    session.say_last(b"leave\n").await?;
    match answer(&mut session, way, LEAVES_WITHIN).await? {
        Answer::Left => Ok(true),
        Answer::Runs => Err(Failure::Refused(format!("{}: it stayed", way.name))),
        Answer::Failed(why) => Err(Failure::Refused(format!("{}: {}", way.name, clean(&why)))),
    }
}

async fn begin(way: &Way, build: Build) -> Result<(Session<'_>, Probe), Failure> {
    let mut session = Session::open(way, &REACH.replace("BUILD", &build.to_string()))?;
    session.within(TELLS_WITHIN);
    let mut probe = Probe::default();
    loop {
        let (key, value) = session.next().await?;
        match key.as_str() {
            "system" => probe.system = clean(&value),
            "kernel" => probe.kernel = clean(&value),
            "machine" => probe.machine = clean(&value),
            "free" => probe.free = Bytes(value.parse::<u64>().unwrap_or_default().saturating_mul(1024)),
            "has" => probe.has = true,
            "identity" => {
                let identity = serde_json::from_str(&value).map_err(|error| {
                    let why =
                        format!("{}: its {}/identity.json is damaged: {error}", way.name, brought::HOME);
                    Failure::Refused(why)
                })?;
                probe.identity = Some(identity);
            }
            "ready" => return Ok((session, probe)),
            _ => {}
        }
    }
}

fn suits(way: &Way, program: &Program, probe: &Probe) -> Result<(), Failure> {
    let lacks = probe.lacks().map_or(Ok(()), Err);
    let lacks = lacks.and_then(|()| program.path_for(&probe.machine).map(|_| ()));
    lacks.map_err(|why| Failure::Refused(format!("{}: {why}", way.name)))
}

async fn give(session: &mut Session<'_>, way: &Way, program: &Program, probe: &Probe) -> Result<(), Failure> {
    let refused = |why: String| Failure::Refused(format!("{}: {why}", way.name));
    let packed = program.packed(&probe.machine).await.map_err(refused)?;
    let needed = packed.size + ROOM;
    if probe.free.0 < needed {
        let (free, needed) = (probe.free, Bytes(needed));
        return Err(refused(format!(
            "its disk is full: {free} is free at /usr/local, and {needed} is needed"
        )));
    }
    let order = format!("take {} {}\n", packed.bytes.len(), packed.sum);
    session.within(ARRIVES_WITHIN);
    let sent = async {
        session.say(order.as_bytes()).await?;
        session.say(&packed.bytes).await?;
        session.next().await
    };
    let late = |_| {
        let minutes = ARRIVES_WITHIN.as_secs() / 60;
        Failure::Unreachable(format!("{}: the program did not arrive within {minutes} min", way.name))
    };
    tokio::time::timeout(ARRIVES_WITHIN, sent).await.map_err(late)??;
    Ok(())
}

async fn answer(session: &mut Session<'_>, way: &Way, limit: Duration) -> Result<Answer, Failure> {
    session.within(limit);
    loop {
        let (key, value) = session.next().await?;
        if key == "answer" {
            return serde_json::from_str(&value).map_err(|error| {
                Failure::Refused(format!("{}: its answer cannot be read: {error}", way.name))
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_kernel_is_told_from_a_new_one() {
        let of = |system: &str, kernel: &str| {
            let probe = Probe { system: system.to_owned(), kernel: kernel.to_owned(), ..Probe::default() };
            probe.lacks()
        };
        for good in ["5.6.0", "5.10.0-33-amd64", "6.1.0", "10.0", "6.12+bpo"] {
            assert_eq!(of("Linux", good), None, "{good}");
        }
        for old in ["4.19.0-27-amd64", "5.5.19", "2.6.60", ""] {
            assert!(of("Linux", old).unwrap().contains("needs 5.6"), "{old}");
        }
        assert!(of("FreeBSD", "14.1").unwrap().contains("needs Linux"));
    }
}
