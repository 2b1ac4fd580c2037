//! What is done on a machine to bring an agent and to take it away dies at each of its durable acts, and is done again.
//!
//! Only a program with its crash points in it can die so: never the one that is shipped.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use ideal_core::id::{MachineId, SlotId};
use ideal_host::brought::{PROGRAMS, Wanted};

use super::rack::{Rack, own_program};
use crate::bed::{Bed, IMAGE, Ran, until};

/// How many machines die at once. They mostly wait.
const AT_ONCE: usize = 8;

/// Builds, by the names of their folders. The program of the last ones starts no agent that answers.
const ONE: &str = "0000000000000001";
const TWO: &str = "0000000000000002";
const BAD: &str = "000000000000000b";
const WORSE: &str = "000000000000000c";

/// A machine with programs, and nobody who brought them.
struct Machine<'a> {
    bed: &'a Bed,
    name: String,
    wanted: String,
}

impl Machine<'_> {
    fn start<'a>(bed: &'a Bed, name: &str) -> Machine<'a> {
        let label = format!("ideal.cloud={}", bed.clouds[0]);
        // It takes note of the deaths of those that nobody else does.
        let first = "ln -s busybox bin/readlink; ln -s busybox bin/tr; while :; do sleep 0.2; done";
        bed.docker(&["run", "-d", "--name", name, "--label", &label, IMAGE, "sh", "-c", first]).ended(0);
        Machine::of(bed, name)
    }

    /// One that is there.
    fn of<'a>(bed: &'a Bed, name: &str) -> Machine<'a> {
        for program in ["program", "bad"] {
            let from = bed.folder.join(program);
            bed.docker(&["cp", from.to_str().unwrap(), &format!("{name}:/{program}")]).ended(0);
        }
        let slot = SlotId { cloud: bed.clouds[0].parse().unwrap(), index: 0 };
        let (machine, address) = (MachineId::new("m0.1"), "10.0.0.5".to_owned());
        let wanted = Wanted { slot, generation: 1, machine, address };
        Machine { bed, name: name.to_owned(), wanted: serde_json::to_string(&wanted).unwrap() }
    }

    fn within(&self, script: &str) -> Ran {
        self.bed.docker(&["exec", &self.name, "sh", "-euc", script])
    }

    /// Puts the program of a build there.
    fn put(&self, build: &str) {
        let program = if [BAD, WORSE].contains(&build) { "bad" } else { "program" };
        let folder = format!("{PROGRAMS}/{build}");
        let script = format!(
            "mkdir -p /usr/local/lib {folder}; ln -f /{program} {folder}/ideal; chmod 755 {folder}/ideal"
        );
        self.within(&script).ended(0);
    }

    /// Puts a build in force. `more`: before the program's words.
    fn install(&self, build: &str, more: &str) -> Ran {
        self.put(build);
        self.within(&format!("echo '{}' | {more} {PROGRAMS}/{build}/ideal agent install", self.wanted))
    }

    fn leave(&self, build: &str, more: &str) -> Ran {
        self.put(build);
        self.within(&format!("{more} {PROGRAMS}/{build}/ideal agent leave"))
    }

    /// Processes of ours: which program of `agent` each is, and of which build.
    fn ours(&self) -> Vec<(String, String)> {
        let script = "for at in /proc/[0-9]*; do echo \"$(readlink $at/exe || true) $(tr '\\0' ' ' < \
                      $at/cmdline || true)\"; done 2> /dev/null";
        let all = self.within(script).ended(0).out;
        let of = |line: &str| {
            let (build, rest) = line.strip_prefix(PROGRAMS)?.strip_prefix('/')?.split_once('/')?;
            Some((rest.split_once(" agent ")?.1.split(' ').next()?.to_owned(), build.to_owned()))
        };
        let mut ours: Vec<_> = all.lines().filter_map(of).collect();
        ours.sort();
        ours
    }

    /// Whether an agent answers.
    fn answers(&self) -> bool {
        let ask = "printf 'GET /v1/health HTTP/1.1\\r\\nhost: agent\\r\\nconnection: close\\r\\n\\r\\n'";
        let ran = self.within(&format!("{ask} | {PROGRAMS}/current/ideal agent dial-stdio"));
        ran.out.starts_with("HTTP/1.1 200")
    }

    /// One keeper and one agent, which is of this build, and answers.
    #[track_caller]
    fn runs(&self, build: &str, at: &str) {
        let is_so = || {
            let ours = self.ours();
            let agents = ours.iter().filter(|(what, _)| what == "run").map(|(_, build)| build.as_str());
            let keepers = ours.iter().filter(|(what, _)| what == "keep").count();
            (agents.collect::<Vec<_>>(), keepers) == (vec![build], 1) && self.answers()
        };
        assert!(until(10, is_so), "{at}: {:?}", self.ours());
        let link = self.within(&format!("readlink {PROGRAMS}/current")).ended(0).out;
        assert_eq!(link.trim(), build, "{at}");
    }

    #[track_caller]
    fn is_empty(&self, at: &str) {
        assert_eq!(self.ours(), Vec::new(), "{at}");
        let left =
            self.within("ls -d /usr/local/lib/ideal* /var/lib/ideal* /run/ideal* 2> /dev/null || true").out;
        assert_eq!(left, "", "{at}");
    }
}

