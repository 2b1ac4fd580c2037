//! What a file can say of machines and volumes, and that credentials are found as every program of AWS finds them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ideal_core::guard;
use ideal_core::id::Token;
use ideal_core::ideal::{Ec2Rule, Ec2Spec, Protocol};
use ideal_core::observed::{MachineState, Report, Tags};
use ideal_providers::{Call, Ec2, Object, ObjectId, Provider, ProviderError};

use crate::bed::{Bed, alone};
use crate::faults::{machine, machine_call, volume, volume_call};

/// A machine for this node.
fn numbered(index: u32, image: &str) -> Call {
    Call::CreateMachine {
        token: Token::new(format!("machine-{index}")),
        tags: Tags { index: Some(index), ..crate::faults::tags(None) },
        image: image.to_owned(),
        size: String::new(),
    }
}

/// Each setting reaches EC2, in fields that its service model knows.
#[tokio::test]
async fn what_the_file_says_reaches_ec2() {
    let Some(bed) = Bed::start("usual::what_the_file_says_reaches_ec2") else { return };
    bed.somebody("iam", "Action=CreateInstanceProfile&Version=2010-05-08&InstanceProfileName=node");
    let rule = |from: &str, port, to, protocol| Ec2Rule { from: from.to_owned(), port, to, protocol };
    let spec = Ec2Spec {
        image: Some("amazon-linux-2023".to_owned()),
        key: Some("ours".to_owned()),
        public_key: Some(
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f ours"
                .to_owned(),
        ),
        rules: vec![
            rule("10.0.0.0/8", 22, None, Protocol::Tcp),
            rule("0.0.0.0/0", 8000, Some(8010), Protocol::Udp),
        ],
        user_data: Some("#!/bin/sh\necho ideal\n".to_owned()),
        instance_profile: Some("node".to_owned()),
        protected: true,
        ..bed.spec()
    };
    let provider = bed.provider(spec.clone());
    let made = machine(&provider, &machine_call("", "4cpu 8GiB")).await.unwrap();
    let run = &bed.layer.asked("RunInstances")[0];
    assert_eq!((run.get("InstanceType"), run.get("KeyName")), ("c6i.xlarge", "ours"));
    let user_data = BASE64_STANDARD.decode(run.get("UserData")).unwrap();
    assert_eq!(user_data, b"#!/bin/sh\necho ideal\n");
    assert_eq!(run.get("DisableApiTermination"), "true");
    assert_eq!(run.get("IamInstanceProfile.Name"), "node");
    assert_eq!((made.image.as_str(), made.size.as_str()), ("", "4cpu 8GiB"));

    let group = format!(
        "Action=DescribeSecurityGroups&Version=2016-11-15&GroupId.1={}",
        run.get("SecurityGroupId.1")
    );
    let group = bed.somebody("ec2", &group);
    for said in
        ["<fromPort>22</fromPort>", "<toPort>8010</toPort>", "<ipProtocol>udp</ipProtocol>", "10.0.0.0/8"]
    {
        assert!(group.contains(said), "{said}: {group}");
    }
    let volume = volume(&provider, &volume_call(3)).await.unwrap();
    let asked = &bed.layer.asked("CreateVolume")[0];
    assert_eq!((asked.get("Encrypted"), asked.get("VolumeType"), asked.get("Size")), ("true", "gp3", "3"));
    assert_eq!(volume.size.to_string(), "3GiB");

    // Another run of the program makes neither group nor key again.
    let later = bed.provider(spec);
    let next = numbered(1, "");
    machine(&later, &next).await.unwrap();
    let made_once = ["CreateSecurityGroup", "AuthorizeSecurityGroupIngress", "ImportKeyPair"];
    for action in made_once {
        assert_eq!(bed.layer.asked(action).len(), 1, "{action}");
    }
    // Several at once ask once what the word for the image means.
    let calls: Vec<Call> = (2..6).map(|index| numbered(index, "amazon-linux-2023")).collect();
    let before = bed.layer.asked("DescribeImages").len();
    let several = bed.provider(bed.spec());
    let all: Vec<_> = futures_util::future::join_all(calls.iter().map(|call| machine(&several, call))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(bed.layer.asked("DescribeImages").len() - before, 1);

    // Somebody stops it; it is started, and ended in spite of its protection.
    bed.somebody("ec2", &format!("Action=StopInstances&Version=2016-11-15&InstanceId.1={}", made.id));
    let state = async |provider: &Ec2| match provider.read(&ObjectId::Machine(made.id.clone())).await {
        Ok(Some(Object::Machine(machine))) => machine.state,
        other => panic!("{other:?}"),
    };
    assert_eq!(state(&provider).await, MachineState::Stopped);
    provider.issue(&Call::StartMachine(made.id.clone())).await.unwrap();
    assert_eq!(state(&provider).await, MachineState::Running);
    let permit = guard::terminate(made.tags.cloud, &made, Some(&Report::default())).unwrap();
    provider.issue(&Call::RetireMachine(permit.clone())).await.unwrap();
    provider.issue(&Call::Terminate(permit)).await.unwrap();
    assert_eq!(state(&provider).await, MachineState::Terminated);
    assert_eq!(bed.layer.wrong(), Vec::<String>::new());
}

/// Nothing that a word cannot mean is sent.
#[tokio::test]
async fn a_word_that_means_nothing_is_refused() {
    let Some(bed) = Bed::start("usual::a_word_that_means_nothing_is_refused") else { return };
    let provider = bed.provider(bed.spec());
    for call in [machine_call("debian:12", ""), machine_call("", "1cpu 90TiB")] {
        let refused = machine(&provider, &call).await;
        assert!(matches!(refused, Err(ProviderError::Refused { .. })), "{refused:?}");
    }
    assert!(bed.layer.asked("RunInstances").is_empty());
    // The image is not in this region yet.
    let early = machine(&provider, &machine_call("debian-13", "")).await;
    assert!(
        matches!(&early, Err(ProviderError::Retry { why, .. }) if why.contains("debian-13")),
        "{early:?}"
    );
}

/// A profile whose credentials a program gives, and whose region and endpoint the configuration says.
#[tokio::test]
async fn a_profile_says_who_and_where() {
    let Some(folder) = crate::bed::environment() else { return };
    let name = "usual::a_profile_says_who_and_where";
    let config = folder.join(format!("profile-{}", std::process::id()));
    let program = r#"/bin/echo '{"Version": 1, "AccessKeyId": "given", "SecretAccessKey": "given"}'"#;
    let text = format!("[profile work]\nregion = eu-north-1\ncredential_process = {program}\n");
    let own = [("AWS_CONFIG_FILE", config.to_str().unwrap())];
    // The file is of whoever starts the other process.
    let first =
        std::env::var_os("AWS_CONFIG_FILE").is_none_or(|path| !path.to_string_lossy().contains("/profile-"));
    if first {
        std::fs::write(&config, text).unwrap();
    }
    if !alone(name, &own) {
        std::fs::remove_file(&config).unwrap();
        return;
    }
    let bed = Bed::here(&folder);
    let spec = Ec2Spec {
        profile: Some("work".to_owned()),
        endpoint: Some(bed.layer.endpoint()),
        ..Ec2Spec::default()
    };
    assert_eq!(bed.provider(spec.clone()).reachable().await.unwrap(), "eu-north-1");
    assert!(bed.layer.signed().last().unwrap().contains("Credential=given/"), "{:?}", bed.layer.signed());
    // The file of the ideal goes before the profile.
    let spec = Ec2Spec { region: Some("eu-west-1".to_owned()), ..spec };
    assert_eq!(bed.provider(spec.clone()).reachable().await.unwrap(), "eu-west-1");
    assert!(bed.layer.signed().last().unwrap().contains("/eu-west-1/ec2/aws4_request"));
    // Without any, it is said.
    let nobody = bed.provider(Ec2Spec { profile: Some("nobody".to_owned()), ..spec }).reachable().await;
    assert!(
        matches!(&nobody, Err(ProviderError::Refused { why }) if why.contains("credentials")),
        "{nobody:?}"
    );
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_tried_later() {
    let name = "usual::an_endpoint_that_is_not_there_is_tried_later";
    if !alone(name, &[("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")]) {
        return;
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = Some(format!("http://{free}"));
    let spec = Ec2Spec { region: Some("eu-west-1".to_owned()), endpoint, ..Ec2Spec::default() };
    let provider = Ec2::new(spec, ideal_providers::ec2::Rates::default());
    let unreached = provider.issue(&volume_call(1)).await;
    assert!(matches!(unreached, Err(ProviderError::Retry { .. })), "nothing was sent: {unreached:?}");
}
