//! What moto's server says that there is, as containers and loop devices.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::server;
use crate::bed::{Bed, Ran, SYSTEM};

const ZONE: &str = "eu-west-1a";
/// A Debian with `cloud-init`, as EC2's images are.
const IMAGE: &str = "ideal-test:cloud";
/// What an image of EC2 does when it starts: first what the user data say, then sshd.
const START: &str = "
[ -e /var/lib/started ] || {
    cloud-init init --local; cloud-init init; cloud-init modules --mode=config; cloud-init modules --mode=final
} > /var/log/start.log 2>&1
touch /var/lib/started
mkdir -p /run/sshd /dev/disk/by-id
exec /usr/sbin/sshd -D -e";

/// The program, with credentials as a user of AWS has them.
pub(crate) fn command(bed: &Bed, program: &Path, words: &[&str]) -> Command {
    let mut command = bed.command_of(program.to_str().unwrap(), words);
    for (name, value) in [("AWS_ACCESS_KEY_ID", "testing"), ("AWS_SECRET_ACCESS_KEY", "testing")] {
        command.env(name, value);
    }
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    command.env_remove("AWS_PROFILE");
    command
}

/// Runs it.
pub(crate) fn ideal(bed: &Bed, program: &Path, words: &[&str]) -> Ran {
    Ran::of(&command(bed, program, words).output().unwrap())
}

/// The server, and the bridge from it to containers.
pub(crate) struct Cloud {
    pub(crate) at: SocketAddr,
    /// The provider as the file has it: a line for each option.
    options: String,
    server: Child,
    stop: Arc<AtomicBool>,
    /// The test has failed.
    fails: Arc<AtomicBool>,
    bridge: Option<JoinHandle<()>>,
}

impl Cloud {
    /// A cloud whose machines are containers of this engine. None, said aloud, where there is no server.
    pub(crate) fn start(bed: &Bed) -> Option<Cloud> {
        let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("moto");
        if !environment.join("bin/moto_server").exists() {
            let why = format!("{} is missing: `make setup` installs it", environment.display());
            assert!(std::env::var_os("CI").is_none(), "{why}");
            eprintln!("NOT TESTED: {why}");
            return None;
        }
        image(bed);
        let label = format!("ideal.cloud={}", bed.clouds[0]);
        let (server, at) = server::serve(&environment);
        // There moto gives addresses of the network's own.
        let range = free_range();
        let vpcs = ask(at, "DescribeVpcs");
        let vpc = element(&vpcs, "vpcId");
        let made = ask(at, &format!("CreateSubnet&VpcId={vpc}&AvailabilityZone={ZONE}&CidrBlock={range}"));
        let subnet = element(&made, "subnetId").to_owned();
        bed.docker(&["network", "create", "--label", &label, "--subnet", &range, "cloud"]).ended(0);
        let stop = Arc::new(AtomicBool::new(false));
        let mut bridge = Bridge::new(at, bed, label);
        let (stopped, failed) = (stop.clone(), Arc::new(AtomicBool::new(false)));
        let fails = failed.clone();
        let bridge = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                bridge.pass();
                std::thread::sleep(Duration::from_millis(200));
            }
            if failed.load(Ordering::Relaxed) {
                bridge.machines.iter().for_each(|machine| bridge.tell(machine));
            }
            bridge.end();
        });
        let options = format!(
            "region: eu-west-1\nimage: ami-785db401\nprivate: true\nzones: [{ZONE}]\nsubnets: {{{ZONE}: {subnet}}}\nsettle: 1s\n"
        );
        Some(Cloud { at, options, server, stop, fails, bridge: Some(bridge) })
    }

    /// An ideal file of one cloud, `shop`, whose provider is asked at this address. `more`: other options of it, and `below`
    /// what stands below the cloud.
    pub(crate) fn file(&self, bed: &Bed, at: SocketAddr, more: &str, below: &str) -> String {
        let options = format!("endpoint: \"http://{at}\"\n{}{more}", self.options);
        let options: String = options.lines().map(|line| format!("      {line}\n")).collect();
        let uuid = &bed.clouds[0];
        format!(
            "ideal: 1\nproviders:\n  aws:\n    ec2:\n{options}clouds:\n  shop:\n    uuid: {uuid}\n{below}"
        )
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.fails.store(std::thread::panicking(), Ordering::Relaxed);
        self.stop.store(true, Ordering::Relaxed);
        if let Some(bridge) = self.bridge.take() {
            _ = bridge.join();
        }
        // It ends when its input does.
        drop(self.server.stdin.take());
        _ = self.server.wait();
    }
}

