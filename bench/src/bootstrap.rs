//! Bootstrap: machines with nothing but sshd become nodes, beside Ansible, which copies the same program to as many and runs it
//! once.
//!
//! All machines are containers of this host, and share its processors with whoever asks.

use std::fmt::Write;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::bed::{Engine, Project, program, scripts, text, until};
use crate::measure::{say, time};
use crate::peer::environment;

/// How many at once, and how long that may take.
const SIZES: [(usize, Duration); 2] = [(1, Duration::from_secs(5)), (50, Duration::from_secs(60))];
const SYSTEM: &str = "ideal-bench:system";

/// A machine: where it is, and its host key.
struct Machine {
    address: String,
    host_key: String,
}

pub(crate) fn bench() -> anyhow::Result<()> {
    let program = std::env::var_os("IDEAL_SHIPPED").map_or_else(program, |path| Ok(PathBuf::from(path)))?;
    if !program.exists() {
        return say("bootstrap: skipped, `ideal` is not there");
    }
    let engine = match Engine::start() {
        Ok(engine) => engine,
        Err(why) => return say(&format!("bootstrap: skipped, there is no container engine: {why:#}")),
    };
    let target =
        std::env::current_exe()?.ancestors().nth(2).context("not in a target folder")?.join("testbed");
    let image = Command::new(scripts().join("image.sh")).arg(target).stderr(Stdio::inherit()).output()?;
    ensure!(image.status.success(), "there is no system to run in machines");
    engine.docker(&["import", text(&image.stdout).trim(), SYSTEM])?;
    engine.docker(&["network", "create", "rack"])?;
    for (size, target) in SIZES {
        let (ours, again) = ours(&engine, &program, size)?;
        let verdict = if ours <= target { "reached" } else { "MISSED" };
        let target = format!("target {} {verdict}", time(target));
        let more = format!("; {} with the program packed before; {target}", time(again));
        let Some(took) = ansible(&engine, &program, size)? else {
            say(&format!("bootstrap {size}: ours {}, peer not installed here{more}", time(ours)))?;
            continue;
        };
        let ratio = took.as_secs_f64() / ours.as_secs_f64();
        say(&format!(
            "bootstrap {size}: ours {}, peer {} (ansible), ratio {ratio:.1}{more}",
            time(ours),
            time(took)
        ))?;
    }
    Ok(())
}

/// Has machines made, does something with them, and takes them away.
fn with_machines<T>(
    engine: &Engine,
    folder: &Path,
    size: usize,
    does: impl FnOnce(&[Machine]) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let key = folder.join("key");
    if !key.exists() {
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status()?;
        ensure!(made.success(), "no key could be made");
    }
    let public = fs::read_to_string(key.with_extension("pub"))?;
    let script = format!(
        "mkdir -p /run/sshd /root/.ssh && echo '{}' > /root/.ssh/authorized_keys && ssh-keygen -q -A\n\
         exec /usr/sbin/sshd -D -e -o MaxStartups=100",
        public.trim()
    );
    let names: Vec<String> = (0..size).map(|number| format!("m{number}")).collect();
    for name in &names {
        engine.docker(&["run", "-d", "--name", name, "--network", "rack", SYSTEM, "sh", "-ec", &script])?;
    }
    let machines = names.iter().map(|name| machine(engine, name)).collect::<anyhow::Result<Vec<_>>>();
    let done = machines.and_then(|machines| does(&machines));
    for name in &names {
        engine.docker(&["rm", "-f", "-v", name])?;
    }
    done
}

/// A machine, once its sshd answers.
fn machine(engine: &Engine, name: &str) -> anyhow::Result<Machine> {
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = engine.docker(&["inspect", "-f", format, name])?.trim().to_owned();
    let at: SocketAddr = format!("{address}:22").parse()?;
    let wait = Duration::from_millis(200);
    until(60, || TcpStream::connect_timeout(&at, wait).ok())
        .with_context(|| format!("{name} does not answer"))?;
    let read = ["exec", name, "cut", "-d", " ", "-f", "1,2", "/etc/ssh/ssh_host_ed25519_key.pub"];
    Ok(Machine { address, host_key: engine.docker(&read)?.trim().to_owned() })
}

