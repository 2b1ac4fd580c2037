//! Keys of machines to which agents are brought: host keys that are given and those that a console shows, and what stays
//! of them here.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ideal_core::ideal::{Ec2Spec, HostKeys};
use ideal_core::observed::Machine;
use ideal_core::time::Span;
use ideal_providers::{Ec2, Provider, ProviderError};
use ideal_ssh::Program;

use crate::bed::Bed;
use crate::faults::{machine, machine_call};
use crate::form::Form;
use crate::layer::Fault;

/// A provider on a computer of its own.
fn computer(bed: &Bed, folder: &Path, spec: Ec2Spec) -> Ec2 {
    let program = Program::new(&std::env::current_exe().unwrap(), None).unwrap();
    bed.provider(spec).bringing(folder.join("ec2"), Rc::new(program))
}

/// Nobody hears at the addresses that moto gives: what comes before a connection is seen all the same.
async fn bring(provider: &Ec2, machine: &Machine) -> Option<ProviderError> {
    let tried = tokio::time::timeout(Duration::from_secs(2), provider.bring_agent(machine, &|_| {})).await;
    tried.ok().map(Result::unwrap_err)
}

fn key(seed: u8) -> String {
    let (kind, point) = (b"ssh-ed25519", [seed; 32]);
    let blob = [&[0, 0, 0, 11], &kind[..], &[0, 0, 0, 32], &point[..]].concat();
    format!("ssh-ed25519 {}", BASE64_STANDARD.encode(blob))
}

fn block(key: &str) -> String {
    format!("-----BEGIN SSH HOST KEY KEYS-----\r\n{key} root@a\r\n-----END SSH HOST KEY KEYS-----\r\n")
}

fn user_data(run: &Form) -> String {
    String::from_utf8(BASE64_STANDARD.decode(run.get("UserData")).unwrap()).unwrap()
}

/// The value of a tag in a request that makes something.
fn tag<'f>(run: &'f Form, name: &str) -> Option<&'f str> {
    let at = run.0.iter().find(|(field, value)| field.ends_with(".Key") && *value == name)?.0;
    Some(run.get(&at.replace(".Key", ".Value")))
}

