//! Three nodes on this host, on a small disk of their own and with an engine of their own, and somebody who watches.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use ideal_host::{Home, Identity, durable, process};

use crate::bed::{BEATS, CHECK, Engine, IMAGE, PROCESS, Project, text, until};

pub(super) const CONTAINERS: [&str; 3] = ["pub[0]", "pub[1]", "pub[2]"];
pub(super) const PROCESSES: [&str; 3] = ["job[0]", "job[1]", "job[2]"];
pub(super) const DATA: &str = "data[0]";

/// Writes the next number, safely, and acknowledges it only then.
const COUNTS: &str = "n=$(cat \"$0\" 2>/dev/null || echo 0); while true; do n=$((n + 1)); \
                      if echo \"$n\" > \"$0.new\" && sync \"$0.new\" && mv \"$0.new\" \"$0\"; \
                      then echo \"$n\" >> \"$1\"; else n=$((n - 1)); fi; sleep 0.02; done";

/// What faults are done to.
pub(super) struct Field {
    watching: Option<Child>,
    project: Project,
    /// Of the file; the text `ROUND: "0"` stands for the version.
    services: String,
    round: usize,
    disk: PathBuf,
    pub(super) engine: Engine,
}

/// A node that is not heard, until it is.
pub(super) struct Cut {
    socket: PathBuf,
    aside: PathBuf,
}

impl Cut {
    pub(super) fn heal(&self) -> anyhow::Result<()> {
        fs::rename(&self.aside, &self.socket).context("the way to a node cannot be put back")
    }
}

impl Field {
    pub(super) fn new(program: &Path) -> anyhow::Result<Field> {
        let engine = Engine::start()?;
        engine.docker(&["network", "create", "plain"])?;
        let mut project = Project::new(program, Some(&engine.socket))?;
        let at = project.path().join(".ideal");
        fs::create_dir(&at)?;
        let words = ["-t", "tmpfs", "-o", "size=32m,mode=0700", "none"];
        let mounted = Command::new("mount").args(words).arg(&at).status()?;
        ensure!(mounted.success(), "no filesystem of its own for the nodes: is this root?");
        project.unmounts(&at);
        let disk = at;
        let acks = project.path().join("acknowledged").display().to_string();
        let eats = BEATS
            .replace("rm -f /bad;", "rm -f /bad /eat;")
            .replace("test -e /bad", "test ! -e /eat || exec tail /dev/zero; test -e /bad");
        let [word, number] = PROCESS;
        let services = format!(
            "  pub:\n    on: shop\n    replicas: 3\n    image: \"{IMAGE}\"\n    memory: 32MiB\n    env: {{ROUND: \"0\"}}\n    \
             command: [/bin/sh, -c, \"{eats}\"]\n    health: {{command: [/bin/sh, -c, \"{CHECK}\"], \
             every: 500ms, timeout: 2s, retries: 2}}\n  \
             job: {{on: shop, replicas: 3, env: {{ROUND: \"0\"}}, command: [{word}, \"{number}\"]}}\n  \
             data:\n    on: shop\n    replicas: 1\n    mounts: {{home: {{size: 1MiB, at: /home/data}}}}\n    \
             command: [/bin/sh, -c, '{COUNTS}', \"{{{{ mount.home }}}}/number\", \"{acks}\"]\n"
        );
        let mut field = Field { watching: None, project, services, round: 0, disk, engine };
        field.renew()?;
        Ok(field)
    }

    /// All but the data begins anew, as another version.
    pub(super) fn renew(&mut self) -> anyhow::Result<()> {
        self.round += 1;
        let round = format!("ROUND: \"{}\"", self.round);
        self.project.up(3, &self.services.replace("ROUND: \"0\"", &round))
    }

