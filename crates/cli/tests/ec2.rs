//! The program at EC2, against moto's server: all that needs no agent, from nothing to put away and back.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "what is not tested is said aloud")]

#[path = "../../providers/tests/ec2/server.rs"]
mod server;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A project whose machines are at a server of its own. Nothing of it is left when it is dropped.
struct Bed {
    server: Child,
    at: SocketAddr,
    folder: PathBuf,
}

impl Drop for Bed {
    fn drop(&mut self) {
        // It ends when its input does.
        drop(self.server.stdin.take());
        _ = self.server.wait();
        _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Bed {
    /// The project of the test of this name. `None`, said aloud, when there is no server here; where everything must be tested that fails.
    fn start(name: &str) -> Option<Bed> {
        let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("moto");
        if !environment.join("bin/moto_server").exists() {
            let why = format!("{} is missing: `make setup` installs it", environment.display());
            assert!(std::env::var_os("CI").is_none(), "{why}");
            println!("NOT TESTED: {why}");
            return None;
        }
        let (server, at) = server::serve(&environment);
        let folder = std::env::temp_dir().join(format!("ideal-ec2-{name}-{}", std::process::id()));
        for name in ["shop", "state", "run"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
        }
        let bed = Bed { server, at, folder };
        let text = format!(
            "ideal: 1\nproviders:\n  aws: {{ec2: {{region: eu-west-1, endpoint: \"http://{at}\", image: ami-785db401}}}}\n\
             clouds:\n  shop:\n    uuid: 0d6a1f0e-5b3e-4c55-9a0f-6f6f2c1f7a01\n    provider: aws\n    nodes: 2\n    \
             mounts:\n      data: {{size: 2GiB, at: /srv/data}}\n"
        );
        std::fs::write(bed.folder.join("shop/ideal.yaml"), text).unwrap();
        Some(bed)
    }

    /// What the program says; it must succeed.
    fn ideal(&self, arguments: &[&str]) -> String {
        let ran = Command::new(env!("CARGO_BIN_EXE_ideal"))
            .args(arguments)
            .current_dir(self.folder.join("shop"))
            .env("AWS_ACCESS_KEY_ID", "testing")
            .env("AWS_SECRET_ACCESS_KEY", "testing")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env("XDG_STATE_HOME", self.folder.join("state"))
            .env("XDG_RUNTIME_DIR", self.folder.join("run"))
            .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
            .env_remove("AWS_PROFILE")
            .env_remove("IDEAL_FILE")
            .env_remove("IDEAL_OUTPUT")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "ideal {arguments:?}: {}\n{said}", ran.status);
        said
    }

    /// What somebody else asks of the server.
    fn somebody(&self, action: &str) -> String {
        server::ask(self.at, "", "ec2", &format!("Action={action}&Version=2016-11-15"))
    }

    /// How many machines, attachments and seals there are.
    fn counted(&self) -> [usize; 3] {
        let machines = self.somebody("DescribeInstances").matches("<name>running</name>").count();
        let volumes = self.somebody("DescribeVolumes&Filter.1.Name=tag-key&Filter.1.Value.1=ideal:cloud");
        let seals =
            self.somebody("DescribeSnapshots&Owner.1=self&Filter.1.Name=tag-key&Filter.1.Value.1=ideal:seal");
        [
            machines,
            volumes.matches("<status>attached</status>").count(),
            seals.matches("<snapshotId>").count(),
        ]
    }
}

#[test]
fn machines_and_volumes_come_go_and_come_back() {
    let Some(bed) = Bed::start("life") else { return };
    let said = bed.ideal(&["doctor"]);
    assert!(
        said.contains("ec2: it answers in eu-west-1") && said.contains("ec2: it says the same time"),
        "{said}"
    );
    assert!(said.contains("ec2: 7 actions tried and allowed; not tried: what changes something"), "{said}");
    bed.ideal(&["up", "--to", "attached"]);
    assert_eq!(bed.counted(), [2, 2, 0]);

    // Without the store, all is found again by its tags.
    std::fs::remove_dir_all(bed.folder.join("state")).unwrap();
    bed.ideal(&["up", "--to", "attached"]);
    assert_eq!(bed.counted(), [2, 2, 0]);

    // No agent says what is mounted; a machine that was stopped can have nothing mounted.
    let machines = bed.somebody("DescribeInstances");
    let ids = machines.split("<instanceId>").skip(1).filter_map(|rest| rest.split('<').next());
    for id in ids {
        bed.somebody(&format!("StopInstances&InstanceId.1={id}"));
    }
    let said = bed.ideal(&["away", "--yes"]);
    assert!(said.contains("shop is away"), "{said}");
    assert_eq!(bed.counted(), [0, 0, 2]);
    let marked = bed.somebody("DescribeVolumes&Filter.1.Name=tag-key&Filter.1.Value.1=ideal:retired");
    assert_eq!(marked.matches("<volumeId>").count(), 2, "each waits for its second act");

    bed.ideal(&["up", "--to", "attached", "--yes"]);
    assert_eq!(bed.counted(), [2, 2, 2]);
    let marked = bed.somebody("DescribeVolumes&Filter.1.Name=tag-key&Filter.1.Value.1=ideal:retired");
    assert_eq!(marked.matches("<volumeId>").count(), 0, "a new life clears the mark");
}

/// What stands between two texts, for each time that they come.
fn between<'t>(text: &'t str, begin: &'t str, end: &'t str) -> Vec<&'t str> {
    text.split(begin).skip(1).filter_map(|rest| rest.split(end).next()).collect()
}

