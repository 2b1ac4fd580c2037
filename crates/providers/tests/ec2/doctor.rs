//! What `ideal doctor` asks: dry runs that change nothing, and the time.

use std::io::{Read, Write};
use std::net::TcpListener;

use ideal_core::ideal::{Ec2Rule, Ec2Spec, HostKeys, Protocol};
use ideal_core::time::Span;
use ideal_providers::ec2::{Allowed, Permission};

use crate::bed::{Bed, alone};
use crate::faults::{machine, machine_call, volume, volume_call};
use crate::layer::Fault;

fn of<'p>(all: &'p [Permission], action: &str, statement: &str) -> &'p Permission {
    let is = |one: &&Permission| (one.action, one.statement) == (action, statement);
    all.iter().find(is).unwrap_or_else(|| panic!("{action} of {statement} was not tried: {all:?}"))
}

#[tokio::test]
async fn what_is_allowed_is_tried_and_nothing_is_changed() {
    let Some(bed) = Bed::start("doctor::what_is_allowed_is_tried_and_nothing_is_changed") else { return };
    let provider = bed.provider(bed.spec());
    let none = provider.permissions(true).await.unwrap();
    assert_eq!(of(&none, "DescribeInstances", "Look").found, Allowed::Yes);
    let why = Allowed::Unknown("there is no machine of ours to try it on".to_owned());
    assert_eq!(of(&none, "StartInstances", "ChangeOurs").found, why);

    let own = machine(&provider, &machine_call("", "")).await.unwrap();
    let data = volume(&provider, &volume_call(1)).await.unwrap();
    bed.layer.counted();
    let refused = Fault::Refused(403, "UnauthorizedOperation");
    bed.layer.plan("DetachVolume", "true", refused.clone(), 1);
    bed.layer.plan("DescribeKeyPairs", "true", refused, 1);
    let seen = |what: &str| bed.somebody("ec2", &format!("Action={what}&Version=2016-11-15"));
    let before = [seen("DescribeInstances"), seen("DescribeVolumes"), seen("DescribeSnapshots")];
    let all = provider.permissions(true).await.unwrap();
    assert_eq!(of(&all, "DetachVolume", "ChangeOurs").found, Allowed::No);
    assert_eq!(of(&all, "DescribeKeyPairs", "Look").found, Allowed::No);
    for (action, statement) in [
        ("StartInstances", "ChangeOurs"),
        ("ModifyVolume", "ChangeOurs"),
        ("RunInstances", "Make"),
        ("CreateVolume", "Make"),
        ("CreateTags", "MarkWhatIsMade"),
        ("CreateSnapshot", "Make"),
        ("AttachVolume", "UseWhatIsNotRetired"),
        ("CreateTags", "MarkOurs"),
        ("DeleteTags", "ChangeOurs"),
    ] {
        assert_eq!(of(&all, action, statement).found, Allowed::Yes, "{action}");
    }
    let why = Allowed::Unknown("there is no retired volume of ours to try it on".to_owned());
    assert_eq!(of(&all, "DeleteVolume", "EndWhatIsRetired").found, why);
    let after = [seen("DescribeInstances"), seen("DescribeVolumes"), seen("DescribeSnapshots")];
    let plain = |text: &String| text.split("<requestId>").last().unwrap_or_default().to_owned();
    assert_eq!(
        before.map(|one| plain(&one).len()),
        after.map(|one| plain(&one).len()),
        "{} {}",
        own.id,
        data.id
    );
    assert!(provider.skew().unwrap().by < Span::secs(60));

    // Where dry runs may be taken for real ones, only what looks is asked.
    bed.layer.counted();
    let looked = provider.permissions(false).await.unwrap();
    assert!(looked.iter().all(|one| one.statement == "Look"), "{looked:?}");
    assert!(bed.layer.counted().keys().all(|action| action.starts_with("Describe")));
    assert!(!provider.is_amazons().await.unwrap());
}

