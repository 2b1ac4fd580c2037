//! The program killed wherever it can be killed, at an EC2 of which one request in sixteen goes wrong: at every named
//! boundary that an up, an away and a wake pass, and at random moments. Each time it is run again and must converge, with
//! nothing doubled, nothing that is nobody's, and no volume's content lost.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::bed::Bed;
use crate::shaped::Shaped;

const NODES: usize = 2;
/// Most of the time is waited, for the program looks at EC2 about once a second.
const AT_ONCE: usize = 12;

/// A project with an account of its own.
struct Project<'a> {
    bed: &'a Bed,
    account: String,
    folder: PathBuf,
}

impl Drop for Project<'_> {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A thing with our tags.
#[derive(Debug)]
struct Thing {
    id: String,
    tags: BTreeMap<String, String>,
    element: Shaped,
}

fn child<'a>(element: &'a Shaped, name: &str) -> Option<&'a Shaped> {
    element.children.iter().find(|child| child.name == name)
}

fn text(element: &Shaped, name: &str) -> String {
    child(element, name).map(|child| child.text.trim().to_owned()).unwrap_or_default()
}

/// Every element of this name, however deep, that has our tag.
fn things(answer: &Shaped, id: &str, found: &mut Vec<Thing>) {
    let own = text(answer, id);
    let tags: BTreeMap<String, String> = child(answer, "tagSet")
        .map(|set| set.children.iter().map(|tag| (text(tag, "key"), text(tag, "value"))).collect())
        .unwrap_or_default();
    if !own.is_empty() && tags.contains_key("ideal:cloud") {
        found.push(Thing { id: own, tags, element: answer.clone() });
        return;
    }
    answer.children.iter().for_each(|child| things(child, id, found));
}

impl Thing {
    /// Which node's it is, read by other code than what is tested.
    fn node(&self) -> usize {
        if let Some(node) = self.tags.get("ideal:node") {
            return node.parse().unwrap();
        }
        let slots = self.tags["ideal:batch"].split(',').flat_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            first.parse().unwrap()..=last.parse().unwrap()
        });
        let at: usize = text(&self.element, "amiLaunchIndex").parse().unwrap();
        slots.collect::<Vec<usize>>()[at]
    }
}

