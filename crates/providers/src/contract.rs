//! What every provider must do, as one suite that runs on each of them: what it does not ask, the engine must
//! not rely upon.
//!
//! Each check makes things of a cloud of its own, so that checks can follow each other in one world.

mod check;

use std::future::Future;
use std::pin::Pin;

use ideal_core::demand::{Demands, Ending, Scope, State};
use ideal_core::guard;
use ideal_core::id::{CloudId, MachineId, Name, SnapshotId, VolumeId};
use ideal_core::observed::{Machine, MachineState, Report, SealKind, Tags, Volume, VolumeState};
use ideal_core::time::{Bytes, Time};

use crate::{Answer, Call, Object, ObjectId, Provider, ProviderError};
use check::{Check, LOOKS, broken, ensure};

/// A check that failed: what was expected, and what was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Broken(String);

/// What a check answers.
pub type Checked<T = ()> = Result<T, Broken>;

/// What a check needs beside the provider.
pub trait World {
    /// A cloud that nothing belongs to yet.
    fn cloud(&self) -> CloudId;
    /// The present instant, by the provider's clock.
    fn now(&self) -> Time;
    /// Lets a moment pass: real or simulated.
    fn pass(&self) -> Pin<Box<dyn Future<Output = ()> + '_>>;
    /// Writes into a volume, attached or not.
    fn write(&self, volume: &VolumeId, text: &str);
    /// What is in a volume.
    fn content(&self, volume: &VolumeId) -> String;
}

/// Runs every check and answers the names of those that passed, or the first that did not.
pub async fn all(provider: &dyn Provider, world: &dyn World) -> Checked<Vec<&'static str>> {
    let mut passed = Vec::new();
    macro_rules! run {
        ($($name:ident)*) => {$(
            // On the heap, each for itself: together they are a large future.
            let checked = Box::pin($name(provider, world)).await;
            checked.map_err(|Broken(why)| Broken(format!("{}: {why}", stringify!($name))))?;
            passed.push(stringify!($name));
        )*};
    }
    run! {
        a_token_makes_one_thing
        an_ended_thing_is_answered_for_its_token
        a_life_is_written_before_it_is_attached
        an_attached_volume_cannot_be_touched
        a_machine_ends_in_two_acts
        a_machine_is_stopped_and_started
        a_volume_survives_its_machine
        a_seal_is_the_content
        deletion_takes_two_acts
        demands_and_names_are_seen
        things_are_given_up_and_claimed
        what_is_not_there_is_not_found
        a_snapshot_is_pruned
        a_backup_is_of_a_volume_in_use
        a_volume_grows_and_never_shrinks
        a_snapshot_is_tried
    }
    Ok(passed)
}

/// The same token and parameters: the same thing; other parameters: refused.
pub async fn a_token_makes_one_thing(provider: &dyn Provider, world: &dyn World) -> Checked {
    let check = Check::new(provider, world);
    let machine = check.machine("m").await?;
    let Object::Machine(again) = check.made(&check.machine_call("m", "")?).await? else {
        return broken("a machine was asked for");
    };
    ensure(machine.id == again.id, || format!("one token made {} and {}", machine.id, again.id))?;
    ensure(machine.tags.token == Some(check.token("m")), || "the token is not in the tags".to_owned())?;
    let other = provider.issue(&check.machine_call("m", "another-image")?).await;
    ensure(other == Err(ProviderError::TokenTaken), || format!("another image under the token: {other:?}"))?;
    let volume = check.volume("v", 0, None).await?;
    let Object::Volume(again) = check.made(&check.volume_call("v", 0, None)?).await? else {
        return broken("a volume was asked for");
    };
    ensure(volume.id == again.id, || format!("one token made {} and {}", volume.id, again.id))?;
    let other = provider.issue(&check.volume_call("v", 3, None)?).await;
    ensure(other == Err(ProviderError::TokenTaken), || format!("another life under the token: {other:?}"))?;
    let seal = check.seal("s", &volume).await?;
    let again = check.seal("s", &volume).await?;
    ensure(seal.id == again.id, || format!("one token made {} and {}", seal.id, again.id))?;
    let listing = provider.describe().await.map_err(|error| Broken(error.to_string()))?;
    let ours = listing.machines.iter().filter(|machine| machine.tags.cloud == check.cloud).count();
    ensure(listing.complete && ours == 1, || format!("{ours} machines are listed, 1 was made"))?;
    check.terminate(&machine).await
}

