//! Crashes at every point: of the provider between two durable steps, of the agent while orders are flowing.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ideal_core::guard;
use ideal_core::id::{CloudId, Name, Token};
use ideal_core::observed::{
    Machine, MachineState, Report, RetireMark, SealKind, Snapshot, SnapshotState, Tags, Volume, VolumeState,
};
use ideal_core::time::Bytes;
use ideal_host::{Home, now};
use ideal_providers::{Answer, Call, Local, Object, Provider, ProviderError};

use crate::bench::{Bench, local, until};

const FOLDER: &str = "IDEAL_CRASH_FOLDER";

struct Story<'a> {
    local: &'a Local,
    cloud: CloudId,
}

impl Story<'_> {
    fn tags(&self, mount: Option<&str>) -> Tags {
        let mount = mount.map(|mount| Name::new(mount).unwrap());
        Tags { cloud: self.cloud, index: Some(0), mount, generation: 1, token: None, demand: None, epoch: 1 }
    }
    fn token(&self, word: &str) -> Token {
        Token::new(format!("{}-{word}", self.cloud))
    }
    async fn made(&self, call: Call) -> Object {
        match self.local.issue(&call).await.unwrap() {
            Answer::Made(object) => object,
            Answer::Accepted => panic!("{call:?}"),
        }
    }
    async fn machine(&self) -> Machine {
        let (token, tags) = (self.token("m"), self.tags(None));
        let call = Call::CreateMachine { token, tags, image: String::new(), size: String::new() };
        let Object::Machine(machine) = self.made(call).await else { panic!() };
        machine
    }
    async fn volume(&self, word: &str, from: Option<&Snapshot>) -> Volume {
        let (token, tags, from) =
            (self.token(word), self.tags(Some("data")), from.map(|from| from.id.clone()));
        let life = u32::from(from.is_some());
        let Object::Volume(volume) =
            self.made(Call::CreateVolume { token, tags, size: Bytes(1 << 20), life, from }).await
        else {
            panic!()
        };
        volume
    }
    async fn seal(&self, volume: &Volume) -> Snapshot {
        let permit = guard::seal(self.cloud, volume).unwrap();
        let (token, tags) = (self.token("s"), self.tags(Some("data")));
        let Object::Snapshot(seal) =
            self.made(Call::Seal { permit, token, tags, kind: SealKind::Clean }).await
        else {
            panic!()
        };
        seal
    }
    async fn see(&self, volume: &Volume) -> Option<Volume> {
        let listing = self.local.describe().await.unwrap();
        listing.volumes.into_iter().find(|one| one.id == volume.id)
    }

    /// The whole life of one mount, written as an engine would: look, then do what is missing.
    async fn tell(&self, folder: &Path) {
        let machine = self.machine().await;
        if machine.state == MachineState::Pending {
            until("the machine runs", 10, async || {
                let listing = self.local.describe().await.unwrap();
                (listing.machines[0].state == MachineState::Running).then_some(())
            })
            .await;
        }
        let volume = self.volume("v", None).await;
        if volume.state != VolumeState::Deleted {
            let mut volume = self.see(&volume).await.expect("what was made is listed");
            let ended = self.machine().await.state != MachineState::Running;
            if volume.life == 0 {
                assert!(!ended);
                self.local.issue(&Call::NewLife { volume: volume.id.clone(), life: 1 }).await.unwrap();
                volume = self.see(&volume).await.unwrap();
            }
            // An agent that has just begun may have made its folders or not, and what there is to discard would differ.
            let logs = folder.join("data/machines").join(machine.id.as_str()).join("logs");
            if !ended {
                until("the agent has begun", 10, async || logs.exists().then_some(())).await;
            }
            // The write is the proof of having been attached.
            let written = folder.join("written");
            if !written.exists() {
                if volume.attachment.is_none() {
                    let mount = Name::new("data").unwrap();
                    let (volume, machine) = (volume.id.clone(), machine.id.clone());
                    self.local.issue(&Call::Attach { volume, life: 1, machine, mount }).await.unwrap();
                }
                let data = folder.join("data/machines").join(machine.id.as_str()).join("volumes");
                std::fs::write(data.join(volume.id.as_str()).join("text"), "the last write").unwrap();
                std::fs::write(written, "").unwrap();
            }
            let found = self.machine().await;
            if !found.state.is_over() {
                // An agent that is told to end writes down what ran, or is killed before it can: here it always has.
                let home = Home::new(folder.join("data/machines").join(machine.id.as_str()));
                std::fs::write(home.runtime(), "{}").unwrap();
                let permit = guard::terminate(self.cloud, &found, Some(&Report::default())).unwrap();
                self.local.issue(&Call::RetireMachine(permit.clone())).await.unwrap();
                self.local.issue(&Call::Terminate(permit)).await.unwrap();
            }
            let volume = self.see(&volume).await.unwrap();
            assert_eq!(volume.attachment, None);
            let seal = self.seal(&volume).await;
            let restored = self.volume("r", Some(&seal)).await;
            let text = folder.join("data/volumes").join(restored.id.as_str()).join("data/text");
            assert_eq!(std::fs::read_to_string(text).unwrap(), "the last write");
            let mark = RetireMark { life: 1, at: now(), until: now() };
            self.local.issue(&Call::Retire { volume: volume.id.clone(), mark }).await.unwrap();
            let volume = self.see(&volume).await.unwrap();
            let permit = guard::delete(self.cloud, &volume, &[seal], false, now()).unwrap();
            self.local.issue(&Call::DeleteVolume(permit)).await.unwrap();
        }
    }

    /// What must hold at the end, however often it was interrupted.
    async fn check(&self, point: &str) {
        let listing = self.local.describe().await.unwrap();
        let states: Vec<_> = listing.machines.iter().map(|machine| machine.state).collect();
        assert_eq!(states, [MachineState::Terminated], "{point}");
        assert_eq!(listing.volumes.len(), 1, "{point}: the restored one");
        assert_eq!(listing.volumes[0].state, VolumeState::Ready, "{point}");
        let seals: Vec<_> = listing.snapshots.iter().map(|seal| seal.state).collect();
        assert_eq!(seals, [SnapshotState::Completed], "{point}");
        assert_eq!(self.local.processes().unwrap(), Vec::<String>::new(), "{point}");
        assert_eq!(self.local.sweep_unfinished().unwrap().len(), 0, "{point}");
    }
}