/// A range of moto's network that no interface of this host is in: engines share nothing but that, and one that was killed has
/// left its networks.
fn free_range() -> String {
    let taken = Ran::of(&Command::new("ip").args(["-4", "-o", "addr"]).output().unwrap()).ended(0).out;
    let first = std::process::id() % 200;
    let free = |number: &u32| !taken.contains(&format!(" 172.31.{number}."));
    let number = (0..200).map(|next| 50 + (first + next) % 200).find(free).unwrap();
    format!("172.31.{number}.0/24")
}

fn image(bed: &Bed) {
    let script = "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
                  cloud-init > /dev/null && echo 'datasource_list: [NoCloud]' > /etc/cloud/cloud.cfg.d/99-source.cfg";
    bed.docker(&["run", "--name", "cloud-image", "--network", "host", SYSTEM, "sh", "-ec", script]).ended(0);
    bed.docker(&["commit", "cloud-image", IMAGE]).ended(0);
    bed.docker(&["rm", "cloud-image"]).ended(0);
}

/// What somebody asks of the server, without any program of ours.
pub(crate) fn ask(at: SocketAddr, action: &str) -> String {
    server::ask(at, "", "ec2", &format!("Action={action}&Version=2016-11-15"))
}

/// What stands in the first element of this name.
pub(crate) fn element<'t>(text: &'t str, name: &str) -> &'t str {
    let begin = format!("<{name}>");
    text.split_once(&begin)
        .and_then(|(_, rest)| rest.split_once(&format!("</{name}>")))
        .map_or("", |(one, _)| one)
}

/// The items of a set, each with all that is in it.
pub(crate) fn items<'t>(text: &'t str, set: &str) -> Vec<&'t str> {
    let text = text.split_once(&format!("<{set}>")).map_or("", |(_, rest)| rest);
    let (mut items, mut depth, mut begun, mut at) = (Vec::new(), 0, 0, 0);
    while let Some(next) = text[at..].find('<').map(|found| at + found) {
        let rest = &text[next..];
        at = next + 1;
        if rest.starts_with("<item>") {
            depth += 1;
            begun = if depth == 1 { next } else { begun };
        } else if rest.starts_with("</item>") {
            depth -= 1;
            if depth == 0 {
                items.push(&text[begun..next]);
            }
        } else if depth == 0 && rest.starts_with(&format!("</{set}>")) {
            break;
        }
    }
    items
}

struct Bridge {
    at: SocketAddr,
    engine: String,
    label: String,
    folder: PathBuf,
    /// Containers by instance.
    machines: BTreeSet<String>,
    /// Those that were stopped.
    stopped: BTreeSet<String>,
    /// Snapshots that were copied.
    snapshots: BTreeSet<String>,
    /// The device of each volume that is attached, and the container that has it.
    attached: BTreeMap<String, (String, String)>,
}

impl Bridge {
    fn new(at: SocketAddr, bed: &Bed, label: String) -> Bridge {
        Bridge {
            at,
            engine: format!("unix://{}", bed.socket),
            label,
            folder: bed.folder.join("cloud"),
            machines: BTreeSet::new(),
            stopped: BTreeSet::new(),
            snapshots: BTreeSet::new(),
            attached: BTreeMap::new(),
        }
    }

    fn docker(&self, words: &[&str]) -> Ran {
        Ran::of(&Command::new("docker").args(["-H", &self.engine]).args(words).output().unwrap())
    }

    fn pass(&mut self) {
        let answer = ask(self.at, "DescribeInstances");
        let reservations = items(&answer, "reservationSet");
        let mut run = BTreeSet::new();
        for of in reservations.iter().flat_map(|one| items(one, "instancesSet")) {
            let id = element(of, "instanceId");
            match element(element(of, "instanceState"), "name") {
                "running" => {
                    run.insert(id.to_owned());
                    if self.machines.insert(id.to_owned()) {
                        self.machine(id, element(of, "privateIpAddress"));
                    } else if self.stopped.remove(id) {
                        self.docker(&["start", id]).ended(0);
                    }
                }
                "stopped" if self.machines.contains(id) && self.stopped.insert(id.to_owned()) => {
                    self.docker(&["stop", "-t", "1", id]).ended(0);
                }
                "terminated" if self.machines.remove(id) => _ = self.docker(&["rm", "-f", "-v", id]),
                _ => {}
            }
        }
        self.volumes(&run);
    }

