//! Machines that are asked for together: made by one request, each born with its slot, none twice and none nobody's.

use std::collections::{BTreeMap, BTreeSet};

use ideal_core::id::Token;
use ideal_core::ideal::Ec2Spec;
use ideal_core::observed::{Machine, Tags};
use ideal_providers::{Answer, Call, Ec2, Object, Provider, ProviderError};

use crate::bed::Bed;
use crate::faults::tags;
use crate::layer::Fault;

fn node(index: u32, generation: u32, image: &str) -> Call {
    Call::CreateMachine {
        token: Token::new(format!("machine-{index}-{generation}")),
        tags: Tags { index: Some(index), generation, ..tags(None) },
        image: image.to_owned(),
        size: String::new(),
    }
}

fn nodes(indices: impl IntoIterator<Item = u32>) -> Vec<Call> {
    indices.into_iter().map(|index| node(index, 1, "")).collect()
}

type Asked = Vec<Result<Machine, ProviderError>>;

async fn ask(provider: &Ec2, calls: &[Call]) -> Asked {
    let answers = provider.issue_together(calls).await;
    let machine = |answer| match answer {
        Answer::Made(Object::Machine(machine)) => machine,
        other => panic!("{other:?}"),
    };
    answers.into_iter().map(|answer| answer.map(machine)).collect()
}

/// The machines of each slot that are not over.
async fn seen(provider: &Ec2) -> BTreeMap<Option<u32>, Vec<Machine>> {
    let mut seen: BTreeMap<Option<u32>, Vec<Machine>> = BTreeMap::new();
    for machine in provider.describe().await.unwrap().machines {
        if !machine.state.is_over() {
            seen.entry(machine.tags.index).or_default().push(machine);
        }
    }
    seen
}

/// One of each, and no other.
async fn one_of_each(provider: &Ec2, count: u32) {
    let seen = seen(provider).await;
    assert_eq!(seen.keys().copied().collect::<Vec<_>>(), (0..count).map(Some).collect::<Vec<_>>());
    assert!(seen.values().all(|machines| machines.len() == 1), "{seen:?}");
}

fn is_retry(answer: &Result<Machine, ProviderError>) -> bool {
    matches!(answer, Err(ProviderError::Retry { .. }))
}

/// One request, and each machine has the slot that it was answered for.
#[tokio::test]
async fn a_batch_is_one_request_and_each_machine_has_its_slot() {
    let Some(bed) = Bed::without_images("batch::a_batch_is_one_request_and_each_machine_has_its_slot") else {
        return;
    };
    let provider = bed.provider(bed.spec());
    // In whatever order they are asked for.
    let calls = nodes([2, 0, 1, 5, 6]);
    let made = ask(&provider, &calls).await;
    let counted = bed.layer.counted();
    assert_eq!(counted["RunInstances"], 1);
    assert_eq!(counted.get("CreateTags"), None);
    assert!(counted.values().sum::<u32>() <= 5, "{counted:?}");
    let run = &bed.layer.asked("RunInstances")[0];
    assert_eq!((run.get("MinCount"), run.get("MaxCount")), ("1", "5"));
    let listed = seen(&provider).await;
    for (call, machine) in calls.iter().zip(&made) {
        let Call::CreateMachine { tags, .. } = call else { panic!() };
        let machine = machine.as_ref().unwrap();
        assert_eq!(machine.tags.index, tags.index);
        let [own] = &listed[&tags.index][..] else { panic!("{listed:?}") };
        assert_eq!((&own.id, own.tags.generation), (&machine.id, 1));
        let read = provider.read(&ideal_providers::ObjectId::Machine(own.id.clone())).await.unwrap();
        assert_eq!(read, Some(Object::Machine(own.clone())), "read by its id it has its slot too");
    }
    // The same wish is the same machine, alone or with others.
    let again = ask(&provider, &nodes([0])).await;
    assert_eq!(again[0].as_ref().unwrap().id, listed[&Some(0)][0].id);
    let more = ask(&provider, &nodes([1, 3, 4])).await;
    assert_eq!(more[0].as_ref().unwrap().id, listed[&Some(1)][0].id);
    one_of_each(&provider, 7).await;
    // Another wish under the token is none.
    let other = ask(&provider, &[node(0, 1, "another-image"), node(3, 1, "another-image")]).await;
    assert_eq!(other, vec![Err(ProviderError::TokenTaken), Err(ProviderError::TokenTaken)]);
    assert_eq!(bed.layer.wrong(), Vec::<String>::new());
}

