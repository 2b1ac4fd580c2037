//! What people and other programs change at EC2, and what several tries came to: no data is lost by it.

use ideal_core::guard;
use ideal_core::id::{MachineId, Name, Token, VolumeId};
use ideal_core::ideal::{Ec2Rule, Ec2Spec, Protocol};
use ideal_core::observed::{Machine, MachineState, Report, SealKind, Snapshot, Tags};
use ideal_providers::{Answer, Call, Ec2, Object, ObjectId, Provider, ProviderError};

use crate::bed::Bed;
use crate::faults::{machine, machine_call, tags, volume, volume_call};
use crate::form::element;
use crate::layer::Fault;

fn node(index: u32) -> Call {
    Call::CreateMachine {
        token: Token::new(format!("machine-{index}")),
        tags: Tags { index: Some(index), ..tags(None) },
        image: String::new(),
        size: String::new(),
    }
}

/// What somebody else asks of EC2.
fn somebody(bed: &Bed, request: &str) -> String {
    bed.somebody("ec2", &format!("Version=2016-11-15&{request}"))
}

fn why<T: std::fmt::Debug>(answer: Result<T, ProviderError>) -> String {
    match answer {
        Err(ProviderError::Refused { why }) => why,
        other => panic!("{other:?}"),
    }
}

async fn seen(provider: &Ec2, id: &VolumeId) -> Option<Object> {
    provider.read(&ObjectId::Volume(id.clone())).await.unwrap()
}

async fn end(provider: &Ec2, made: &Machine) -> Result<Answer, ProviderError> {
    let permit = guard::terminate(made.tags.cloud, made, Some(&Report::default())).unwrap();
    provider.issue(&Call::RetireMachine(permit.clone())).await?;
    provider.issue(&Call::Terminate(permit)).await
}

async fn state(provider: &Ec2, id: &MachineId) -> MachineState {
    match provider.read(&ObjectId::Machine(id.clone())).await.unwrap() {
        Some(Object::Machine(machine)) => machine.state,
        other => panic!("{other:?}"),
    }
}

/// The first try did it and its answer was lost; that the others were refused says nothing of the first.
#[tokio::test]
async fn what_was_perhaps_done_is_not_put_off_as_undone() {
    let Some(bed) = Bed::start("careful::what_was_perhaps_done_is_not_put_off_as_undone") else { return };
    let provider = bed.provider(bed.spec());
    bed.layer.plan("RunInstances", "", Fault::Lost, 1);
    bed.layer.plan("RunInstances", "", Fault::Refused(503, "RequestLimitExceeded"), 4);
    let unknown = machine(&provider, &machine_call("", "")).await;
    assert!(matches!(unknown, Err(ProviderError::Unknown { .. })), "{unknown:?}");
    assert_eq!(bed.layer.asked("RunInstances").len(), 5);
    // A later pass finds by its tag what the first try made.
    let found = machine(&provider, &machine_call("", "")).await.unwrap();
    assert_eq!(bed.layer.asked("RunInstances").len(), 5);
    let listing = provider.describe().await.unwrap();
    assert_eq!(listing.machines.iter().map(|one| &one.id).collect::<Vec<_>>(), [&found.id]);
    assert!(bed.layer.all_met());
}