/// A token is used up for ever.
pub async fn an_ended_thing_is_answered_for_its_token(provider: &dyn Provider, world: &dyn World) -> Checked {
    let check = Check::new(provider, world);
    let machine = check.machine("m").await?;
    check.terminate(&machine).await?;
    check.terminate(&Machine { state: MachineState::Impaired, ..machine.clone() }).await?;
    match check.made(&check.machine_call("m", "")?).await? {
        Object::Machine(ended) => {
            ensure(ended.id == machine.id && ended.state.is_over(), || format!("answered with {ended:?}"))?;
        }
        other => return broken(format!("answered with {other:?}")),
    }
    let volume = check.volume("v", 0, None).await?;
    let retired = check.retire(&volume).await?;
    check.issue(&check.delete_call(&retired)?).await?;
    match check.made(&check.volume_call("v", 0, None)?).await? {
        Object::Volume(ended) => {
            let gone = matches!(ended.state, VolumeState::Deleted | VolumeState::Deleting);
            ensure(ended.id == volume.id && gone, || format!("answered with {ended:?}"))
        }
        other => broken(format!("answered with {other:?}")),
    }
}

/// Lives only rise, and a volume is attached in the life that was written.
pub async fn a_life_is_written_before_it_is_attached(provider: &dyn Provider, world: &dyn World) -> Checked {
    let check = Check::new(provider, world);
    let (machine, volume) = (check.machine("m").await?, check.volume("v", 2, None).await?);
    ensure(volume.life == 2, || format!("made in life 2, it is in {}", volume.life))?;
    let life = |life| Call::NewLife { volume: volume.id.clone(), life };
    check.refused("the same life again", &life(2)).await?;
    check.refused("a lower life", &life(1)).await?;
    check.refused("a life that was not written", &check.attach_call(&volume.id, 3, &machine.id)?).await?;
    let attached = check.attach(&volume.id, 3, &machine.id).await?;
    ensure(attached.life == 3, || format!("attached in life 3, it is in {}", attached.life))?;
    let detached = check.detach(&attached, &machine).await?;
    ensure(detached.life == 3, || "detaching changed the life".to_owned())?;
    let stale = guard::detach(
        check.cloud,
        &Volume { life: 2, ..attached.clone() },
        &machine,
        Some(&Report::default()),
    );
    let stale = stale.map_err(|refusal| Broken(refusal.to_string()))?;
    check.attach(&volume.id, 4, &machine.id).await?;
    check.refused("a detachment of an earlier life", &Call::Detach(stale)).await?;
    let attached = check.present(&volume.id).await?;
    check.detach(&attached, &machine).await?;
    check.terminate(&machine).await
}

/// Everything that needs a detached volume is refused while it is attached.
pub async fn an_attached_volume_cannot_be_touched(provider: &dyn Provider, world: &dyn World) -> Checked {
    let check = Check::new(provider, world);
    let (machine, volume) = (check.machine("m").await?, check.volume("v", 0, None).await?);
    // Permits from before it was attached.
    let seal = check.seal_call("s", &volume)?;
    let delete = check.delete_call(&Volume { retired: Some(check.mark(0)), ..volume.clone() })?;
    let attached = check.attach(&volume.id, 1, &machine.id).await?;
    let id = || volume.id.clone();
    check.refused("a second attachment", &check.attach_call(&volume.id, 1, &machine.id)?).await?;
    check.refused("a new life", &Call::NewLife { volume: id(), life: 2 }).await?;
    check.refused("a retirement", &Call::Retire { volume: id(), mark: check.mark(1) }).await?;
    check.refused("a deletion", &delete).await?;
    let detached = check.detach(&attached, &machine).await?;
    // A permit of an earlier life may be refused; what it makes must not claim the present one.
    match provider.issue(&seal).await {
        Ok(Answer::Made(Object::Snapshot(stale))) => {
            ensure(!guard::covers(&stale, &detached), || format!("a stale permit made {stale:?}"))?;
        }
        Err(ProviderError::Refused { .. }) => {}
        other => return broken(format!("a seal of an earlier life was answered {other:?}")),
    }
    let fresh = check.seal("s2", &detached).await?;
    ensure(guard::covers(&fresh, &detached), || format!("a fresh seal does not cover: {fresh:?}"))?;
    check.terminate(&machine).await
}

