//! A cluster on this host.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::{PROCESS, home_of, text, until};

/// A cluster on this host, which ends with this.
pub(crate) struct Project {
    folder: tempfile::TempDir,
    program: PathBuf,
    engine: Option<String>,
    /// A filesystem of its own below the folder, which ends with it.
    mounted: Option<PathBuf>,
}

impl Project {
    pub(crate) fn new(program: &Path, engine: Option<&str>) -> anyhow::Result<Project> {
        let folder = tempfile::Builder::new().prefix("ideal-heal").tempdir()?;
        fs::DirBuilder::new().mode(0o700).create(folder.path().join("run"))?;
        Ok(Project { folder, program: program.to_owned(), engine: engine.map(str::to_owned), mounted: None })
    }
    /// What is mounted here is unmounted at the end.
    pub(crate) fn unmounts(&mut self, at: &Path) {
        self.mounted = Some(at.to_owned());
    }
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.env("XDG_STATE_HOME", self.folder.path().join("state"));
        command.env("XDG_RUNTIME_DIR", self.folder.path().join("run"));
        command.env("XDG_CACHE_HOME", self.folder.path().join("cache"));
        if let Some(socket) = &self.engine {
            command.env("DOCKER_HOST", format!("unix://{socket}"));
        }
        for name in ["IDEAL_FILE", "IDEAL_OUTPUT", "IDEAL_CRASH_AT", "IDEAL_CRASH_TRACE", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        command
    }
    pub(crate) fn ideal(&self, words: &[&str]) -> anyhow::Result<Output> {
        Ok(self.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).output()?)
    }
    pub(crate) fn write(&self, nodes: usize, services: &str) -> anyhow::Result<()> {
        let cloud = "5f0c6f2e-0000-4000-8000-0000000be0a1";
        let head = "ideal: 1\nproviders: {here: local}\nclouds:\n";
        let shop = format!("  shop: {{uuid: {cloud}, provider: here, nodes: {nodes}}}\n");
        fs::write(self.folder.path().join("ideal.yaml"), format!("{head}{shop}services:\n{services}"))?;
        Ok(())
    }
    pub(crate) fn up(&self, nodes: usize, services: &str) -> anyhow::Result<()> {
        self.write(nodes, services)?;
        let up = self.ideal(&["up", "--yes", "--timeout", "90s"])?;
        ensure!(up.status.success(), "`ideal up` failed: {}{}", text(&up.stdout), text(&up.stderr));
        Ok(())
    }
    /// Processes of the service.
    pub(crate) fn running(&self) -> BTreeSet<u32> {
        let words = format!("{}\0{}\0", PROCESS[0], PROCESS[1]);
        let is = |pid: &u32| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == words.as_bytes())
                && home_of(*pid).is_some_and(|home| Path::new(&home).starts_with(self.folder.path()))
        };
        ideal_host::process::numbers().into_iter().filter(is).collect()
    }
    /// Kills the node that carries the replica; how long until it runs on another one.
    pub(crate) fn lose_a_node(&self) -> anyhow::Result<Duration> {
        let well = || self.ideal(&["status", "--check"]).is_ok_and(|output| output.status.success());
        until(120, || well().then_some(())).context("the cluster is not well")?;
        let dead =
            self.running().into_iter().find_map(home_of).context("no process says where it is at home")?;
        let begin = Instant::now();
        ideal_host::process::kill_all(|marks| marks.get("IDEAL_HOME") == Some(&dead), 50);
        let elsewhere =
            || self.running().into_iter().filter_map(home_of).any(|home| home != dead).then_some(());
        ensure!(elsewhere().is_none(), "the replica is elsewhere before its node can be missed");
        until(120, elsewhere).context("the replica of a dead node is nowhere")?;
        Ok(begin.elapsed())
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = self.ideal(&[
            "destroy",
            "--snapshots",
            "--take-over",
            "--yes",
            "--timeout",
            "60s",
            "--name",
            "shop",
        ]);
        let folder = self.folder.path();
        let below = |marks: &ideal_host::Marks| {
            marks.get("IDEAL_HOME").is_some_and(|home| Path::new(home).starts_with(folder))
        };
        ideal_host::process::kill_all(below, 50);
        if let Some(at) = &self.mounted {
            let _ = Command::new("umount").arg("-l").arg(at).status();
        }
    }
}