impl<'a> Project<'a> {
    fn new(bed: &'a Bed, number: usize) -> Project<'a> {
        let folder = std::env::temp_dir().join(format!("ideal-cloud-{}-{number}", std::process::id()));
        for name in ["shop", "state", "run"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
        }
        let endpoint = bed.layer.endpoint();
        let text = format!(
            "ideal: 1\nproviders:\n  aws: {{ec2: {{region: eu-west-1, endpoint: \"{endpoint}\", image: ami-785db401, \
             enforced: true, settle: 1s}}}}\nclouds:\n  shop:\n    uuid: 0d6a1f0e-5b3e-4c55-9a0f-{number:012}\n    \
             provider: aws\n    nodes: {NODES}\n    mounts:\n      data: {{size: 1GiB, at: /srv/data}}\n"
        );
        std::fs::write(folder.join("shop/ideal.yaml"), text).unwrap();
        Project { bed, account: format!("{:012}", 500_000_000 + number), folder }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ideal"));
        command
            .args(arguments)
            .current_dir(self.folder.join("shop"))
            .env("AWS_ACCESS_KEY_ID", &self.account)
            .env("XDG_STATE_HOME", self.folder.join("state"))
            .env("XDG_RUNTIME_DIR", self.folder.join("run"))
            .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
            .env_remove("IDEAL_FILE")
            .env_remove("IDEAL_OUTPUT")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command until it is met: again after a crash, as a person would.
    fn insist(&self, arguments: &[&str]) {
        let mut last: Option<Output> = None;
        for _ in 0..6 {
            let ran = self.command(arguments).output().unwrap();
            if ran.status.success() {
                return;
            }
            last = Some(ran);
        }
        let last = last.unwrap();
        panic!("{arguments:?} does not converge: {}\n{}", last.status, String::from_utf8_lossy(&last.stderr));
    }

    fn somebody(&self, action: &str) -> Shaped {
        let answer =
            self.bed.somebody_of(&self.account, "ec2", &format!("Version=2016-11-15&Action={action}"));
        Shaped::read(answer.split_once("\r\n\r\n").unwrap().1)
    }

    fn ours(&self, action: &str, id: &str) -> Vec<Thing> {
        let mut found = Vec::new();
        things(&self.somebody(action), id, &mut found);
        found
    }

    /// Machines that are not over, and what each of them is doing.
    fn machines(&self) -> Vec<Thing> {
        let mut machines = self.ours("DescribeInstances", "instanceId");
        machines.retain(|own| text(child(&own.element, "instanceState").unwrap(), "name") != "terminated");
        machines
    }

    /// Takes one of the acts once; whatever is between them happened.
    fn before(&self, act: usize) {
        // No agent says what is mounted; a machine that was stopped can have nothing mounted.
        if act == 1 {
            for own in self.machines() {
                self.somebody(&format!("StopInstances&InstanceId.1={}", own.id));
            }
        }
    }

    /// What must hold when all is attached: a machine and a volume for each node, and what was in it.
    fn attached(&self, content: &mut BTreeMap<usize, String>) {
        let machines: BTreeMap<usize, String> =
            self.machines().into_iter().map(|own| (own.node(), own.id)).collect();
        assert_eq!(self.machines().len(), NODES, "nothing is doubled: {machines:?}");
        assert_eq!(machines.keys().copied().collect::<Vec<_>>(), (0..NODES).collect::<Vec<_>>());
        let volumes = self.ours("DescribeVolumes", "volumeId");
        assert_eq!(volumes.len(), NODES, "{volumes:?}");
        for volume in &volumes {
            let set = child(&volume.element, "attachmentSet").unwrap();
            let at: Vec<String> = set.children.iter().map(|item| text(item, "instanceId")).collect();
            assert_eq!(at, [machines[&volume.node()].clone()], "each is with the machine of its node");
            let text = self.bed.layer.content(&volume.id);
            let known = content.entry(volume.node()).or_default();
            assert_eq!(text, *known, "what was written is there");
            known.push_str(" and more");
            self.bed.layer.write(&volume.id, known);
        }
    }

    /// What must hold when all is away: no machine, no volume that is not sealed and marked, one seal of each life.
    fn away(&self, content: &BTreeMap<usize, String>) {
        let machines = self.machines();
        assert!(machines.is_empty(), "{machines:?}");
        for volume in self.ours("DescribeVolumes", "volumeId") {
            assert!(volume.tags.contains_key("ideal:retired"), "{volume:?}");
        }
        let mut lives = BTreeSet::new();
        let mut newest: BTreeMap<usize, (u32, String)> = BTreeMap::new();
        for seal in self.ours("DescribeSnapshots&Owner.1=self", "snapshotId") {
            let life: u32 = seal.tags["ideal:life"].parse().unwrap();
            assert!(lives.insert((seal.node(), life)), "a life is sealed once: {seal:?}");
            let known = newest.entry(seal.node()).or_default();
            *known = known.clone().max((life, self.bed.layer.content(&seal.id)));
        }
        let sealed: BTreeMap<usize, String> =
            newest.into_iter().map(|(node, (_, text))| (node, text)).collect();
        assert_eq!(sealed, *content, "what was written is sealed");
    }

    fn holds(&self, act: usize, content: &mut BTreeMap<usize, String>) {
        if act == 1 { self.away(content) } else { self.attached(content) }
    }
}

const ACTS: [&[&str]; 3] =
    [&["up", "--to", "attached"], &["away", "--yes"], &["up", "--to", "attached", "--yes"]];

/// Every boundary that each act passes, by a run that is let through.
fn boundaries(bed: &Bed) -> Vec<(usize, String)> {
    let project = Project::new(bed, 0);
    let (mut all, mut content) = (Vec::new(), BTreeMap::new());
    for (act, arguments) in ACTS.iter().enumerate() {
        project.before(act);
        let trace = project.folder.join(format!("trace-{act}"));
        let ran = project.command(arguments).env("IDEAL_CRASH_TRACE", &trace).output().unwrap();
        assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
        project.holds(act, &mut content);
        let text = std::fs::read_to_string(trace).unwrap();
        // What dies at the point before an effect, right after another, leaves behind what dying after that one does.
        let (mut names, mut last) = (BTreeSet::new(), "");
        for at in text.lines() {
            let name = at.split('#').next().unwrap_or_default();
            if names.insert(name) || name.ends_with(".after") || !last.ends_with(".after") {
                all.push((act, at.to_owned()));
            }
            last = name;
        }
    }
    all
}

/// A life in which the program dies at one boundary of one act. Answers whether it did.
fn life(bed: &Bed, number: usize, dies: usize, at: &str) -> bool {
    let project = Project::new(bed, number);
    let (mut died, mut content) = (false, BTreeMap::new());
    for (act, arguments) in ACTS.iter().enumerate().take(dies.max(1) + 1) {
        project.before(act);
        if act == dies {
            let ran = project.command(arguments).env("IDEAL_CRASH_AT", at).output().unwrap();
            // Order differs from run to run; a boundary may come more seldom.
            died = ran.status.code().is_none();
        }
        project.insist(arguments);
        project.holds(act, &mut content);
    }
    died
}

/// Does each job on one of some threads; every failure is told with its job.
fn all<T: std::fmt::Debug + Clone + Send>(jobs: Vec<T>, each: impl Fn(usize, T) + Sync) {
    let (jobs, failed) = (Mutex::new(jobs.into_iter().enumerate()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((number, job)) = jobs.lock().unwrap().next() else { return };
                    let own = std::panic::AssertUnwindSafe(|| each(number + 1, job.clone()));
                    if std::panic::catch_unwind(own).is_err() {
                        failed.lock().unwrap().push(job);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} failed: {failed:?}", failed.len());
}

#[test]
fn dead_at_every_boundary_at_ec2() {
    let Some(bed) = Bed::without_images("crashes::dead_at_every_boundary_at_ec2") else { return };
    let boundaries = boundaries(&bed);
    bed.layer.is_stormy();
    let names: BTreeSet<&str> =
        boundaries.iter().map(|(_, at)| at.split('#').next().unwrap_or_default()).collect();
    let deaths = AtomicUsize::new(0);
    let begun = std::time::Instant::now();
    all(boundaries.clone(), |number, (act, at)| {
        deaths.fetch_add(usize::from(life(&bed, number, act, &at)), Ordering::Relaxed);
    });
    let (count, deaths) = (boundaries.len(), deaths.into_inner());
    println!(
        "{} boundaries, {count} passings, {deaths} deaths, {:?}: {names:?}",
        names.len(),
        begun.elapsed()
    );
    assert!(deaths * 10 >= count * 8, "most boundaries are passed again: {deaths} of {count}");
    assert_eq!(bed.layer.wrong(), Vec::<String>::new());
}

#[test]
fn killed_at_random_moments_at_ec2() {
    let Some(bed) = Bed::without_images("crashes::killed_at_random_moments_at_ec2") else { return };
    bed.layer.is_stormy();
    let begun = std::time::Instant::now();
    // Ten lives of five kills each; when they strike follows from the number of the life.
    all((0..10_u64).collect(), |number, seed| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed + 1);
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let project = Project::new(&bed, number);
        let mut content = BTreeMap::new();
        for round in 0..5 {
            let act = if round == 0 { 0 } else { 2 - round % 2 };
            project.before(act);
            let mut child = project.command(ACTS[act]).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(random(4_000)));
            _ = child.kill();
            _ = child.wait();
            project.insist(ACTS[act]);
            project.holds(act, &mut content);
        }
    });
    println!("50 kills, {:?}", begun.elapsed());
    assert_eq!(bed.layer.wrong(), Vec::<String>::new());
}