    fn machine(&self, id: &str, address: &str) {
        let answer = ask(self.at, &format!("DescribeInstanceAttribute&Attribute=userData&InstanceId={id}"));
        let data = BASE64_STANDARD.decode(element(element(&answer, "userData"), "value").trim()).unwrap();
        let seed = self.folder.join("seeds").join(id);
        std::fs::create_dir_all(&seed).unwrap();
        std::fs::write(seed.join("user-data"), data).unwrap();
        std::fs::write(seed.join("meta-data"), format!("instance-id: {id}\nlocal-hostname: {id}\n")).unwrap();
        let seed = format!("{}:/var/lib/cloud/seed/nocloud:ro", seed.display());
        let words = [
            "run",
            // With a console.
            "-dt",
            "--cap-add",
            "SYS_ADMIN",
            "--security-opt",
            "seccomp=unconfined",
            "--security-opt",
            "apparmor=unconfined",
            "--device-cgroup-rule",
            "b 7:* rwm",
            "--name",
            id,
            "--hostname",
            id,
            "--network",
            "cloud",
            "--ip",
            address,
            "--label",
            &self.label,
            "-v",
            &seed,
            IMAGE,
            "sh",
            "-c",
            START,
        ];
        self.docker(&words).ended(0);
    }

    fn data(&self, id: &str) -> PathBuf {
        self.folder.join("disks").join(id).join("data")
    }

    fn volumes(&mut self, run: &BTreeSet<String>) {
        let snapshots =
            ask(self.at, "DescribeSnapshots&Owner.1=self&Filter.1.Name=tag-key&Filter.1.Value.1=ideal:cloud");
        for of in items(&snapshots, "snapshotSet") {
            let id = element(of, "snapshotId");
            if self.snapshots.insert(id.to_owned()) {
                self.copy(&self.data(element(of, "volumeId")), &self.data(id));
            }
        }
        let volumes = ask(self.at, "DescribeVolumes&Filter.1.Name=tag-key&Filter.1.Value.1=ideal:cloud");
        let mut wanted = BTreeMap::new();
        for of in items(&volumes, "volumeSet") {
            let id = element(of, "volumeId");
            let data = self.data(id);
            if !data.exists() {
                match element(of, "snapshotId") {
                    "" => {
                        std::fs::create_dir_all(data.parent().unwrap()).unwrap();
                        let gib: u64 = element(of, "size").parse().unwrap();
                        std::fs::File::create(&data).unwrap().set_len(gib << 30).unwrap();
                    }
                    from => self.copy(&self.data(from), &data),
                }
            }
            let attachment = items(of, "attachmentSet").first().copied().unwrap_or_default();
            let machine = element(attachment, "instanceId");
            if element(attachment, "status") == "attached" && run.contains(machine) {
                wanted.insert(id.to_owned(), machine.to_owned());
            }
        }
        let gone: Vec<String> =
            self.attached.keys().filter(|id| !wanted.contains_key(*id)).cloned().collect();
        for id in gone {
            self.detach(&id);
        }
        for (id, machine) in wanted {
            if !self.attached.contains_key(&id) {
                self.attach(&id, &machine);
            }
        }
    }

    fn copy(&self, from: &Path, to: &Path) {
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        let copied = Command::new("cp").args(["--sparse=always", "--"]).args([from, to]).output().unwrap();
        Ran::of(&copied).ended(0);
    }

    fn link(id: &str) -> String {
        format!("/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{}", id.replace('-', ""))
    }

    fn attach(&mut self, id: &str, machine: &str) {
        let set = Command::new("losetup").args(["-f", "--show"]).arg(self.data(id)).output().unwrap();
        let device = Ran::of(&set).ended(0).out.trim().to_owned();
        let minor = device.trim_start_matches("/dev/loop");
        let script =
            format!("mkdir -p /dev/disk/by-id && rm -f {0} && mknod {0} b 7 {minor}", Bridge::link(id));
        self.docker(&["exec", machine, "sh", "-ec", &script]).ended(0);
        self.attached.insert(id.to_owned(), (device, machine.to_owned()));
    }

    fn detach(&mut self, id: &str) {
        let Some((device, machine)) = self.attached.remove(id) else { return };
        // A machine that is gone has nothing.
        self.docker(&["exec", &machine, "rm", "-f", &Bridge::link(id)]);
        Ran::of(&Command::new("losetup").args(["-d", &device]).output().unwrap()).ended(0);
    }

    /// What has become of a machine, for whoever reads why a test failed.
    fn tell(&self, machine: &str) {
        eprintln!("{}", self.docker(&["ps", "-a", "--filter", &format!("name={machine}")]).out);
        let said = self.docker(&["logs", "--tail", "40", machine]);
        eprintln!("{}{}", said.out, said.err);
        let log = self.docker(&["cp", &format!("{machine}:/var/log/start.log"), "-"]);
        eprintln!("{}{}", log.out, log.err);
        eprintln!("{}", Ran::of(&Command::new("ip").arg("route").output().unwrap()).out);
    }

    fn end(&mut self) {
        for machine in std::mem::take(&mut self.machines) {
            self.docker(&["rm", "-f", "-v", &machine]);
        }
        for id in self.attached.keys().cloned().collect::<Vec<_>>() {
            self.detach(&id);
        }
    }
}
