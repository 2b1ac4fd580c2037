//! What EC2 does at its worst, each by name. That EC2 does it just so is our reading of its documents.

use ideal_core::guard;
use ideal_core::id::{CloudId, Name, Token};
use ideal_core::ideal::Ec2Spec;
use ideal_core::observed::{Machine, SealKind, Snapshot, Tags, Volume};
use ideal_core::time::Bytes;
use ideal_providers::{Answer, Call, Ec2, Object, ObjectId, Provider, ProviderError};

use crate::bed::Bed;
use crate::layer::Fault;

const CLOUD: &str = "5f0c6f2e-0000-4000-8000-00000000000a";

pub(crate) fn tags(mount: Option<&str>) -> Tags {
    Tags {
        cloud: CLOUD.parse::<CloudId>().unwrap(),
        index: Some(0),
        mount: mount.map(|name| Name::new(name).unwrap()),
        generation: 1,
        token: None,
        demand: None,
        epoch: 1,
    }
}

pub(crate) fn machine_call(image: &str, size: &str) -> Call {
    let (token, tags) = (Token::new(format!("{CLOUD}/0/machine/1")), tags(None));
    Call::CreateMachine { token, tags, image: image.to_owned(), size: size.to_owned() }
}

pub(crate) fn volume_call(gib: u64) -> Call {
    let (token, tags) = (Token::new(format!("{CLOUD}/0/volume/1")), tags(Some("data")));
    Call::CreateVolume { token, tags, size: Bytes(gib << 30), life: 1, from: None }
}