    /// Somebody watches from now on; somebody else, when it is to begin `anew`.
    pub(super) fn watch(&mut self, anew: bool) -> anyhow::Result<()> {
        if let Some(mut watching) = self.watching.take_if(|_| anew) {
            // As Ctrl-C does: the lease is given back.
            let pid = i32::try_from(watching.id()).ok().and_then(rustix::process::Pid::from_raw);
            rustix::process::kill_process(pid.context("no process")?, rustix::process::Signal::INT)?;
            watching.wait()?;
        }
        if self.watching.is_none() {
            let mut watching = self.project.command(&["heal", "--watch", "--yes"]);
            let heard = File::create(self.project.path().join("watching"))?;
            self.watching = Some(watching.stderr(heard.try_clone()?).stdout(heard).spawn()?);
        }
        Ok(())
    }

    /// Waits until everything is as the file says, with exactly one of each and nothing else.
    pub(super) fn well(&self) -> anyhow::Result<()> {
        let well = || {
            let is = self.project.ideal(&["status", "--check"]).is_ok_and(|ended| ended.status.success());
            (is && self.one_of_each().is_ok()).then_some(())
        };
        if until(90, well).is_none() {
            let said = self.project.ideal(&["status"])?;
            let watching = fs::read_to_string(self.project.path().join("watching")).unwrap_or_default();
            let last: Vec<&str> = watching.lines().rev().take(20).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            bail!(
                "it is not well again: {:?}\n{}\n{}",
                self.one_of_each(),
                text(&said.stdout),
                last.join("\n")
            );
        }
        self.acknowledged().map(drop)
    }

    fn one_of_each(&self) -> anyhow::Result<()> {
        let copies = self.copies()?;
        let wanted: BTreeSet<&str> = CONTAINERS.into_iter().chain(PROCESSES).chain([DATA]).collect();
        let there: BTreeSet<&str> = copies.keys().map(String::as_str).collect();
        ensure!(there == wanted, "not what is wanted: {there:?}");
        ensure!(copies.values().all(|starts| starts.len() == 1), "several of one: {copies:?}");
        let all = self.engine.docker(&["ps", "-aq", "--filter=label=ideal.service"])?;
        ensure!(all.lines().count() == CONTAINERS.len(), "containers of nobody: {all}");
        Ok(())
    }