/// The answer is lost each time; what the batch made is found by its tags, by whomever.
#[tokio::test]
async fn a_batch_whose_answer_was_lost_is_found() {
    let Some(bed) = Bed::without_images("batch::a_batch_whose_answer_was_lost_is_found") else { return };
    let provider = bed.provider(bed.spec());
    bed.layer.plan("RunInstances", "", Fault::Lost, 1);
    bed.layer.plan("RunInstances", "", Fault::Dropped, 4);
    let lost = ask(&provider, &nodes(0..4)).await;
    assert!(lost.iter().all(|one| matches!(one, Err(ProviderError::Unknown { .. }))), "{lost:?}");
    assert_eq!(bed.layer.counted()["RunInstances"], 5);
    one_of_each(&provider, 4).await;
    // Who comes later asks for what is seen to lack, and for others besides.
    let later = bed.provider(bed.spec());
    let found = ask(&later, &nodes([1, 3, 4, 5])).await;
    assert!(found.iter().all(Result::is_ok), "{found:?}");
    assert_eq!(bed.layer.asked("RunInstances").last().unwrap().get("MaxCount"), "2");
    one_of_each(&later, 6).await;
    // Asked for again before EC2 shows any: EC2's own token answers.
    bed.layer.plan("DescribeInstances", "", Fault::Empty, 2);
    let same = ask(&bed.provider(bed.spec()), &nodes(0..4)).await;
    assert!(same.iter().all(Result::is_ok), "{same:?}");
    one_of_each(&later, 6).await;
    assert!(bed.layer.all_met());
}

/// EC2 shows some of a batch before the others: those are waited for, not made again.
#[tokio::test]
async fn who_is_not_shown_yet_is_not_made_again() {
    let Some(bed) = Bed::without_images("batch::who_is_not_shown_yet_is_not_made_again") else { return };
    let provider = bed.provider(bed.spec());
    let made = ask(&provider, &nodes(0..3)).await;
    let hidden = made[1].as_ref().unwrap().id.to_string();
    let hides = Fault::Says("<amiLaunchIndex>1</amiLaunchIndex>", "<amiLaunchIndex>77</amiLaunchIndex>");
    bed.layer.plan("DescribeInstances", "ideal%3Abatch", hides, 1);
    let early = ask(&bed.provider(bed.spec()), &nodes([1])).await;
    assert!(is_retry(&early[0]), "{early:?}");
    let found = ask(&bed.provider(bed.spec()), &nodes([1])).await;
    assert_eq!(found[0].as_ref().unwrap().id.to_string(), hidden);
    one_of_each(&provider, 3).await;
    assert!(bed.layer.all_met());
}

/// What finds no room goes to the next type and the next zone, and only that.
#[tokio::test]
async fn what_finds_no_room_is_made_elsewhere() {
    let Some(bed) = Bed::without_images("batch::what_finds_no_room_is_made_elsewhere") else { return };
    let types = vec!["m6i.large".to_owned(), "m5.large".to_owned()];
    let spec = Ec2Spec { types, ..bed.spec() };
    let provider = bed.provider(spec.clone());
    bed.layer.plan("RunInstances", "m6i.large", Fault::Room(3), 1);
    bed.layer.plan("RunInstances", "m5.large", Fault::Room(2), 1);
    let made = ask(&provider, &nodes(0..6)).await;
    assert!(made[..5].iter().all(Result::is_ok) && is_retry(&made[5]), "{made:?}");
    let tried = bed.layer.asked("RunInstances");
    let tried: Vec<_> = tried.iter().map(|one| (one.get("InstanceType"), one.get("MaxCount"))).collect();
    assert_eq!(tried, [("m6i.large", "6"), ("m5.large", "3")]);
    // It was in the lists of two batches of a moment ago, so it is waited for before it is made alone.
    let early = ask(&bed.provider(spec.clone()), &nodes([5])).await;
    assert!(is_retry(&early[0]), "{early:?}");
    let year = &jiff::Timestamp::now().to_string()[..4];
    let long_ago = Fault::Says(format!("<launchTime>{year}").leak(), "<launchTime>2020");
    bed.layer.plan("DescribeInstances", "ideal%3Abatch", long_ago, 1);
    let late = ask(&bed.provider(spec), &nodes([5])).await;
    assert!(late[0].is_ok(), "{late:?}");
    one_of_each(&provider, 6).await;
    assert!(bed.layer.all_met());
}