/// A mark first, which is never taken off and forbids all use.
pub async fn a_machine_ends_in_two_acts(provider: &dyn Provider, world: &dyn World) -> Checked {
    let check = Check::new(provider, world);
    let (machine, volume) = (check.machine("m").await?, check.volume("v", 1, None).await?);
    let permit = guard::terminate(check.cloud, &machine, Some(&Report::default()));
    let permit = permit.map_err(|refusal| Broken(refusal.to_string()))?;
    if provider.character().enforces_marks {
        check.refused("an ending without a mark", &Call::Terminate(permit.clone())).await?;
    }
    check.issue(&Call::RetireMachine(permit.clone())).await?;
    check.issue(&Call::RetireMachine(permit)).await?;
    let id = ObjectId::Machine(machine.id.clone());
    let marked = |object: Option<Object>| match object {
        Some(Object::Machine(machine)) if machine.retired => Some(machine),
        _ => None,
    };
    let machine = check.wait("marked", &id, marked).await?;
    ensure(machine.state == MachineState::Running, || "the mark alone ended it".to_owned())?;
    if provider.character().enforces_marks {
        check
            .refused("attaching to a marked machine", &check.attach_call(&volume.id, 1, &machine.id)?)
            .await?;
    }
    check.terminate(&machine).await
}

/// One that is stopped is the same when it is started, and one that is marked to be ended is neither stopped nor started.
pub async fn a_machine_is_stopped_and_started(provider: &dyn Provider, world: &dyn World) -> Checked {
    let check = Check::new(provider, world);
    let (machine, volume) = (check.machine("m").await?, check.volume("v", 0, None).await?);
    let halted = check.demand(&machine, State::Halted, 1).await?;
    let permit = guard::stop(check.cloud, &halted, Some(&Report::default()));
    let stop = Call::StopMachine(permit.map_err(|refusal| Broken(refusal.to_string()))?);
    let start = Call::StartMachine(machine.id.clone());
    if !provider.character().stops {
        check.refused("stopping what cannot be started", &stop).await?;
        return check.terminate(&machine).await;
    }
    // Who took over has demanded another state, and who was asked to stop it comes late.
    check.demand(&machine, State::Launched, 2).await?;
    if provider.character().enforces_marks {
        check.refused("stopping what is to run", &stop).await?;
    }
    check.demand(&machine, State::Halted, 3).await?;
    for round in 1..=2 {
        check.issue(&stop).await?;
        check.machine_in(&machine.id, MachineState::Stopped).await?;
        check.issue(&stop).await?;
        check
            .refused("attaching to what is stopped", &check.attach_call(&volume.id, 0, &machine.id)?)
            .await?;
        check.issue(&start).await?;
        let again = check.machine_in(&machine.id, MachineState::Running).await?;
        ensure(again.tags.slot() == machine.tags.slot() && !again.retired, || {
            format!("it became {again:?}")
        })?;
        let attached = check.attach(&volume.id, round, &machine.id).await?;
        check.detach(&attached, &machine).await?;
    }
    let permit = guard::terminate(check.cloud, &machine, Some(&Report::default()));
    let permit = permit.map_err(|refusal| Broken(refusal.to_string()))?;
    check.issue(&Call::RetireMachine(permit)).await?;
    check.refused("stopping what is to be ended", &stop).await?;
    check.terminate(&machine).await
}