/// Not a test by itself: what the next one runs in a process of its own, to let it crash.
#[tokio::test]
async fn the_story_once() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let cloud = std::fs::read_to_string(folder.join("cloud")).unwrap().parse().unwrap();
    let local = local(&folder.join("data"), &folder.join("run"), &[]);
    Story { local: &local, cloud }.tell(folder).await;
}

fn run_story(folder: &Path, name: &str, value: &str) -> bool {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "crashes::the_story_once", "--nocapture"]);
    let output = command.env(FOLDER, folder).env(name, value).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() || !text.contains("panicked"), "{value}: {text}");
    output.status.success()
}

#[tokio::test]
async fn a_crash_at_any_point_loses_nothing() {
    let prepare = || {
        let bench = Bench::new();
        std::fs::write(bench.folder.path().join("cloud"), bench.cloud.to_string()).unwrap();
        bench
    };
    let bench = prepare();
    let trace = bench.folder.path().join("trace");
    assert!(run_story(bench.folder.path(), "IDEAL_CRASH_TRACE", trace.to_str().unwrap()));
    Story { local: &bench.local, cloud: bench.cloud }.check("no crash").await;
    let points: Vec<String> = std::fs::read_to_string(trace).unwrap().lines().map(str::to_owned).collect();
    assert!(points.len() > 30, "{points:?}");
    for point in &points {
        let bench = prepare();
        let folder = bench.folder.path();
        assert!(!run_story(folder, "IDEAL_CRASH_AT", point), "{point} was not passed");
        let story = Story { local: &bench.local, cloud: bench.cloud };
        // What a crash leaves must be listable at once, and nothing in it may be a lie.
        let listing = bench.local.describe().await.unwrap();
        for volume in &listing.volumes {
            assert_eq!(volume.state, VolumeState::Ready, "{point}");
        }
        story.tell(folder).await;
        story.check(point).await;
    }
    println!("{} crash points", points.len());
}