/// It is read once and written down, for everybody and for good.
#[tokio::test]
async fn a_host_key_is_read_from_the_console_once() {
    let Some(bed) = Bed::without_images("console::a_host_key_is_read_from_the_console_once") else { return };
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let spec = Ec2Spec { host_keys: HostKeys::Console, private: true, ..bed.spec() };
    let provider = computer(&bed, here.path(), spec.clone());
    let made = machine(&provider, &machine_call("", "")).await.unwrap();
    let run = &bed.layer.asked("RunInstances")[0];
    assert!(!user_data(run).contains("PRIVATE"), "{}", user_data(run));
    assert_eq!(tag(run, "ideal:host-key"), None);
    assert!(tag(run, "ideal:login").unwrap().starts_with("SHA256:"));

    // Where the file does not say so nobody believes a console.
    let given = computer(&bed, there.path(), Ec2Spec { host_keys: HostKeys::Given, ..spec.clone() });
    let unknown = bring(&given, &made).await;
    assert!(
        matches!(&unknown, Some(ProviderError::Retry { why, .. }) if why.contains("host_keys: console")),
        "{unknown:?}"
    );
    assert!(bed.layer.asked("GetConsoleOutput").is_empty());

    bed.layer
        .prints(made.id.as_str(), "[  0.1] Linux version 6.1\n-----BEGIN SSH HOST KEY KEYS-----\nssh-ed2");
    assert_eq!(bring(&provider, &made).await, None, "it is waited for");
    assert_eq!(bed.layer.asked("GetConsoleOutput").len(), 1);
    assert!(bed.layer.asked("CreateTags").is_empty());

    bed.layer.prints(made.id.as_str(), &format!("[  0.1] Linux version 6.1\n{}login:", block(&key(1))));
    // It is of a type that shows no latest.
    bed.layer.plan("GetConsoleOutput", "Latest", Fault::Refused(400, "UnsupportedOperation"), 1);
    bring(&provider, &made).await;
    let asked = bed.layer.asked("GetConsoleOutput");
    let latest: Vec<&str> = asked.iter().map(|one| one.get("Latest")).collect();
    assert_eq!(latest, ["true", "true", ""]);
    let written = bed.layer.asked("CreateTags");
    let [written] = &written[..] else { panic!("{written:?}") };
    assert_eq!((written.get("Tag.1.Key"), written.get("Tag.1.Value")), ("ideal:host-key", key(1).as_str()));

    // Whatever is printed later, and also while EC2 does not show the tag yet.
    bed.layer.prints(made.id.as_str(), &block(&key(2)));
    let hides = Fault::Says("<key>ideal:host-key</key>", "<key>other</key>");
    bed.layer.plan("DescribeInstances", "", hides, 1);
    bring(&provider, &made).await;
    let elsewhere = computer(&bed, there.path(), spec.clone());
    bring(&elsewhere, &made).await;
    for folder in [&here, &there] {
        let known = folder.path().join(format!("ec2/ways/{}.known", made.id));
        assert_eq!(std::fs::read_to_string(known).unwrap(), format!("{} {}\n", made.id, key(1)));
    }
    let listing = elsewhere.describe().await.unwrap();
    assert!(listing.machines[0].agent.is_some());
    assert_eq!((bed.layer.asked("GetConsoleOutput").len(), bed.layer.asked("CreateTags").len()), (3, 1));

    // What is nobody's by now is left alone.
    let tags = "Tag.1.Key=ideal:cloud&Tag.2.Key=ideal:host-key";
    bed.somebody("ec2", &format!("Action=DeleteTags&Version=2016-11-15&ResourceId.1={}&{tags}", made.id));
    let left = tempfile::tempdir().unwrap();
    let refused = bring(&computer(&bed, left.path(), spec), &made).await;
    assert!(
        matches!(&refused, Some(ProviderError::Refused { why }) if why.contains("is nobody's")),
        "{refused:?}"
    );
    assert_eq!((bed.layer.asked("GetConsoleOutput").len(), bed.layer.asked("CreateTags").len()), (3, 1));
    assert!(bed.layer.all_met());
    assert_eq!(bed.layer.wrong(), Vec::<String>::new());
}

/// A request that is sent again has the same key; when what it made has been shown for long enough, nobody has it any more.
#[tokio::test]
async fn the_private_half_of_a_host_key_does_not_stay() {
    let Some(bed) = Bed::without_images("console::the_private_half_of_a_host_key_does_not_stay") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let spec = Ec2Spec { settle: Some(Span::secs(1)), ..bed.spec() };
    let keys = || {
        let files = std::fs::read_dir(folder.path().join("ec2/hosts")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "lock").collect::<Vec<String>>()
    };
    bed.layer.plan("RunInstances", "", Fault::Lost, 1);
    bed.layer.plan("RunInstances", "", Fault::Dropped, 4);
    let lost = machine(&computer(&bed, folder.path(), spec.clone()), &machine_call("", "")).await;
    assert!(matches!(lost, Err(ProviderError::Unknown { .. })), "{lost:?}");
    assert_eq!(keys().len(), 2);
    // The program is started again, and EC2 shows nothing yet.
    let provider = computer(&bed, folder.path(), spec);
    bed.layer.plan("DescribeInstances", "", Fault::Empty, 3);
    provider.describe().await.unwrap();
    let made = machine(&provider, &machine_call("", "")).await.unwrap();
    let runs = bed.layer.asked("RunInstances");
    assert!(runs.len() == 6 && runs.iter().all(|run| *run == runs[0]), "{runs:?}");
    assert!(user_data(&runs[0]).contains("PRIVATE KEY"));

    let begun = std::time::Instant::now();
    while !keys().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", keys());
        assert_eq!(provider.describe().await.unwrap().machines.len(), 1);
    }
    let again = machine(&provider, &machine_call("", "")).await.unwrap();
    assert_eq!((again.id, bed.layer.asked("RunInstances").len()), (made.id, 6));
    assert!(folder.path().join("ec2/login").exists() && bed.layer.all_met());
    assert_eq!(bed.layer.wrong(), Vec::<String>::new());
}