    /// The starts of each replica of which something lives.
    pub(super) fn copies(&self) -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
        let mut copies: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for own in process::find(|marks| self.is_ours(marks)) {
            if let (Some(replica), Some(start)) = (own.mark(process::SERVICE), own.mark(process::START)) {
                let machine = own.mark(process::MACHINE).unwrap_or_default();
                copies.entry(replica.to_owned()).or_default().insert(format!("{machine} {start}"));
            }
        }
        let format = "--format={{.Label \"ideal.service\"}}|{{.ID}} {{.CreatedAt}}";
        let containers = self.engine.docker(&["ps", "--filter=label=ideal.service", format])?;
        for (replica, start) in containers.lines().filter_map(|line| line.split_once('|')) {
            copies.entry(replica.to_owned()).or_default().insert(start.to_owned());
        }
        Ok(copies)
    }

    /// How many writes were acknowledged. Each is greater than the one before: none was lost, and one wrote at a time.
    pub(super) fn acknowledged(&self) -> anyhow::Result<usize> {
        let all = fs::read_to_string(self.project.path().join("acknowledged"))?;
        let whole = all.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let mut last = 0_u64;
        for line in whole.lines() {
            let number = line.parse().with_context(|| format!("`{line}` was acknowledged"))?;
            ensure!(number > last, "{number} was acknowledged after {last}: a write is lost, or two write");
            last = number;
        }
        Ok(whole.lines().count())
    }

    fn is_ours(&self, marks: &ideal_host::Marks) -> bool {
        marks.get(process::HOME).is_some_and(|home| Path::new(home).starts_with(self.project.path()))
    }

    /// How long the client of the engine takes to run a container, on a network as ours are.
    pub(super) fn docker_run(&self) -> anyhow::Result<Duration> {
        let begin = Instant::now();
        let id = self.engine.docker(&["run", "-d", "--network=plain", IMAGE, "sleep", "600"])?;
        let took = begin.elapsed();
        self.engine.docker(&["rm", "-f", id.trim()])?;
        Ok(took)
    }

    /// Does something to the container of a replica; from the event `gone` until it is started again, or is well.
    pub(super) fn container(
        &self,
        replica: &str,
        words: &[&str],
        gone: &str,
        to_well: bool,
    ) -> anyhow::Result<Duration> {
        let filter = format!("--filter=label=ideal.service={replica}");
        let id = self.engine.docker(&["ps", "-q", &filter])?;
        let since = self.engine.last(replica);
        match words {
            ["exec", rest @ ..] => self.engine.docker(&[&["exec", id.trim()], rest].concat())?,
            _ => self.engine.docker(&[words, &[id.trim()]].concat())?,
        };
        self.engine.gone_for(replica, since, gone, to_well)
    }

    fn processes_of(&self, replica: &str) -> Vec<process::Marked> {
        process::find(|marks| {
            self.is_ours(marks) && marks.get(process::SERVICE).map(String::as_str) == Some(replica)
        })
    }

    pub(super) fn process_killed(&self, replica: &str) -> anyhow::Result<Duration> {
        let victim = self.processes_of(replica).first().map(|own| own.id);
        let victim = victim.with_context(|| format!("{replica} does not run"))?;
        let begin = Instant::now();
        victim.signal(rustix::process::Signal::KILL)?;
        let back = || self.processes_of(replica).iter().any(|own| own.id != victim).then_some(());
        until(30, back).with_context(|| format!("{replica} is not back"))?;
        Ok(begin.elapsed())
    }

    /// Kills the agent of one of the nodes.
    pub(super) fn agent_killed(&self, round: usize) -> anyhow::Result<()> {
        let is_run = |pid: u32| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            words.split(|byte| *byte == 0).any(|word| word == b"run")
        };
        let all = process::find(|marks| self.is_ours(marks));
        let agents: Vec<_> = all.iter().map(|own| own.id).filter(|id| is_run(id.pid)).collect();
        ensure!(agents.len() == 3, "{} agents", agents.len());
        let victim = agents[round % agents.len()];
        victim.signal(rustix::process::Signal::KILL)?;
        until(10, || (!victim.is_alive()).then_some(())).context("it does not die")
    }

    /// The home of the node that carries a replica.
    pub(super) fn home_of(&self, replica: &str) -> anyhow::Result<PathBuf> {
        let all = self.processes_of(replica);
        let home = all.iter().find_map(|own| own.mark(process::HOME));
        Ok(home.with_context(|| format!("{replica} does not run"))?.into())
    }

    pub(super) fn lives_elsewhere(&self, replica: &str, home: &Path) -> bool {
        self.processes_of(replica).iter().any(|own| own.mark(process::HOME).map(Path::new) != Some(home))
    }

    /// Cuts the way to the agent of a node, which goes on.
    pub(super) fn cut(&self, home: &Path) -> anyhow::Result<Cut> {
        let identity: Option<Identity> = durable::read_json(&Home::new(home).identity())?;
        let identity = identity.context("the node does not know who it is")?;
        let socket = identity.socket().context("its agent has no socket")?.to_owned();
        let aside = socket.with_extension("aside");
        fs::rename(&socket, &aside)?;
        Ok(Cut { socket, aside })
    }

    /// Ends all that runs on a node, its containers too.
    pub(super) fn node_killed(&self, home: &Path) -> anyhow::Result<()> {
        let home = home.display().to_string();
        let filter = format!("--filter=label=ideal.home={home}");
        let containers = self.engine.docker(&["ps", "-q", &filter])?;
        process::kill_all(|marks| marks.get(process::HOME) == Some(&home), 50);
        for id in containers.lines() {
            self.engine.docker(&["kill", id])?;
        }
        Ok(())
    }

    /// Leaves no byte on the disk of the nodes.
    pub(super) fn fill(&self) -> anyhow::Result<()> {
        let mut file = File::create(self.disk.join("fill"))?;
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        Ok(())
    }
    pub(super) fn empty(&self) -> anyhow::Result<()> {
        fs::remove_file(self.disk.join("fill")).context("the disk cannot be emptied")
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        let _ = self.empty();
        if let Some(watching) = &mut self.watching {
            let _ = watching.kill();
            let _ = watching.wait();
        }
    }
}