/// Ending a machine leaves its volumes, detached and whole.
pub async fn a_volume_survives_its_machine(provider: &dyn Provider, world: &dyn World) -> Checked {
    let check = Check::new(provider, world);
    let (machine, volume) = (check.machine("m").await?, check.volume("v", 0, None).await?);
    check.attach(&volume.id, 1, &machine.id).await?;
    world.write(&volume.id, "the last write");
    check.terminate(&machine).await?;
    let left = check.volume_when(&volume.id, "detached", |volume| volume.attachment.is_none()).await?;
    ensure(left.state == VolumeState::Ready && left.life == 1, || format!("what is left is {left:?}"))?;
    let content = world.content(&volume.id);
    ensure(content == "the last write", || format!("it holds {content:?}"))
}

/// What is restored from a seal is what was written before it, and nothing of what was written after.
pub async fn a_seal_is_the_content(provider: &dyn Provider, world: &dyn World) -> Checked {
    let check = Check::new(provider, world);
    let volume = check.volume("v", 0, None).await?;
    world.write(&volume.id, "before");
    let seal = check.seal("s", &volume).await?;
    world.write(&volume.id, "after");
    ensure(seal.volume == volume.id && seal.life == volume.life, || format!("the seal is {seal:?}"))?;
    ensure(seal.seal == Some(SealKind::Clean), || "the seal does not say what it rests on".to_owned())?;
    let restored = check.volume("r", 0, Some(seal.id.clone())).await?;
    ensure(restored.origin == Some(seal.id.clone()), || {
        "the volume does not say what it is made of".to_owned()
    })?;
    let (found, original) = (world.content(&restored.id), world.content(&volume.id));
    ensure(found == "before" && original == "after", || {
        format!("restored {found:?}, original {original:?}")
    })?;
    let again = check.seal("s3", &restored).await?;
    ensure(again.checksum == seal.checksum, || format!("{:?} and {:?}", again.checksum, seal.checksum))?;
    let unknown = check.volume_call("u", 0, Some(SnapshotId::new("s-000000000000")))?;
    check.refused("a volume of no snapshot", &unknown).await
}

/// A mark first, in the present life; attaching clears it, and it forbids attaching.
pub async fn deletion_takes_two_acts(provider: &dyn Provider, world: &dyn World) -> Checked {
    let check = Check::new(provider, world);
    let (machine, volume) = (check.machine("m").await?, check.volume("v", 1, None).await?);
    let id = || volume.id.clone();
    let enforced = provider.character().enforces_marks;
    let unmarked = check.delete_call(&Volume { retired: Some(check.mark(1)), ..volume.clone() })?;
    if enforced {
        check.refused("a deletion without a mark", &unmarked).await?;
    }
    check.refused("a mark of another life", &Call::Retire { volume: id(), mark: check.mark(7) }).await?;
    let retired = check.retire(&volume).await?;
    check.refused("attaching a marked volume", &check.attach_call(&volume.id, 1, &machine.id)?).await?;
    let early = check.delete_call(&retired)?;
    check.issue(&Call::NewLife { volume: id(), life: 2 }).await?;
    let alive = check.volume_when(&volume.id, "in life 2", |volume| volume.life == 2).await?;
    ensure(alive.retired.is_none(), || "a new life did not clear the mark".to_owned())?;
    if enforced {
        check.refused("a deletion in an earlier life", &early).await?;
        let other = Volume { retired: Some(check.mark(2)), ..alive.clone() };
        check.refused("a deletion by a mark of an earlier life", &check.delete_call(&other)?).await?;
    }
    let retired = check.retire(&alive).await?;
    check.issue(&check.delete_call(&retired)?).await?;
    let of = ObjectId::Volume(volume.id.clone());
    check
        .wait("deleted", &of, |object| match object {
            None => Some(()),
            Some(Object::Volume(volume)) if volume.state == VolumeState::Deleted => Some(()),
            _ => None,
        })
        .await?;
    check.terminate(&machine).await
}