#[test]
fn what_is_nobodys_is_shown_and_taken_over() {
    let Some(bed) = Bed::start("adopt") else { return };
    let file = bed.folder.join("shop/ideal.yaml");
    // Ours: two machines with a volume each, and the disks that they started from.
    bed.ideal(&["up", "--to", "attached"]);
    let said = bed.ideal(&["adopt", "volumes"]);
    assert!(said.contains("there is no volume that is nobody's"), "{said}");
    assert!(bed.ideal(&["adopt", "machines"]).contains("there is no machine that is nobody's"));

    let make = "AvailabilityZone=eu-west-1a&TagSpecification.1.ResourceType=volume&TagSpecification.1.Tag.1.Key=Name";
    let made = bed.somebody(&format!("CreateVolume&Size=3&{make}&TagSpecification.1.Tag.1.Value=Old_Data"));
    let old = between(&made, "<volumeId>", "<")[0].to_owned();
    let made = bed.somebody(&format!("CreateVolume&Size=2&{make}&TagSpecification.1.Tag.1.Value=%1B%5B2J"));
    let used = between(&made, "<volumeId>", "<")[0].to_owned();
    let made = bed.somebody("RunInstances&ImageId=ami-785db401&MinCount=1&MaxCount=1&KeyName=mine");
    let machine = between(&made, "<instanceId>", "<")[0].to_owned();
    bed.somebody(&format!("AttachVolume&VolumeId={used}&InstanceId={machine}&Device=/dev/sdf"));

    let said = bed.ideal(&["adopt", "volumes"]);
    let line = format!("old-data: {{size: 3GiB, at: /srv/old-data, from: {{volume: {old}}}}}");
    assert!(said.contains(&line) && said.contains("2 volumes are nobody's"), "{said}");
    assert!(said.contains(&format!("used by {machine} as /dev/sdf")) && !said.contains('\u{1b}'), "{said}");
    let json: serde_json::Value =
        serde_json::from_str(&bed.ideal(&["adopt", "volumes", "-o", "json"])).unwrap();
    let rows = json["data"].as_array().unwrap();
    assert_eq!((json["kind"].as_str(), rows.len()), (Some("volumes"), 2), "{json}");
    let row = rows.iter().find(|row| row["id"] == *used).unwrap();
    assert_eq!((row["size"].as_u64(), row["machine"].as_str()), (Some(2 << 30), Some(&*machine)), "{row}");
    let said = bed.ideal(&["adopt", "machines", "--provider", "aws"]);
    let address = between(
        &bed.somebody(&format!("DescribeInstances&InstanceId.1={machine}")),
        "<privateIpAddress>",
        "<",
    )[0]
    .to_owned();
    assert!(
        said.contains(&format!("- {{address: {address}")) && said.contains("key pair \"mine\""),
        "{said}"
    );
    assert!(said.contains("login: {user: ubuntu}") && said.contains("1 machine is nobody's"), "{said}");

    // What it says can be put into the file, and the volume is the mount's own then.
    let mut text = std::fs::read_to_string(&file).unwrap();
    text.push_str("  old:\n    uuid: 0d6a1f0e-5b3e-4c55-9a0f-6f6f2c1f7a02\n    provider: aws\n    nodes: 1\n    mounts:\n");
    text.push_str(&format!("      {line}\n"));
    std::fs::write(&file, text).unwrap();
    bed.ideal(&["up", "--to", "attached", "--yes"]);
    assert_eq!(bed.counted(), [4, 3, 0], "with the machine that is nobody's; its volume is not counted");
    let said = bed.ideal(&["adopt", "volumes"]);
    assert!(!said.contains(&old) && said.contains("1 volume is nobody's"), "{said}");
}

#[test]
fn a_cluster_of_wucluster_goes_on_with_its_volume() {
    let Some(bed) = Bed::start("import") else { return };
    let made = bed.somebody("CreateVolume&Size=3&AvailabilityZone=eu-west-1a");
    let volume = between(&made, "<volumeId>", "<")[0].to_owned();
    let old = format!(
        "clusters:\n  gibbon:\n    availability_zone: eu-west-1a\n    image_id: ami-785db401\n    instance_type: m1.small\n    \
         instances:\n      master:\n        - availability_zone: eu-west-1a\n          instance_type: m1.large\n          \
         volumes: [{{device: /dev/sdh, mount_point: /data, size: 3, volume_id: {volume}}}]\n      worker: [{{}}, {{}}]\n"
    );
    let folder = bed.folder.join("shop");
    std::fs::write(folder.join("old.yaml"), old).unwrap();
    std::fs::remove_file(folder.join("ideal.yaml")).unwrap();
    bed.ideal(&["import", "wucluster", "old.yaml", "--to", "ideal.yaml"]);
    // Only the place of this EC2 is another one.
    let text = std::fs::read_to_string(folder.join("ideal.yaml")).unwrap();
    let at = format!("region: eu-west-1, endpoint: \"http://{}\"", bed.at);
    std::fs::write(folder.join("ideal.yaml"), text.replace("region: eu-west-1", &at)).unwrap();
    bed.ideal(&["up", "--to", "attached", "--yes"]);
    assert_eq!(bed.counted(), [3, 1, 0]);
    let seen = bed.somebody(&format!("DescribeVolumes&VolumeId.1={volume}"));
    let machine = between(&seen, "<instanceId>", "<")[0].to_owned();
    let seen = bed.somebody(&format!("DescribeInstances&InstanceId.1={machine}"));
    assert_eq!(between(&seen, "<availabilityZone>", "<"), ["eu-west-1a"], "where its volume is");
}