/// From nothing to a cluster that is well: with the program as it lies there, and with one that was packed for the way before.
fn ours(engine: &Engine, program: &Path, size: usize) -> anyhow::Result<(Duration, Duration)> {
    let project = Project::new(program, None)?;
    let up = |machines: &[Machine]| {
        write_project(&project, machines)?;
        let begin = Instant::now();
        let up = project.ideal(&["up", "--yes", "--timeout", "5m"])?;
        let took = begin.elapsed();
        ensure!(up.status.success(), "`ideal up` failed: {}{}", text(&up.stdout), text(&up.stderr));
        let well = project.ideal(&["status", "--check"])?;
        ensure!(well.status.success(), "it is not well: {}{}", text(&well.stdout), text(&well.stderr));
        let gone = project.ideal(&["destroy", "--yes", "--name", "shop", "--snapshots"])?;
        ensure!(gone.status.success(), "`ideal destroy` failed: {}", text(&gone.stderr));
        Ok(took)
    };
    let first = with_machines(engine, project.path(), size, up)?;
    let again = with_machines(engine, project.path(), size, up)?;
    Ok((first, again))
}

fn write_project(project: &Project, machines: &[Machine]) -> anyhow::Result<()> {
    let key = project.path().join("key");
    let mut file = format!(
        "ideal: 1\nproviders:\n  rack:\n    ssh:\n      login: {{user: root, key: {}}}\n      machines:\n",
        key.display()
    );
    for Machine { address, host_key } in machines {
        writeln!(file, "        - {{address: {address}, host_key: {host_key}}}")?;
    }
    let uuid = "5f0c6f2e-0000-4000-8000-0000000be0a2";
    writeln!(file, "clouds:\n  shop:\n    uuid: {uuid}\n    nodes: {}", machines.len())?;
    Ok(fs::write(project.path().join("ideal.yaml"), file)?)
}

/// The program copied to all, and run once there.
fn ansible(engine: &Engine, program: &Path, size: usize) -> anyhow::Result<Option<Duration>> {
    let peer = std::path::absolute(environment().join("bin/ansible-playbook"))?;
    if !peer.exists() {
        return Ok(None);
    }
    let folder = tempfile::tempdir()?;
    let play = format!(
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - copy: {{src: {}, dest: /usr/local/bin/ideal, mode: \"0755\"}}\n    \
         - command: /usr/local/bin/ideal version\n",
        program.display()
    );
    fs::write(folder.path().join("play.yaml"), play)?;
    let took = with_machines(engine, folder.path(), size, |machines| {
        let (mut hosts, mut known) = (String::new(), String::new());
        for Machine { address, host_key } in machines {
            writeln!(hosts, "{address} ansible_python_interpreter=/usr/bin/python3")?;
            writeln!(known, "{address} {host_key}")?;
        }
        fs::write(folder.path().join("hosts"), hosts)?;
        fs::write(folder.path().join("known"), known)?;
        let known = format!("-o UserKnownHostsFile={}", folder.path().join("known").display());
        let begin = Instant::now();
        let output = Command::new(&peer)
            .args(["-i", "hosts", "-u", "root", "--private-key", "key", "-f"])
            .args([&size.to_string(), "play.yaml"])
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .env("LC_ALL", "C.UTF-8")
            .env("ANSIBLE_PIPELINING", "1")
            .env("ANSIBLE_SSH_COMMON_ARGS", known)
            .stdin(Stdio::null())
            .output()?;
        let took = begin.elapsed();
        let said = text(&[output.stdout, output.stderr].concat());
        ensure!(output.status.success(), "ansible failed: {said}");
        Ok(took)
    })?;
    Ok(Some(took))
}