/// Mirrored demands and new names are seen in the listing; what is gone is passed over.
pub async fn demands_and_names_are_seen(provider: &dyn Provider, world: &dyn World) -> Checked {
    let check = Check::new(provider, world);
    let (machine, volume) = (check.machine("m").await?, check.volume("v", 0, None).await?);
    let seal = check.seal("s", &volume).await?;
    let mut demand = Demands::none();
    demand.demand(Scope::Whole, State::Away, 4, |_| true);
    let (of_volume, of_seal) = (ObjectId::Volume(volume.id.clone()), ObjectId::Snapshot(seal.id.clone()));
    let objects = vec![of_volume.clone(), of_seal.clone(), ObjectId::Volume(VolumeId::new("v-000000000000"))];
    check.issue(&Call::Mirror { objects, demand: demand.clone(), epoch: 4 }).await?;
    let mount = Name::new("files").map_err(|error| Broken(error.to_string()))?;
    check.issue(&Call::Rename { objects: vec![of_volume, of_seal], mount: mount.clone() }).await?;
    for _ in 0..LOOKS {
        let listing = provider.describe().await.map_err(|error| Broken(error.to_string()))?;
        let volumes = listing.volumes.iter().filter(|one| one.id == volume.id).map(|one| &one.tags);
        let seals = listing.snapshots.iter().filter(|one| one.id == seal.id).map(|one| &one.tags);
        let tags: Vec<&Tags> = volumes.chain(seals).collect();
        let seen = |tags: &&Tags| {
            tags.demand.as_deref() == Some(&demand) && tags.epoch == 4 && tags.mount.as_ref() == Some(&mount)
        };
        if tags.len() == 2 && tags.iter().all(seen) {
            return check.terminate(&machine).await;
        }
        world.pass().await;
    }
    broken("the demand and the name were never seen in the listing")
}

/// What is given up is as it was and nobody's; what somebody owns cannot be claimed.
pub async fn things_are_given_up_and_claimed(provider: &dyn Provider, world: &dyn World) -> Checked {
    let check = Check::new(provider, world);
    let volume = check.volume("v", 5, None).await?;
    world.write(&volume.id, "kept");
    let other = Check::new(provider, world);
    let claim = Call::ClaimVolume { volume: volume.id.clone(), tags: other.tags(Some("data"))? };
    check.refused("a claim to what is owned", &claim).await?;
    check.issue(&Call::Disown { objects: vec![ObjectId::Volume(volume.id.clone())] }).await?;
    let listed = async || {
        let listing = provider.describe().await.map_err(|error| Broken(error.to_string()))?;
        Ok::<_, Broken>(listing.volumes.into_iter().find(|one| one.id == volume.id))
    };
    let mut looks = 0;
    while listed().await?.is_some() {
        looks += 1;
        ensure(looks < LOOKS, || "it is still listed".to_owned())?;
        world.pass().await;
    }
    other.issue(&claim).await?;
    loop {
        if let Some(found) = listed().await? {
            let kept =
                found.tags.cloud == other.cloud && found.life == 5 && world.content(&found.id) == "kept";
            return ensure(kept, || format!("what was claimed is {found:?}"));
        }
        looks += 1;
        ensure(looks < 2 * LOOKS, || "it is not listed again".to_owned())?;
        world.pass().await;
    }
}

/// A read by id of what never was answers that there is none.
pub async fn what_is_not_there_is_not_found(provider: &dyn Provider, world: &dyn World) -> Checked {
    let check = Check::new(provider, world);
    let ids = [
        ObjectId::Machine(MachineId::new("m-000000000000")),
        ObjectId::Volume(VolumeId::new("v-000000000000")),
        ObjectId::Snapshot(SnapshotId::new("s-000000000000")),
        ObjectId::Volume(VolumeId::new("../../etc")),
    ];
    for id in &ids {
        let found = check.read(id).await?;
        ensure(found.is_none(), || format!("{id} was found: {found:?}"))?;
    }
    let volume = VolumeId::new("v-000000000000");
    check.refused("a life of nothing", &Call::NewLife { volume, life: 1 }).await
}

/// A snapshot goes only by its own call, and then is gone.
pub async fn a_snapshot_is_pruned(provider: &dyn Provider, world: &dyn World) -> Checked {
    let check = Check::new(provider, world);
    let volume = check.volume("v", 0, None).await?;
    let seal = check.seal("s", &volume).await?;
    let retired = check.retire(&volume).await?;
    check.issue(&check.delete_call(&retired)?).await?;
    let id = ObjectId::Snapshot(seal.id.clone());
    ensure(check.read(&id).await?.is_some(), || "the seal went with its volume".to_owned())?;
    let permit = guard::prune(check.cloud, &seal, Ending::Everything, false);
    let permit = permit.map_err(|refusal| Broken(refusal.to_string()))?;
    check.issue(&Call::DeleteSnapshot(permit)).await?;
    check.wait("gone", &id, |object| object.is_none().then_some(())).await
}

