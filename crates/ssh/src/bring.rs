//! How the agent comes to a machine: one connection, in which the machine says what it is, takes the program when it has
//! it not, and lets it put itself in force.

use std::time::Duration;

use ideal_core::build::Build;
use ideal_core::time::Bytes;
use ideal_host::Identity;
use ideal_host::brought::{self, Answer, Wanted};

use crate::failure::{Failure, clean};
use crate::program::{Packed, Program};
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
    /// Whether it has the program of any build in force.
    pub runs: bool,
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

/// How much of the program has come to a machine, as it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Came {
    /// So much.
    pub bytes: Bytes,
    /// Of so much.
    pub of: Bytes,
}

/// Who is told how much has come.
pub type Told<'a> = &'a dyn Fn(Came);

/// Asks a machine what it is. An error is also that no agent could run there.
pub async fn probe(way: &Way, program: &Program) -> Result<Probe, Failure> {
    let (mut session, probe) = begin(way, program.build()).await?;
    session.say_last(b"end\n").await?;
    suits(way, program, &probe).map(|_| probe)
}

/// Sees to it that the agent of this build runs there. Again is as good as once. `told` of what comes, when the program has to.
pub async fn bring(way: &Way, program: &Program, wanted: &Wanted, told: Told<'_>) -> Result<(), Failure> {
    let (mut session, probe) = begin(way, program.build()).await?;
    if let Some(identity) = probe.identity.as_ref().filter(|there| there.slot.cloud != wanted.slot.cloud) {
        session.say_last(b"end\n").await?;
        let (name, node) = (&way.name, identity.node_mark());
        return Err(Failure::Taken(format!(
            "{name} is node {node} already: take it out of that cluster first"
        )));
    }
    suits(way, program, &probe)?;
    if !probe.has {
        give(&mut session, way, program, &probe, told).await?;
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
        if probe.identity.is_some() {
            session.say_last(b"end\n").await?;
            return Ok(false);
        }
        // Where nothing is any more, one that died while it left may have left something behind.
        session.say_last(b"sweep\n").await?;
        while session.next().await?.0 != "swept" {}
        return Ok(false);
    }
    // One that died while it left may have removed what removes the rest.
    if !probe.has && !probe.runs {
        suits(way, program, &probe)?;
        give(&mut session, way, program, &probe, &|_| {}).await?;
    }
    session.say_last(b"leave\n").await?;
    match answer(&mut session, way, LEAVES_WITHIN).await? {
        Answer::Left => Ok(true),
        Answer::Runs => Err(Failure::Refused(format!("{}: it stayed", way.name))),
        Answer::Failed(why) => Err(Failure::Refused(format!("{}: {}", way.name, clean(&why)))),
    }
}

async fn begin(way: &Way, build: Build) -> Result<(Session<'_>, Probe), Failure> {
    let mut session = Session::open(way, &reach(build))?;
    let probe = meet(&mut session, way).await?;
    Ok((session, probe))
}

fn reach(build: Build) -> String {
    REACH.replace("BUILD", &build.to_string())
}

async fn meet(session: &mut Session<'_>, way: &Way) -> Result<Probe, Failure> {
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
            "runs" => probe.runs = true,
            "identity" => {
                let identity = serde_json::from_str(&value).map_err(|error| {
                    let why =
                        format!("{}: its {}/identity.json is damaged: {error}", way.name, brought::HOME);
                    Failure::Refused(why)
                })?;
                probe.identity = Some(identity);
            }
            "ready" => return Ok(probe),
            _ => {}
        }
    }
}

fn suits(way: &Way, program: &Program, probe: &Probe) -> Result<(), Failure> {
    let lacks = probe.lacks().map_or(Ok(()), Err);
    let lacks = lacks.and_then(|()| program.path_for(&probe.machine).map(|_| ()));
    lacks.map_err(|why| Failure::Refused(format!("{}: {why}", way.name)))
}

async fn give(
    session: &mut Session<'_>,
    way: &Way,
    program: &Program,
    probe: &Probe,
    told: Told<'_>,
) -> Result<(), Failure> {
    let refused = |why: String| Failure::Refused(format!("{}: {why}", way.name));
    let packed = program.packed(&probe.machine).await.map_err(refused)?;
    let needed = packed.size + ROOM;
    if probe.free.0 < needed {
        let (free, needed) = (probe.free, Bytes(needed.next_multiple_of(1 << 20)));
        return Err(refused(format!(
            "its disk is full: {free} is free at /usr/local, and {needed} is needed"
        )));
    }
    session.within(ARRIVES_WITHIN);
    let late = |_| {
        let minutes = ARRIVES_WITHIN.as_secs() / 60;
        Failure::Unreachable(format!("{}: the program did not arrive within {minutes} min", way.name))
    };
    tokio::time::timeout(ARRIVES_WITHIN, send(session, &packed, told)).await.map_err(late)?
}