fn dies_at(at: &str) -> String {
    format!("IDEAL_CRASH_AT='{at}'")
}

fn is_done(ran: &Ran, answer: &str) -> bool {
    ran.out.contains("ideal:answer") && ran.out.contains(answer)
}

/// The crash points that are passed by what this does, by its name.
fn passed(machine: &Machine<'_>, does: impl Fn(&str) -> Ran, prefix: &str) -> Vec<String> {
    machine.within("rm -f /trace").ended(0);
    does("IDEAL_CRASH_TRACE=/trace").ended(0);
    let text = machine.within("cat /trace").ended(0).out;
    let mut points: Vec<String> =
        text.lines().filter(|at| at.starts_with(prefix)).map(str::to_owned).collect();
    points.dedup();
    assert!(points.len() > 3, "{points:?}");
    points
}

/// Does something of each of these, several at once.
fn each<T: Sync>(all: &[T], does: impl Fn(usize, &T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|threads| {
        for _ in 0..AT_ONCE {
            threads.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(one) = all.get(number) else { return };
                    does(number, one);
                }
            });
        }
    });
}

/// As [`lives`](super::lives) does it: its agent takes its lock in a folder that there is not.
fn break_it(good: &Path, bad: &Path) {
    let mut bytes = std::fs::read(good).unwrap();
    let lock = b"agent.lock";
    let found: Vec<usize> =
        (0..bytes.len() - lock.len()).filter(|at| bytes[*at..].starts_with(lock)).collect();
    for at in found {
        bytes[at..at + lock.len()].copy_from_slice(b"agent/lock");
    }
    std::fs::copy(good, bad).unwrap();
    std::fs::write(bad, bytes).unwrap();
}

#[test]
fn dead_at_every_act_of_coming_an_agent_comes_all_the_same() {
    let Some(bed) = Bed::start("coming") else { return };
    break_it(&own_program(&bed, "program"), &bed.folder.join("bad"));

    let first = Machine::start(&bed, "first");
    let fresh = passed(&first, |more| first.install(ONE, more), "install-");
    let renews = passed(&first, |more| first.install(TWO, more), "install-");
    first.install(ONE, "").ended(0);
    let goes_back = passed(&first, |more| first.install(BAD, more), "install-");
    first.runs(ONE, "without a death");

    let mut stories: Vec<(&str, &String)> = Vec::new();
    stories.extend(fresh.iter().map(|at| ("fresh", at)));
    stories.extend(renews.iter().flat_map(|at| [("renewed", at), ("stays", at)]));
    stories.extend(goes_back.iter().flat_map(|at| [("goes back", at), ("another", at)]));
    each(&stories, |number, (story, at)| {
        let told = format!("{story}, dead at {at}");
        let machine = Machine::start(&bed, &format!("m{number}"));
        let before = (*story != "fresh").then_some(ONE);
        if before.is_some() {
            machine.install(ONE, "").ended(0);
        }
        let brought = match *story {
            "fresh" => ONE,
            "renewed" | "stays" => TWO,
            _ => BAD,
        };
        let died = machine.install(brought, &dies_at(at));
        assert_ne!(died.code, Some(0), "{told}: {died:?}");
        assert!(!died.out.contains("ideal:answer"), "{told}: {died:?}");
        if ["renewed", "stays"].contains(story) {
            // Nobody came back to see to it, and there is an agent.
            assert!(until(20, || machine.answers()), "{told}: {:?}", machine.ours());
        }
        let (again, runs) = match *story {
            "fresh" => (ONE, ONE),
            "renewed" => (TWO, TWO),
            "stays" => (ONE, ONE),
            "goes back" => (BAD, ONE),
            _ => (WORSE, ONE),
        };
        let ran = machine.install(again, "");
        match again {
            // What died last may have been about to go back, or have gone.
            BAD | WORSE => assert!(is_done(&ran, "the one before it is back"), "{told}: {ran:?}"),
            _ => assert!(is_done(&ran, "runs"), "{told}: {ran:?}"),
        }
        machine.runs(runs, &told);
        let ran = machine.leave(runs, "");
        assert!(is_done(&ran, "left"), "{told}: {ran:?}");
        machine.is_empty(&told);
        bed.docker(&["rm", "-f", "-v", &machine.name]).ended(0);
    });
    eprintln!("{} deaths while an agent came", stories.len());
}