/// Somebody said of a volume that it goes with its machine, and of the machine that it is protected.
#[tokio::test]
async fn no_volume_of_ours_goes_with_its_machine() {
    let Some(bed) = Bed::start("careful::no_volume_of_ours_goes_with_its_machine") else { return };
    let provider = bed.provider(bed.spec());
    let made = machine(&provider, &machine_call("", "")).await.unwrap();
    let data = volume(&provider, &volume_call(1)).await.unwrap();
    let (id, to) = (data.id.clone(), made.id.clone());
    let mount = Name::new("data").unwrap();
    provider.issue(&Call::Attach { volume: id, life: 1, machine: to, mount }).await.unwrap();
    let attached = bed.layer.asked("AttachVolume");
    let device = attached[0].get("Device");
    let change = format!("Action=ModifyInstanceAttribute&InstanceId={}", made.id);
    somebody(
        &bed,
        &format!(
            "{change}&BlockDeviceMapping.1.DeviceName={device}&BlockDeviceMapping.1.Ebs.DeleteOnTermination=true"
        ),
    );
    let goes = || {
        let ask = format!("Action=DescribeInstances&InstanceId.1={}", made.id);
        somebody(&bed, &ask).matches("<deleteOnTermination>true").count()
    };
    let before = goes();
    somebody(&bed, &format!("{change}&DisableApiTermination.Value=true"));

    // What EC2 does not show yet could be ours.
    bed.layer.plan("DescribeVolumes", "volume-id", Fault::Empty, 1);
    let hidden = end(&provider, &made).await;
    assert!(matches!(hidden, Err(ProviderError::Retry { .. })), "{hidden:?}");
    assert!(bed.layer.asked("TerminateInstances").is_empty());

    let refused = why(end(&provider, &made).await);
    assert!(refused.contains("protected: true") && refused.contains("OperationNotPermitted"), "{refused}");
    assert_eq!(state(&provider, &made.id).await, MachineState::Running);
    assert_eq!(goes(), before - 1, "the disk that it starts from goes as before");
    let changed = bed.layer.asked("ModifyInstanceAttribute");
    assert_eq!(
        changed.iter().map(|one| one.get("BlockDeviceMapping.1.DeviceName")).collect::<Vec<_>>(),
        [device]
    );

    let protected = bed.provider(Ec2Spec { protected: true, ..bed.spec() });
    end(&protected, &made).await.unwrap();
    assert_eq!(state(&provider, &made.id).await, MachineState::Terminated);
    let Some(Object::Volume(left)) = seen(&provider, &data.id).await else { panic!("the data is gone") };
    assert_eq!(left.attachment, None);
    assert_eq!(bed.layer.wrong(), Vec::<String>::new());
}

/// A volume of a trial that a person gives to a cluster is no trial any more.
#[tokio::test]
async fn what_is_claimed_is_not_swept() {
    let Some(bed) = Bed::start("careful::what_is_claimed_is_not_swept") else { return };
    let provider = bed.provider(bed.spec());
    let made = volume(&provider, &volume_call(1)).await.unwrap();
    let permit = guard::seal(made.tags.cloud, &made).unwrap();
    let (token, of) = (Token::new("seal"), tags(Some("data")));
    let seal = provider.issue(&Call::Seal { permit, token, tags: of, kind: SealKind::Clean }).await.unwrap();
    let Answer::Made(Object::Snapshot(Snapshot { id: snapshot, .. })) = seal else { panic!("{seal:?}") };
    let trial = || {
        let text = somebody(
            &bed,
            "Action=CreateVolume&AvailabilityZone=eu-west-1a&Size=1&TagSpecification.1.ResourceType=volume\
             &TagSpecification.1.Tag.1.Key=ideal:trial&TagSpecification.1.Tag.1.Value=snap-1\
             &TagSpecification.1.Tag.2.Key=ideal:retired&TagSpecification.1.Tag.2.Value=trial",
        );
        VolumeId::new(element(&text, "volumeId").unwrap())
    };
    let count = |id: &VolumeId| {
        let text = somebody(&bed, &format!("Action=DescribeVolumes&VolumeId.1={id}"));
        (text.matches("ideal:trial").count(), text.matches("ideal:retired").count())
    };
    let (claimed, left) = (trial(), trial());
    assert_eq!(count(&claimed), (1, 1));
    let claim = Call::ClaimVolume { volume: claimed.clone(), tags: tags(Some("claimed")) };
    // The first time ends half way.
    bed.layer.plan("DeleteTags", "", Fault::Refused(400, "UnauthorizedOperation"), 1);
    why(provider.issue(&claim).await);
    assert_eq!(count(&claimed), (1, 1));
    provider.issue(&claim).await.unwrap();
    assert_eq!(count(&claimed), (0, 0));

    // Should the mark come back, what is owned stays; and that another trial removed the rest is no fault.
    somebody(
        &bed,
        &format!("Action=CreateTags&ResourceId.1={claimed}&Tag.1.Key=ideal:trial&Tag.1.Value=snap-1"),
    );
    let year = &jiff::Timestamp::now().to_string()[..4];
    let old = Fault::Says(format!("<createTime>{year}").leak(), "<createTime>2020");
    bed.layer.plan("DescribeVolumes", "ideal%3Atrial", old, 1);
    bed.layer.plan("DeleteVolume", left.as_str(), Fault::Refused(400, "InvalidVolume.NotFound"), 1);
    assert!(provider.verify(&snapshot).await.unwrap().holds());
    assert!(seen(&provider, &claimed).await.is_some(), "it was deleted");
    assert!(bed.layer.asked("DeleteVolume").iter().all(|one| one.get("VolumeId") != claimed.as_str()));
    assert!(bed.layer.all_met());
}