/// What the machine itself says that it has is told: what `ssh` has taken may lie in buffers for long.
async fn send(session: &mut Session<'_>, packed: &Packed, told: Told<'_>) -> Result<(), Failure> {
    let of = Bytes(packed.bytes.len() as u64);
    session.say(format!("take {} {}\n", of.0, packed.sum).as_bytes()).await?;
    told(Came { bytes: Bytes(0), of });
    let taken = |key: &str, value: &str| {
        if let ("came", Ok(bytes)) = (key, value.parse::<u64>()) {
            told(Came { bytes: Bytes(bytes.min(of.0)), of });
        }
        key == "taken"
    };
    session.say_hearing(&packed.bytes, taken).await
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
    use std::cell::RefCell;
    use std::path::Path;
    use std::time::Instant;

    use super::*;
    use crate::way::Folder;

    /// A program that is too large for what lies in buffers, and the text that takes it, in a folder of its own.
    fn bed(folder: &Path) -> (Program, String) {
        let path = folder.join("ideal");
        let mut random = vec![0; 1_500_000];
        blake3::Hasher::new().finalize_xof().fill(&mut random);
        let script = b"#!/bin/sh\necho 'ideal:answer \"runs\"'\nexit 0\n";
        std::fs::write(&path, [script.as_slice(), &random].concat()).unwrap();
        let program = Program::new(&path, None).unwrap();
        let lib = folder.join("lib").display().to_string();
        let script = reach(program.build()).replace("/usr/local/lib/ideal", &lib);
        (program, script)
    }

    #[tokio::test(flavor = "current_thread")]
    async fn it_is_told_piece_by_piece_what_has_come() {
        let folder = tempfile::tempdir().unwrap();
        let (program, script) = bed(folder.path());
        // One that reads slowly.
        let slow = format!("dd() {{ case $* in bs=*) sleep 0.05;; esac; command dd \"$@\"; }}\n{script}");
        let way = Folder::new(folder.path()).kept("web", "web");
        let mut session = Session::by(&way, &["sh", "-c", &slow].map(str::to_owned)).unwrap();
        let probe = meet(&mut session, &way).await.unwrap();
        assert!(!probe.has);
        let told = RefCell::new(Vec::new());
        let begun = Instant::now();
        let tell = |came: Came| told.borrow_mut().push((came, begun.elapsed()));
        give(&mut session, &way, &program, &probe, &tell).await.unwrap();
        let told = told.into_inner();
        let of = Bytes(program.packed(std::env::consts::ARCH).await.unwrap().bytes.len() as u64);
        let pieces = (0..of.0).step_by(262_144).chain([of.0]).map(Bytes);
        let all: Vec<Came> = pieces.map(|bytes| Came { bytes, of }).collect();
        assert_eq!(told.iter().map(|(came, _)| *came).collect::<Vec<_>>(), all);
        let spread = told[told.len() - 1].1 - told[1].1;
        assert!(spread > Duration::from_millis(200), "as it comes, and not in the end: {told:?}");
        session.say_last(b"install\n{}\n").await.unwrap();
        assert_eq!(answer(&mut session, &way, RUNS_WITHIN).await, Ok(Answer::Runs));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn nothing_stays_of_what_broke_off() {
        let folder = tempfile::tempdir().unwrap();
        let (program, script) = bed(folder.path());
        let way = Folder::new(folder.path()).kept("web", "web");
        // As between two machines, each end of which may be gone while the other still is there.
        let words = ["sh", "-c", "cat | sh -c \"$0\" | cat", &script].map(str::to_owned);
        let mut session = Session::by(&way, &words).unwrap();
        meet(&mut session, &way).await.unwrap();
        let packed = program.packed(std::env::consts::ARCH).await.unwrap();
        session.say(format!("take {} {}\n", packed.bytes.len(), packed.sum).as_bytes()).await.unwrap();
        session.say(&packed.bytes[..600_000]).await.unwrap();
        let (key, value) = session.next().await.unwrap();
        assert_eq!((&*key, &*value), ("came", "262144"));
        let there = || {
            let builds = std::fs::read_dir(folder.path().join("lib")).unwrap().flatten();
            builds.flat_map(|build| std::fs::read_dir(build.path()).unwrap().flatten()).count()
        };
        assert_eq!(there(), 1);
        drop(session);
        let begun = Instant::now();
        while there() > 0 && begun.elapsed() < Duration::from_secs(10) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(there(), 0);
    }

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