/// What only some files need, and what needs a thing that is nobody's.
#[tokio::test]
async fn what_could_not_be_tried_is_said_of_each_statement() {
    let Some(bed) = Bed::without_images("doctor::what_could_not_be_tried_is_said_of_each_statement") else {
        return;
    };
    let rules = vec![Ec2Rule { from: "10.0.0.0/8".to_owned(), port: 22, to: None, protocol: Protocol::Tcp }];
    let spec = Ec2Spec { rules, host_keys: HostKeys::Console, ..bed.spec() };
    let provider = bed.provider(spec.clone());
    let none = provider.permissions(true).await.unwrap();
    let (claim, rule) =
        (("CreateTags", "ClaimWhatIsNobodys"), ("AuthorizeSecurityGroupIngress", "ChangeOurs"));
    for ((action, statement), what) in [
        (claim, "volume of nobody's"),
        (rule, "security group of ours"),
        (("GetConsoleOutput", "ChangeOurs"), "machine of ours"),
    ] {
        let why = format!("there is no {what} to try it on");
        assert_eq!(of(&none, action, statement).found, Allowed::Unknown(why));
    }
    machine(&provider, &machine_call("", "")).await.unwrap();
    let seen = |what: &str| bed.somebody("ec2", &format!("Action={what}&Version=2016-11-15"));
    seen("CreateVolume&AvailabilityZone=eu-west-1a&Size=1");
    let before = (seen("DescribeVolumes"), seen("DescribeSecurityGroups"));
    bed.layer.plan("CreateTags", "ideal%3Aepoch", Fault::Refused(403, "UnauthorizedOperation"), 1);
    bed.layer.plan("GetConsoleOutput", "true", Fault::Refused(412, "DryRunOperation"), 1);
    let all = provider.permissions(true).await.unwrap();
    assert_eq!(of(&all, claim.0, claim.1).found, Allowed::No);
    assert_eq!(of(&all, rule.0, rule.1).found, Allowed::Yes);
    assert_eq!(of(&all, "GetConsoleOutput", "ChangeOurs").found, Allowed::Yes);
    let plain = |text: &String| text.split("<requestId>").last().unwrap_or_default().to_owned();
    let after = (seen("DescribeVolumes"), seen("DescribeSecurityGroups"));
    assert_eq!(
        (plain(&before.0).len(), plain(&before.1).len()),
        (plain(&after.0).len(), plain(&after.1).len())
    );
    assert!(bed.layer.all_met());
    assert_eq!(bed.layer.wrong(), Vec::<String>::new());
}

/// The clock of EC2 is told with a refusal too: it is why.
#[test]
fn a_clock_that_is_wrong_is_seen_in_a_refusal() {
    let credentials = [("AWS_ACCESS_KEY_ID", "testing"), ("AWS_SECRET_ACCESS_KEY", "testing")];
    if !alone("doctor::a_clock_that_is_wrong_is_seen_in_a_refusal", &credentials) {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let body = "<Response><Errors><Error><Code>AuthFailure</Code><Message>not yet</Message></Error></Errors></Response>";
        let head =
            "HTTP/1.1 401 Unauthorized\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: close\r\n";
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            _ = stream.read(&mut [0; 4096]);
            _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    let spec =
        Ec2Spec { region: Some("eu-west-1".to_owned()), endpoint: Some(endpoint), ..Ec2Spec::default() };
    let provider = ideal_providers::Ec2::new(spec, ideal_providers::ec2::Rates::default());
    assert_eq!(provider.skew(), None, "nobody was asked");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let refused = runtime.block_on(provider.reachable()).unwrap_err();
    assert!(refused.to_string().contains("AuthFailure"), "{refused}");
    let skew = provider.skew().unwrap();
    assert!(skew.is_ahead && skew.by > Span::secs(3600), "{skew:?}");
}