/// The same where the keeper is a unit.
#[test]
fn dead_at_every_act_under_systemd_all_goes_on_as_well() {
    let Some(rack) = Rack::start("unitdies") else { return };
    break_it(&own_program(&rack.bed, "program"), &rack.bed.folder.join("bad"));
    rack.systemd("m0");
    let machine = Machine::of(&rack.bed, "m0");
    let comes = passed(&machine, |more| machine.install(ONE, more), "install-");
    let leaves = passed(&machine, |more| machine.leave(ONE, more), "leave-");
    let no_unit = "! ls /etc/systemd/system/ideal.service /etc/systemd/system/*/ideal.service 2> /dev/null";
    for (dies_coming, at) in comes.iter().map(|at| (true, at)).chain(leaves.iter().map(|at| (false, at))) {
        if dies_coming {
            assert_ne!(machine.install(ONE, &dies_at(at)).code, Some(0), "{at}");
        }
        let ran = machine.install(ONE, "");
        assert!(is_done(&ran, "runs"), "{at}: {ran:?}");
        machine.runs(ONE, at);
        machine.within("systemctl is-active ideal.service && systemctl is-enabled ideal.service").ended(0);
        if !dies_coming {
            assert_ne!(machine.leave(ONE, &dies_at(at)).code, Some(0), "{at}");
            // What is swept away when the machine is told to leave once more.
            machine.within("[ -f /var/lib/ideal/home/identity.json ] || rm -rf /var/lib/ideal.gone").ended(0);
        }
        let ran = machine.leave(ONE, "");
        assert!(is_done(&ran, "left"), "{at}: {ran:?}");
        machine.is_empty(at);
        machine.within(no_unit).ended(0);
    }
    eprintln!("{} deaths under systemd", comes.len() + leaves.len());
}

const SERVICES: &str = "services:
  sleeper: {on: shop, replicas: 1, command: [/bin/sleep, \"1000000\"]}
";

/// On a machine that is a node, with what runs there: dead at each act of leaving, and then put away as any other.
#[test]
fn dead_at_every_act_of_leaving_nothing_is_left() {
    let Some(mut rack) = Rack::start("leaving") else { return };
    rack.program = own_program(&rack.bed, "program");
    let host = rack.plain("m0");
    rack.write(&[host.line()], 1, SERVICES);
    let leave = |more: &str| rack.within("m0", &format!("{more} {PROGRAMS}/current/ideal agent leave"));
    let sleeps = || rack.within("m0", "pgrep -x sleep || true").ended(0).out;
    let is_empty = |at: &str| {
        assert_eq!((rack.running("m0"), sleeps()), (Vec::new(), String::new()), "{at}");
        let left =
            rack.within("m0", "ls -d /usr/local/lib/ideal* /var/lib/ideal* /run/ideal* 2> /dev/null || true");
        assert_eq!(left.out, "", "{at}");
    };
    rack.ideal(&["up", "--yes"]).ended(0);
    let ran = leave("IDEAL_CRASH_TRACE=/trace").ended(0);
    assert!(is_done(&ran, "left"), "{ran:?}");
    is_empty("without a death");
    let text = rack.within("m0", "cat /trace").ended(0).out;
    let points: Vec<&str> = text.lines().filter(|at| at.starts_with("leave-")).collect();
    assert!(points.len() > 5, "{points:?}");
    // What was a node behind our back is made one again.
    rack.ideal(&["up", "--yes"]).ended(0);
    for at in &points {
        assert_ne!(sleeps(), "", "{at}");
        let died = leave(&dies_at(at));
        assert!(died.code != Some(0) && !died.out.contains("ideal:answer"), "{at}: {died:?}");
        rack.ideal(&["away", "--yes", "--timeout", "60s"]).ended(0);
        is_empty(at);
        rack.ideal(&["up", "--yes", "--timeout", "60s"]).ended(0);
    }
    rack.ideal(&["destroy", "--yes", "--name", "shop", "--snapshots"]).ended(0);
    is_empty("in the end");
    eprintln!("{} deaths while an agent left", points.len());
}