/// The account allows fewer: as many are made as it allows.
#[tokio::test]
async fn as_many_are_made_as_the_account_allows() {
    let Some(bed) = Bed::without_images("batch::as_many_are_made_as_the_account_allows") else { return };
    let provider = bed.provider(bed.spec());
    let limit = Fault::Refused(400, "VcpuLimitExceeded");
    bed.layer.plan("RunInstances", "MaxCount=4", limit.clone(), 1);
    bed.layer.plan("RunInstances", "machine-2-1", limit, 1);
    let made = ask(&provider, &nodes(0..4)).await;
    assert!(made[0].is_ok() && made[1].is_ok(), "{made:?}");
    for refused in &made[2..] {
        assert!(
            matches!(refused, Err(ProviderError::Refused { why }) if why.contains("VcpuLimit")),
            "{made:?}"
        );
    }
    assert_eq!(bed.layer.counted()["RunInstances"], 4);
    one_of_each(&provider, 2).await;
    assert!(bed.layer.all_met());
}

/// Nodes of several zones, and one whose data is elsewhere, are batches of their own; and a generation that is used up
/// stays so.
#[tokio::test]
async fn zones_and_generations_are_kept_apart() {
    let Some(bed) = Bed::without_images("batch::zones_and_generations_are_kept_apart") else { return };
    let zones = vec!["eu-west-1a".to_owned(), "eu-west-1b".to_owned()];
    let spec = Ec2Spec { zones, ..bed.spec() };
    let provider = bed.provider(spec.clone());
    let volume = crate::faults::volume(&provider, &crate::faults::volume_call(1)).await.unwrap();
    assert_eq!(volume.tags.index, Some(0));
    let made = ask(&provider, &nodes(0..6)).await;
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    let runs: BTreeSet<(String, String)> = bed
        .layer
        .asked("RunInstances")
        .iter()
        .map(|one| (one.get("Placement.AvailabilityZone").to_owned(), one.get("MaxCount").to_owned()))
        .collect();
    // Node 0 alone, for it has only one zone to be in.
    let expected = [("eu-west-1a", "1"), ("eu-west-1a", "2"), ("eu-west-1b", "3")];
    assert_eq!(runs, expected.map(|(zone, count)| (zone.to_owned(), count.to_owned())).into());
    // The volume of a node that was made with others goes where that is.
    let zone = |index: u32| {
        let token = Token::new(format!("volume-{index}"));
        let tags = Tags { index: Some(index), ..tags(Some("data")) };
        Call::CreateVolume { token, tags, size: ideal_core::time::Bytes(1 << 30), life: 0, from: None }
    };
    crate::faults::volume(&bed.provider(spec), &zone(3)).await.unwrap();
    assert_eq!(bed.layer.asked("CreateVolume")[1].get("AvailabilityZone"), "eu-west-1b");

    let ended = made[1].as_ref().unwrap();
    bed.somebody("ec2", &format!("Action=TerminateInstances&Version=2016-11-15&InstanceId.1={}", ended.id));
    let over = ask(&provider, &[node(1, 1, ""), node(1, 2, "")]).await;
    assert!(over[0].as_ref().unwrap().state.is_over(), "{over:?}");
    assert!(!over[1].as_ref().unwrap().state.is_over(), "{over:?}");
    one_of_each(&provider, 6).await;
    assert_eq!(bed.layer.wrong(), Vec::<String>::new());
}

/// One request in sixteen goes wrong, of whatever kind.
#[tokio::test]
async fn a_batch_in_bad_weather_is_whole_in_the_end() {
    let Some(bed) = Bed::without_images("batch::a_batch_in_bad_weather_is_whole_in_the_end") else { return };
    let provider = bed.provider(bed.spec());
    bed.layer.is_stormy();
    for round in 1..=6 {
        // Nodes are ended by somebody, a third of them each time, and asked for again in their next generation.
        let calls: Vec<Call> = (0..12)
            .filter(|index| round == 1 || index % 3 == round % 3)
            .map(|index| node(index, round, ""))
            .collect();
        for old in provider.describe().await.unwrap().machines {
            if !old.state.is_over()
                && calls.iter().any(
                    |call| matches!(call, Call::CreateMachine { tags, .. } if tags.index == old.tags.index),
                )
            {
                bed.somebody(
                    "ec2",
                    &format!("Action=TerminateInstances&Version=2016-11-15&InstanceId.1={}", old.id),
                );
            }
        }
        let mut all = Vec::new();
        for _ in 0..5 {
            all = ask(&provider, &calls).await;
            if all.iter().all(Result::is_ok) {
                break;
            }
        }
        assert!(all.iter().all(Result::is_ok), "{all:?}");
    }
    let listed = loop {
        let listing = provider.describe().await.unwrap();
        if listing.complete {
            break listing;
        }
    };
    let alive: Vec<Option<u32>> =
        listed.machines.iter().filter(|own| !own.state.is_over()).map(|own| own.tags.index).collect();
    let distinct: BTreeSet<Option<u32>> = alive.iter().copied().collect();
    assert_eq!((alive.len(), distinct), (12, (0..12).map(Some).collect()));
    assert_eq!(bed.layer.wrong(), Vec::<String>::new());
}