/// A backup is taken of an attached volume, proves nothing, and is what was there.
pub async fn a_backup_is_of_a_volume_in_use(provider: &dyn Provider, world: &dyn World) -> Checked {
    let check = Check::new(provider, world);
    let (machine, volume) = (check.machine("m").await?, check.volume("v", 0, None).await?);
    let attached = check.attach(&volume.id, 1, &machine.id).await?;
    world.write(&volume.id, "in use");
    let backup = check.backup("b", &attached).await?;
    let again = check.backup("b", &attached).await?;
    ensure(backup.id == again.id, || format!("one token made {} and {}", backup.id, again.id))?;
    ensure(backup.seal.is_none() && backup.life == 1, || format!("the backup is {backup:?}"))?;
    world.write(&volume.id, "later");
    let detached = check.detach(&attached, &machine).await?;
    ensure(!guard::covers(&backup, &detached), || "a backup counts as a seal".to_owned())?;
    let stale = check.backup_call("b2", &Volume { life: 0, ..detached })?;
    check.refused("a backup of an earlier life", &stale).await?;
    let restored = check.volume("r", 1, Some(backup.id)).await?;
    let found = world.content(&restored.id);
    ensure(found == "in use", || format!("restored {found:?}"))?;
    check.terminate(&machine).await
}

/// Attached or not, a volume becomes larger, its content stays, and it is never made smaller.
pub async fn a_volume_grows_and_never_shrinks(provider: &dyn Provider, world: &dyn World) -> Checked {
    let check = Check::new(provider, world);
    let (machine, volume) = (check.machine("m").await?, check.volume("v", 0, None).await?);
    world.write(&volume.id, "kept");
    let grow = |size: u64| Call::Grow { volume: volume.id.clone(), size: Bytes(size) };
    check.issue(&grow(2 << 20)).await?;
    check.issue(&grow(2 << 20)).await?;
    check.volume_when(&volume.id, "2 MiB", |volume| volume.size == Bytes(2 << 20)).await?;
    check.refused("a smaller size", &grow(1 << 20)).await?;
    let attached = check.attach(&volume.id, 1, &machine.id).await?;
    check.issue(&grow(3 << 20)).await?;
    let larger = check.volume_when(&volume.id, "3 MiB", |volume| volume.size == Bytes(3 << 20)).await?;
    ensure(larger.attachment == attached.attachment && larger.life == 1, || format!("it is {larger:?}"))?;
    let found = world.content(&volume.id);
    ensure(found == "kept", || format!("it holds {found:?}"))?;
    check.detach(&larger, &machine).await?;
    check.terminate(&machine).await
}

/// The trial of a snapshot changes nothing that can be seen.
pub async fn a_snapshot_is_tried(provider: &dyn Provider, world: &dyn World) -> Checked {
    let check = Check::new(provider, world);
    let volume = check.volume("v", 0, None).await?;
    world.write(&volume.id, "sealed");
    let seal = check.seal("s", &volume).await?;
    let before = provider.describe().await.map_err(|error| Broken(error.to_string()))?;
    for _ in 0..2 {
        let verdict = provider.verify(&seal.id).await.map_err(|error| Broken(error.to_string()))?;
        ensure(verdict.holds(), || format!("{verdict:?}"))?;
    }
    let after = provider.describe().await.map_err(|error| Broken(error.to_string()))?;
    let same = before.volumes == after.volumes && before.snapshots == after.snapshots;
    ensure(same, || "the trial left something behind".to_owned())?;
    match provider.verify(&SnapshotId::new("s-000000000000")).await {
        Err(ProviderError::Refused { .. }) => Ok(()),
        other => broken(format!("a snapshot that is not there: {other:?}")),
    }
}