#[tokio::test]
async fn an_agent_killed_while_orders_flow_forgets_nothing() {
    let bench = Bench::hasty();
    let machine = bench.machine().await;
    let home = bench.home(&machine);
    let mut seed = now().0;
    let mut acknowledged = 0;
    let mut sent = 0;
    for round in 0..20 {
        let agent = until("an agent", 20, async || bench.agent(&machine)).await;
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let lives = Duration::from_micros((seed >> 33) % 150_000);
        let flowing = async {
            loop {
                sent += 1;
                let slice = bench.slice(vec![], vec![]);
                let verb = ideal_api::Verb::Apply {
                    slice: Box::new(slice),
                    hash: format!("{sent:08}"),
                    secrets: Default::default(),
                };
                if bench.ask(&machine, verb).await.is_ok() {
                    acknowledged = sent;
                }
            }
        };
        until("the agent answers", 20, async || bench.report(&machine).await).await;
        let _ = tokio::time::timeout(lives, flowing).await;
        agent.signal(rustix::process::Signal::KILL).unwrap();
        until("it is dead", 5, async || (!agent.is_alive()).then_some(())).await;
        let text = std::fs::read_to_string(home.state()).unwrap_or_default();
        if text.is_empty() {
            assert_eq!(acknowledged, 0, "round {round}");
            continue;
        }
        let state: serde_json::Value = serde_json::from_str(&text).expect("the state always loads");
        let stored: u64 = state["slice"]["hash"].as_str().unwrap().parse().unwrap();
        assert!(
            acknowledged <= stored && stored <= sent,
            "round {round}: {acknowledged} <= {stored} <= {sent}"
        );
    }
    println!("{acknowledged} orders acknowledged across 20 kills");
    bench.terminate(&machine).await;
}

#[tokio::test]
async fn a_damaged_seal_is_not_restored() {
    let bench = Bench::new();
    let story = Story { local: &bench.local, cloud: bench.cloud };
    let volume = story.volume("v", None).await;
    let folder = bench.folder.path().join("data");
    std::fs::write(folder.join("volumes").join(volume.id.as_str()).join("data/text"), "precious").unwrap();
    let seal = story.seal(&volume).await;
    std::fs::write(folder.join("snapshots").join(seal.id.as_str()).join("data/text"), "precioux").unwrap();
    let (token, tags, from) = (story.token("r"), story.tags(Some("data")), Some(seal.id.clone()));
    let call = Call::CreateVolume { token, tags, size: Bytes(1 << 20), life: 1, from };
    let refused = bench.local.issue(&call).await;
    assert!(
        matches!(&refused, Err(ProviderError::Refused { why }) if why.contains("not what was sealed")),
        "{refused:?}"
    );
    assert_eq!(bench.local.describe().await.unwrap().volumes.len(), 1, "nothing half made is left");
}

#[tokio::test]
async fn an_agent_killed_while_services_start_doubles_none() {
    let bench = Bench::hasty();
    let machine = bench.machine().await;
    let home = bench.home(&machine);
    let starts = || {
        let is_ours = |marks: &ideal_host::Marks| {
            ideal_host::home::is_of(marks, &machine.id, &home) && marks.contains_key("IDEAL_SERVICE")
        };
        let found = ideal_host::process::find(is_ours);
        found.iter().map(|process| process.mark("IDEAL_START").unwrap().to_owned()).collect::<Vec<_>>()
    };
    let mut seed = now().0;
    for round in 0..20 {
        // Each is another program, so that there is always one stopping and one starting.
        let spec = serde_json::json!({"command": ["sleep", "1000"], "env": {"ROUND": round.to_string()}});
        let hash = bench.apply(&machine, bench.slice(vec![], vec![("pub", spec)])).await;
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        tokio::time::sleep(Duration::from_micros((seed >> 33) % 15_000)).await;
        let agent = until("an agent", 20, async || bench.agent(&machine)).await;
        agent.signal(rustix::process::Signal::KILL).unwrap();
        until("it is dead", 5, async || (!agent.is_alive()).then_some(())).await;
        let report = bench.converged(&machine, &hash).await;
        let pid = report.services["pub[0]"].pid.unwrap();
        let mine = ideal_host::process::marks(pid)["IDEAL_START"].clone();
        until("what was before is gone", 5, async || (starts() == [mine.clone()]).then_some(())).await;
    }
    bench.terminate(&machine).await;
}