/// A zone that the region does not have is named before anything is made; and what a slot has already goes before a
/// file that now says another zone.
#[tokio::test]
async fn zones_are_asked_for_and_what_is_there_counts() {
    let Some(bed) = Bed::start("careful::zones_are_asked_for_and_what_is_there_counts") else { return };
    let zones = |names: &[&str]| {
        let zones = names.iter().map(|name| (*name).to_owned()).collect();
        bed.provider(Ec2Spec { zones, ..bed.spec() })
    };
    let refused = why(zones(&["eu-west-1a", "eu-west-9z"]).reachable().await);
    assert!(refused.contains("zone eu-west-9z is not in eu-west-1"), "{refused}");
    assert_eq!(zones(&["eu-west-1a", "eu-west-1b"]).reachable().await.unwrap(), "eu-west-1");
    assert_eq!(bed.layer.asked("DescribeAvailabilityZones").len(), 2);

    machine(&zones(&["eu-west-1b"]), &machine_call("", "")).await.unwrap();
    volume(&zones(&["eu-west-1a"]), &volume_call(1)).await.unwrap();
    assert_eq!(bed.layer.asked("CreateVolume")[0].get("AvailabilityZone"), "eu-west-1b");
    assert_eq!(bed.layer.wrong(), Vec::<String>::new());
}

/// A group is used when it is ours and lets in what the file says, no less and no more.
#[tokio::test]
async fn a_group_that_somebody_changed_is_not_used() {
    let Some(bed) = Bed::start("careful::a_group_that_somebody_changed_is_not_used") else { return };
    let rule = |from: &str, port| Ec2Rule { from: from.to_owned(), port, to: None, protocol: Protocol::Tcp };
    // EC2 shows the first as 10.1.0.0/16.
    let rules = vec![rule("10.1.2.3/16", 22), rule("2001:db8::/32", 443)];
    let spec = Ec2Spec { rules, ..bed.spec() };
    // It was written a moment ago by somebody whose answer was lost, or is not known everywhere yet.
    bed.layer.plan("RunInstances", "", Fault::Refused(400, "InvalidGroup.NotFound"), 1);
    let provider = bed.provider(spec.clone());
    let early = machine(&provider, &node(0)).await;
    assert!(matches!(early, Err(ProviderError::Retry { .. })), "{early:?}");
    machine(&provider, &node(0)).await.unwrap();
    machine(&bed.provider(spec.clone()), &node(1)).await.unwrap();
    let made = bed.layer.asked("CreateSecurityGroup");
    let [first] = &made[..] else { panic!("{made:?}") };
    assert_eq!(bed.layer.asked("AuthorizeSecurityGroupIngress").len(), 1);

    let group = bed.layer.asked("RunInstances")[0].get("SecurityGroupId.1").to_owned();
    somebody(
        &bed,
        &format!(
            "Action=AuthorizeSecurityGroupIngress&GroupId={group}&IpPermissions.1.IpProtocol=tcp\
             &IpPermissions.1.FromPort=23&IpPermissions.1.ToPort=23&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0"
        ),
    );
    let refused = why(machine(&bed.provider(spec.clone()), &node(2)).await);
    assert!(refused.contains(&group) && refused.contains("tcp 0.0.0.0/0 23-23"), "{refused}");

    // Elsewhere it is another group, and that its rules are there already is no fault.
    let text = somebody(&bed, "Action=CreateVpc&CidrBlock=10.9.0.0/16");
    let network = element(&text, "vpcId").unwrap().to_owned();
    let other = bed.provider(Ec2Spec { network: Some(network), ..spec });
    bed.layer.plan(
        "AuthorizeSecurityGroupIngress",
        "",
        Fault::Refused(400, "InvalidPermission.Duplicate"),
        1,
    );
    machine(&other, &node(3)).await.unwrap();
    let made = bed.layer.asked("CreateSecurityGroup");
    assert_eq!(made.len(), 2);
    assert_ne!(made[1].get("GroupName"), first.get("GroupName"));
    assert!(bed.layer.all_met());
    assert_eq!(bed.layer.wrong(), Vec::<String>::new());
}
