//! What is somebody's data is not taken away: not by a sweep, not before its time, not with another machine.

use std::path::{Path, PathBuf};

use ideal_core::guard;
use ideal_core::id::Token;
use ideal_core::observed::{MachineState, Report, RetireMark, SealKind, VolumeState};
use ideal_core::time::{Bytes, Time};
use ideal_host::durable::Lock;
use ideal_host::now;
use ideal_providers::{Answer, Call, Object, ObjectId, Provider, ProviderError};

use crate::bench::Bench;

fn stray(folder: &Path, files: &[&str]) -> PathBuf {
    for file in files {
        let path = folder.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "content").unwrap();
    }
    folder.to_owned()
}

impl Bench {
    async fn free_volume(&self, word: &str) -> ideal_core::observed::Volume {
        let token = Token::new(format!("{}-{word}", self.cloud));
        let tags = self.tags(Some("data"));
        let call = Call::CreateVolume { token, tags, size: Bytes(1 << 20), life: 0, from: None };
        let Answer::Made(Object::Volume(volume)) = self.call(call).await else { panic!("no volume") };
        volume
    }
}

#[tokio::test]
async fn a_sweep_leaves_alone_what_it_does_not_know() {
    let bench = Bench::new();
    let data = bench.folder.path().join("data");
    let volume = bench.free_volume("v").await;
    let permit = guard::seal(bench.cloud, &volume).unwrap();
    let (token, tags) = (Token::new(format!("{}-s", bench.cloud)), bench.tags(Some("data")));
    let made = bench.call(Call::Seal { permit, token, tags, kind: SealKind::Clean }).await;
    let Answer::Made(Object::Snapshot(snapshot)) = made else { panic!("no snapshot") };
    let mut kept = Vec::new();
    for (part, id) in [("volumes", volume.id.as_str()), ("snapshots", snapshot.id.as_str())] {
        let part = data.join(part);
        let own = part.join(id);
        // A copy by hand, with its description; the description of a lost thing; data without one.
        let copy = stray(&part.join(format!("{id}.bak")), &["data/text"]);
        std::fs::copy(own.join("meta.json"), copy.join("meta.json")).unwrap();
        kept.push(copy);
        kept.push(stray(&part.join("no-meta"), &["data/text", "lock"]));
        kept.push(stray(&part.join("elsewhere"), &["text"]));
        // A copy of something half made, under another name.
        let half = std::fs::read_to_string(own.join("meta.json")).unwrap();
        let mut half: serde_json::Value = serde_json::from_str(&half).unwrap();
        (half["whole"], half["checksum"], half["tags"]) = (false.into(), ().into(), ().into());
        let renamed = stray(&part.join("renamed"), &["data/text"]);
        std::fs::write(renamed.join("meta.json"), half.to_string()).unwrap();
        kept.push(renamed);
        std::fs::write(part.join("note"), "a file").unwrap();
        // What a crash leaves.
        stray(&part.join("begun"), &["lock", "meta.json.tmp"]);
        std::fs::create_dir_all(part.join("hollow/data")).unwrap();
        stray(&part.join("x.tmp"), &["data/text"]);
        half["id"] = "half".into();
        std::fs::write(stray(&part.join("half"), &["data/text"]).join("meta.json"), half.to_string())
            .unwrap();
    }
    let listing = bench.local.describe().await.unwrap();
    assert_eq!((listing.volumes.len(), listing.snapshots.len()), (1, 1));
    for path in kept {
        assert!(path.is_dir(), "{} was swept", path.display());
    }
    for (part, id) in [("volumes", volume.id.as_str()), ("snapshots", snapshot.id.as_str())] {
        assert!(data.join(part).join(id).join("data").is_dir() && data.join(part).join("note").is_file());
        for name in ["begun", "hollow", "x.tmp", "half"] {
            assert!(!data.join(part).join(name).exists(), "{part}/{name} was not swept");
        }
    }
}

#[tokio::test]
async fn a_volume_is_not_deleted_before_its_mark_allows_it() {
    let bench = Bench::new();
    let volume = bench.free_volume("v").await;
    let see = async || match bench.local.read(&ObjectId::Volume(volume.id.clone())).await.unwrap() {
        Some(Object::Volume(volume)) => volume,
        other => panic!("{other:?}"),
    };
    let until = Time(now().0 + 600_000);
    let mark = RetireMark { life: 0, at: now(), until };
    bench.call(Call::Retire { volume: volume.id.clone(), mark }).await;
    // As an engine with a wrong clock would.
    let permit = guard::delete(bench.cloud, &see().await, &[], true, until).unwrap();
    let refused = bench.local.issue(&Call::DeleteVolume(permit.clone())).await;
    assert!(matches!(&refused, Err(ProviderError::Refused { .. })), "{refused:?}");
    assert_eq!(see().await.state, VolumeState::Ready);
    let mark = RetireMark { life: 0, at: now(), until: now() };
    bench.call(Call::Retire { volume: volume.id.clone(), mark }).await;
    bench.call(Call::DeleteVolume(permit)).await;
}

#[tokio::test]
async fn a_keeper_that_is_not_written_down_is_not_waited_for_without_end() {
    let bench = Bench::new();
    let machine = bench.machine().await;
    let home = bench.home(&machine);
    crate::bench::kill(bench.keeper(&machine).pid);
    let held =
        crate::bench::until("the lock is free", 10, async || Lock::try_take(&home.keeper_lock()).unwrap())
            .await;
    std::fs::remove_file(home.keeper()).unwrap();
    let permit = guard::terminate(bench.cloud, &machine, Some(&Report::default())).unwrap();
    bench.call(Call::RetireMachine(permit.clone())).await;
    let later = bench.local.issue(&Call::Terminate(permit.clone())).await;
    assert!(matches!(&later, Err(ProviderError::Retry { .. })), "{later:?}");
    drop(held);
    bench.call(Call::Terminate(permit)).await;
    assert_eq!(bench.seen(&machine.id).await.state, MachineState::Terminated);
}

#[tokio::test]
async fn the_end_of_a_machine_asks_for_its_own_volumes_only() {
    let bench = Bench::new();
    let machine = bench.machine().await;
    let volume = bench.attached(&machine, 1).await;
    let other = bench.free_volume("w").await;
    let volumes = bench.folder.path().join("data/volumes");
    let meta = volumes.join(other.id.as_str()).join("meta.json");
    std::fs::write(&meta, "damaged").unwrap();
    bench.terminate(&machine).await;
    assert!(volumes.join(volume.id.as_str()).join("data").is_dir(), "it came back");
    assert_eq!(std::fs::read_to_string(meta).unwrap(), "damaged");
}