pub(crate) async fn machine(provider: &Ec2, call: &Call) -> Result<Machine, ProviderError> {
    match provider.issue(call).await? {
        Answer::Made(Object::Machine(machine)) => Ok(machine),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn volume(provider: &Ec2, call: &Call) -> Result<Volume, ProviderError> {
    match provider.issue(call).await? {
        Answer::Made(Object::Volume(volume)) => Ok(volume),
        other => panic!("{other:?}"),
    }
}

fn is_retry<T>(answer: &Result<T, ProviderError>) -> bool {
    matches!(answer, Err(ProviderError::Retry { .. }))
}

/// A token makes the repetition safe; without one it is said that nobody knows.
#[tokio::test]
async fn a_lost_answer_makes_nothing_twice() {
    let Some(bed) = Bed::start("faults::a_lost_answer_makes_nothing_twice") else { return };
    let provider = bed.provider(bed.spec());
    bed.layer.plan("RunInstances", "", Fault::Lost, 2);
    bed.layer.plan("CreateVolume", "", Fault::Lost, 1);
    bed.layer.plan("CreateSnapshot", "", Fault::Lost, 1);
    bed.layer.plan("AttachVolume", "", Fault::Lost, 1);
    let machine = machine(&provider, &machine_call("", "")).await.unwrap();
    let volume = volume(&provider, &volume_call(2)).await.unwrap();

    let permit = guard::seal(volume.tags.cloud, &volume).unwrap();
    let (token, tags) = (Token::new("seal"), tags(Some("data")));
    let seal = Call::Seal { permit, token, tags, kind: SealKind::Clean };
    let unknown = provider.issue(&seal).await;
    assert!(matches!(unknown, Err(ProviderError::Unknown { .. })), "{unknown:?}");
    let again = provider.issue(&seal).await.unwrap();
    let Answer::Made(Object::Snapshot(Snapshot { id, .. })) = again else { panic!("{again:?}") };

    let attach = Call::Attach {
        volume: volume.id.clone(),
        life: 1,
        machine: machine.id.clone(),
        mount: Name::new("data").unwrap(),
    };
    let unknown = provider.issue(&attach).await;
    assert!(matches!(unknown, Err(ProviderError::Unknown { .. })), "{unknown:?}");

    let listing = provider.describe().await.unwrap();
    assert_eq!(listing.machines.iter().map(|one| &one.id).collect::<Vec<_>>(), [&machine.id]);
    assert_eq!(listing.snapshots.iter().map(|one| &one.id).collect::<Vec<_>>(), [&id]);
    let [found] = &listing.volumes[..] else { panic!("{:?}", listing.volumes) };
    assert_eq!(found.attachment.as_ref().unwrap().machine, machine.id, "it was done");
    assert!(bed.layer.all_met());
}

/// What is listed late is known by its token, and a token for something else is refused all the same.
#[tokio::test]
async fn a_listing_that_lags_behind_makes_nothing_twice() {
    let Some(bed) = Bed::start("faults::a_listing_that_lags_behind_makes_nothing_twice") else { return };
    let provider = bed.provider(bed.spec());
    let first = machine(&provider, &machine_call("", "")).await.unwrap();
    let made = volume(&provider, &volume_call(2)).await.unwrap();
    let stale = |action| bed.layer.plan(action, "tag%3Aideal%3Atoken", Fault::Empty, 1);
    stale("DescribeInstances");
    assert_eq!(machine(&provider, &machine_call("", "")).await.unwrap().id, first.id);
    stale("DescribeVolumes");
    assert_eq!(volume(&provider, &volume_call(2)).await.unwrap().id, made.id);
    stale("DescribeInstances");
    let other = machine(&provider, &machine_call("another-image", "")).await;
    assert_eq!(other, Err(ProviderError::TokenTaken));
    stale("DescribeInstances");
    assert_eq!(machine(&provider, &machine_call("", "8cpu")).await, Err(ProviderError::TokenTaken));
    stale("DescribeVolumes");
    assert_eq!(volume(&provider, &volume_call(3)).await, Err(ProviderError::TokenTaken));
    assert!(bed.layer.all_met());
}

#[tokio::test]
async fn too_many_requests_are_waited_for_and_then_put_off() {
    let Some(bed) = Bed::start("faults::too_many_requests_are_waited_for_and_then_put_off") else { return };
    let provider = bed.provider(bed.spec());
    let throttled = Fault::Refused(503, "RequestLimitExceeded");
    bed.layer.plan("CreateVolume", "", throttled.clone(), 3);
    volume(&provider, &volume_call(1)).await.unwrap();
    assert_eq!(bed.layer.counted()["CreateVolume"], 4);
    bed.layer.plan("DescribeSnapshots", "", throttled, 5);
    assert!(is_retry(&provider.describe().await));
    assert_eq!(bed.layer.counted()["DescribeSnapshots"], 5);
    // What is only asked may be asked again when EC2 is not well; what is not known is not done again.
    bed.layer.plan("DescribeVolumes", "", Fault::Refused(500, "InternalError"), 1);
    bed.layer.plan("DescribeInstances", "", Fault::Dropped, 1);
    assert!(provider.describe().await.unwrap().complete);
    assert!(bed.layer.all_met());
}

/// Another type in the same zone, then another zone; and where there is data, no other zone.
#[tokio::test]
async fn no_room_is_never_found_at_the_cost_of_data() {
    let Some(bed) = Bed::start("faults::no_room_is_never_found_at_the_cost_of_data") else { return };
    let zones = vec!["eu-west-1a".to_owned(), "eu-west-1b".to_owned()];
    let types = vec!["m6i.large".to_owned(), "m5.large".to_owned()];
    let spec = Ec2Spec { zones, types, ..bed.spec() };
    let full = Fault::Refused(500, "InsufficientInstanceCapacity");

    let provider = bed.provider(spec.clone());
    bed.layer.plan("RunInstances", "eu-west-1a", full.clone(), 2);
    let made = machine(&provider, &machine_call("", "")).await.unwrap();
    let tried: Vec<_> = bed.layer.asked("RunInstances");
    let tried: Vec<_> =
        tried.iter().map(|one| (one.get("Placement.AvailabilityZone"), one.get("InstanceType"))).collect();
    assert_eq!(tried, [("eu-west-1a", "m6i.large"), ("eu-west-1a", "m5.large"), ("eu-west-1b", "m6i.large")]);
    // Its token is known although it went out under another one.
    assert_eq!(machine(&provider, &machine_call("", "")).await.unwrap().id, made.id);
    assert_eq!(bed.layer.asked("RunInstances").len(), 3);
    // Its volume goes where it is.
    volume(&provider, &volume_call(1)).await.unwrap();
    assert_eq!(bed.layer.asked("CreateVolume")[0].get("AvailabilityZone"), "eu-west-1b");

    // The next machine of the slot goes to the volume, or nowhere.
    bed.somebody("ec2", &format!("Action=TerminateInstances&Version=2016-11-15&InstanceId.1={}", made.id));
    bed.layer.plan("RunInstances", "eu-west-1b", full, 2);
    let next = Call::CreateMachine {
        token: Token::new("next"),
        tags: Tags { generation: 2, ..tags(None) },
        image: String::new(),
        size: String::new(),
    };
    assert!(is_retry(&machine(&provider, &next).await));
    let tried = bed.layer.asked("RunInstances");
    assert!(tried[3..].iter().all(|one| one.get("Placement.AvailabilityZone") == "eu-west-1b"), "{tried:?}");
    assert_eq!(tried.len(), 5);
    machine(&provider, &next).await.unwrap();
    assert!(bed.layer.all_met());
}

#[tokio::test]
async fn a_page_that_is_missing_is_told() {
    let Some(bed) = Bed::start("faults::a_page_that_is_missing_is_told") else { return };
    let provider = bed.provider(bed.spec());
    for name in ["a", "b", "c"] {
        let (token, tags) = (Token::new(name), tags(Some(name)));
        let call = Call::CreateVolume { token, tags, size: Bytes(1 << 30), life: 0, from: None };
        volume(&provider, &call).await.unwrap();
    }
    bed.layer.in_pages_of(2);
    let whole = provider.describe().await.unwrap();
    assert_eq!((whole.complete, whole.volumes.len()), (true, 3));
    bed.layer.plan("DescribeVolumes", "NextToken", Fault::Refused(400, "UnauthorizedOperation"), 1);
    let part = provider.describe().await.unwrap();
    assert_eq!((part.complete, part.volumes.len()), (false, 2));
    bed.layer.plan("DescribeVolumes", "", Fault::Refused(400, "UnauthorizedOperation"), 1);
    let nothing = provider.describe().await;
    assert!(matches!(&nothing, Err(ProviderError::Refused { why }) if why.contains("UnauthorizedOperation")));
    assert!(bed.layer.all_met());
}

/// States that come late are waited for, and a state that does not fit is no reason to give up.
#[tokio::test]
async fn what_is_not_ready_yet_is_tried_later() {
    let Some(bed) = Bed::start("faults::what_is_not_ready_yet_is_tried_later") else { return };
    let provider = bed.provider(bed.spec());
    let (machine, volume) = (
        machine(&provider, &machine_call("", "")).await.unwrap(),
        volume(&provider, &volume_call(1)).await.unwrap(),
    );
    let late = Fault::Says("<name>running</name>", "<name>pending</name>");
    bed.layer.plan("DescribeInstances", "InstanceId.1", late, 1);
    let attach = Call::Attach {
        volume: volume.id.clone(),
        life: 1,
        machine: machine.id.clone(),
        mount: Name::new("data").unwrap(),
    };
    assert!(matches!(provider.issue(&attach).await, Err(ProviderError::Refused { .. })));
    bed.layer.plan("AttachVolume", "", Fault::Refused(400, "IncorrectState"), 1);
    assert!(is_retry(&provider.issue(&attach).await));
    assert_eq!(provider.issue(&attach).await, Ok(Answer::Accepted));
    // Credentials that are too old are asked for anew.
    bed.layer.plan("DescribeVolumes", "", Fault::Refused(400, "RequestExpired"), 1);
    let read = provider.read(&ObjectId::Volume(volume.id.clone())).await.unwrap();
    assert!(matches!(read, Some(Object::Volume(found)) if found.attachment.is_some()));
    // What is busy is still attached.
    bed.layer.plan(
        "DescribeVolumes",
        "",
        Fault::Says("<status>attached</status>", "<status>busy</status>"),
        1,
    );
    let Some(Object::Volume(busy)) = provider.read(&ObjectId::Volume(volume.id)).await.unwrap() else {
        panic!()
    };
    assert!(guard::seal(busy.tags.cloud, &busy).is_err());
    assert!(bed.layer.all_met());
}

/// A trial that was broken off long ago leaves nothing; one of a moment ago may still be under way.
#[tokio::test]
async fn what_a_broken_off_trial_left_is_removed() {
    let Some(bed) = Bed::start("faults::what_a_broken_off_trial_left_is_removed") else { return };
    let provider = bed.provider(bed.spec());
    let made = volume(&provider, &volume_call(1)).await.unwrap();
    let permit = guard::seal(made.tags.cloud, &made).unwrap();
    let (token, tags) = (Token::new("seal"), tags(Some("data")));
    let seal = provider.issue(&Call::Seal { permit, token, tags, kind: SealKind::Clean }).await.unwrap();
    let Answer::Made(Object::Snapshot(Snapshot { id, .. })) = seal else { panic!("{seal:?}") };
    let left = "CreateVolume&Version=2016-11-15&AvailabilityZone=eu-west-1a&Size=1\
                &TagSpecification.1.ResourceType=volume&TagSpecification.1.Tag.1.Key=ideal:trial\
                &TagSpecification.1.Tag.1.Value=snap-1";
    bed.somebody("ec2", &format!("Action={left}"));
    let trials = || {
        let ask =
            "Action=DescribeVolumes&Version=2016-11-15&Filter.1.Name=tag-key&Filter.1.Value.1=ideal:trial";
        bed.somebody("ec2", ask).matches("<volumeId>").count()
    };
    assert!(provider.verify(&id).await.unwrap().holds());
    assert_eq!(trials(), 1, "it may be under way");
    let year = &jiff::Timestamp::now().to_string()[..4];
    let (truth, long_ago) = (format!("<createTime>{year}"), "<createTime>2020");
    let said = Fault::Says(truth.leak(), long_ago);
    bed.layer.plan("DescribeVolumes", "ideal%3Atrial", said, 1);
    assert!(provider.verify(&id).await.unwrap().holds());
    assert_eq!(trials(), 0);
    assert!(bed.layer.all_met());
}
