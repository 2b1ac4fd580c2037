//! Machines of `docker`: a container each, in a network of its cloud.
//!
//! A container is known by its labels, never by its name: the data folder that it is of, and its machine.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use hyper::Method;
use ideal_core::id::{CloudId, MachineId};
use ideal_core::ideal::Init;
use ideal_core::observed::{MachineState, Tags};
use ideal_core::time::{Bytes, Span};
use ideal_host::durable::{self, Lock};
use ideal_host::{Home, Identity, now};
use serde_json::{Value, json};

use super::engine::{Checked, Engine, escaped};
use super::init::{self, First};
use crate::ledger::{End, Glance, MachineMeta, Machines, STARTS_WITHIN, Seen, Way};
use crate::{ProviderError, crash_point};

/// Which data folder a thing of an engine is of.
pub(super) const OWNER: &str = "ideal.owner";
/// Which machine a container is.
pub(super) const MACHINE: &str = "ideal.machine";
/// Which cloud a container or network is of.
const CLOUD: &str = "ideal.cloud";
/// Where the binary is in a container.
const PROGRAM: &str = "/usr/local/bin/ideal";
/// Where the home of the machine is in its container.
const HOME: &str = "/var/lib/ideal/home";
/// Where the folder of its agent's socket is in a container.
const RUN: &str = "/run/ideal";
/// How long what runs has to end, in seconds: more than a keeper gives its processes, and systemd its units beside.
const GRACE: u32 = 10;

/// Makes and ends containers.
#[derive(Debug)]
pub(super) struct Containers {
    pub engine: Engine,
    /// The id of the data folder.
    pub owner: String,
    pub run: PathBuf,
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    /// The image of machines that name none.
    pub image: String,
    pub init: Init,
    /// Clouds whose machines may mount devices; none: all.
    pub mounting: Option<BTreeSet<CloudId>>,
}

impl Machines for Containers {
    fn way(&self, id: &MachineId, image: &str) -> Result<Way, ProviderError> {
        let image = self.image(image)?;
        if !self.engine.has_image(image)? {
            return Err(ProviderError::refused(format!(
                "the engine has no image `{image}`: bring it there with `docker pull` or `docker import`"
            )));
        }
        if let Some(why) = init::lacks(&self.engine, image, self.init)? {
            return Err(ProviderError::refused(why));
        }
        let agent = format!("unix:{}", self.socket_folder(id).join("agent.sock").display());
        Ok(Way { address: String::new(), agent, within: format!("unix:{RUN}/agent.sock"), whole: true })
    }

    fn glance(&self) -> Result<Glance, ProviderError> {
        let mut glance = Glance::default();
        for container in self.listed("containers", "&all=1")? {
            let Some(id) = label(&container, MACHINE) else { continue };
            let state = container.get("State").and_then(Value::as_str).unwrap_or_default();
            let networks = container.pointer("/NetworkSettings/Networks").and_then(Value::as_object);
            let addresses = networks.into_iter().flat_map(|networks| networks.values());
            let mut addresses = addresses.filter_map(|one| one.get("IPAddress")?.as_str());
            let address = addresses.find(|address| !address.is_empty()).map(str::to_owned);
            glance.0.insert(MachineId::new(id), Seen { state: state_of(state), address });
        }
        Ok(glance)
    }

    fn state(&self, _: &Home, meta: &MachineMeta, glance: &Glance) -> io::Result<MachineState> {
        let young = now().since(meta.created) < STARTS_WITHIN;
        Ok(match glance.0.get(&meta.id).map(|seen| seen.state) {
            // One that never came to run can only be made again.
            Some(MachineState::Pending) | None if !young => MachineState::Impaired,
            Some(state) => state,
            None => MachineState::Pending,
        })
    }

    fn begin(&self, home: &Home, meta: &MachineMeta) -> Result<(), ProviderError> {
        match self.glance()?.0.get(&meta.id).map(|seen| seen.state) {
            Some(MachineState::Pending) => {}
            Some(_) => return Ok(()),
            // A container that was there once and is not any more was taken away by somebody.
            None if home.keeper().exists() => return Ok(()),
            None => {
                let Some(tags) = &meta.tags else { return Ok(()) };
                let network = self.network(tags.cloud)?;
                durable::private_dir(&self.socket_folder(&meta.id))?;
                self.create(home, meta, tags, &network)?;
                crash_point("docker.machine.created");
            }
        }
        self.start(meta)?;
        crash_point("docker.machine.started");
        Ok(())
    }

    fn resume(&self, home: &Home, meta: &MachineMeta) -> Result<(), ProviderError> {
        // A keeper that is told to go cannot know for how long; that it was for good is written in our own record.
        durable::remove(&home.over())?;
        durable::private_dir(&self.socket_folder(&meta.id))?;
        self.start(meta)
    }

    fn stop(&self, _: &Home, meta: &MachineMeta) -> Result<(), ProviderError> {
        for container in self.of(&meta.id)? {
            self.halt(&container)?;
        }
        Ok(())
    }

    fn end(&self, home: &Home, meta: &MachineMeta) -> Result<Option<Lock>, ProviderError> {
        durable::write(&home.over(), b"")?;
        crash_point("docker.end.over");
        for container in self.of(&meta.id)? {
            self.halt(&container)?;
            crash_point("docker.end.stopped");
            self.remove(&container)?;
        }
        if !self.of(&meta.id)?.is_empty() {
            let why = format!("the container of {} is still being removed", meta.id);
            return Err(ProviderError::Retry { why, after: Some(Span::secs(1)) });
        }
        Ok(None)
    }

    fn forget(&self, meta: &MachineMeta) -> io::Result<()> {
        durable::remove(&self.socket_folder(&meta.id))
    }

    fn sweep(&self, left: &[MachineMeta]) -> Result<(), ProviderError> {
        let left = left.iter().filter(|meta| !matches!(meta.end, End::Done(_)));
        let left: BTreeMap<&str, Option<String>> = left
            .map(|meta| (meta.id.as_str(), meta.tags.as_ref().map(|tags| tags.cloud.to_string())))
            .collect();
        for container in self.listed("containers", "&all=1")? {
            let known = label(&container, MACHINE).is_some_and(|id| left.contains_key(id));
            if let Some(id) = container.get("Id").and_then(Value::as_str).filter(|_| !known) {
                self.remove(id)?;
            }
        }
        let clouds: BTreeSet<&str> = left.values().flatten().map(String::as_str).collect();
        for network in self.listed("networks", "")? {
            let used = label(&network, CLOUD).is_some_and(|cloud| clouds.contains(cloud));
            if let Some(id) = network.get("Id").and_then(Value::as_str).filter(|_| !used) {
                // Somebody may have put a container of his own into it: then it stays.
                self.engine.call(Method::DELETE, &format!("/networks/{id}"), None)?;
            }
        }
        Ok(())
    }
}

impl Containers {
    fn image<'a>(&'a self, asked: &'a str) -> Result<&'a str, ProviderError> {
        let image = if asked.is_empty() { &self.image } else { asked };
        if image.is_empty() {
            return Err(ProviderError::refused(
                "no image is named: write `image:` at the cloud, or `docker: {image: ...}` at the provider",
            ));
        }
        Ok(image)
    }
    fn socket_folder(&self, id: &MachineId) -> PathBuf {
        self.run.join(id.as_str())
    }

    /// Everything of ours of one kind.
    fn listed(&self, kind: &str, more: &str) -> Result<Vec<Value>, ProviderError> {
        let filter = json!({"label": [format!("{OWNER}={}", self.owner)]}).to_string();
        let at = if kind == "containers" { "/containers/json" } else { "/networks" };
        let path = format!("{at}?filters={}{more}", escaped(&filter));
        match self.engine.call(Method::GET, &path, None)?.checked(&format!("list {kind}"))? {
            Value::Array(list) => Ok(list),
            _ => Err(ProviderError::retry(format!("the engine did not list {kind}"))),
        }
    }
    /// The containers of a machine, by the engine's ids: one at most, unless somebody copied labels.
    fn of(&self, machine: &MachineId) -> Result<Vec<String>, ProviderError> {
        let listed = self.listed("containers", "&all=1")?.into_iter();
        let ours = listed.filter(|container| label(container, MACHINE) == Some(machine.as_str()));
        Ok(ours.filter_map(|container| Some(container.get("Id")?.as_str()?.to_owned())).collect())
    }
    /// Ends what runs in a container, if it is there.
    fn halt(&self, container: &str) -> Result<(), ProviderError> {
        let stop = format!("/containers/{container}/stop?t={GRACE}");
        let reply = self.engine.call(Method::POST, &stop, None)?;
        if reply.code != 404 {
            reply.checked("stop the container")?;
        }
        Ok(())
    }

    fn remove(&self, container: &str) -> Result<(), ProviderError> {
        let path = format!("/containers/{container}?force=1&v=1");
        let reply = self.engine.call(Method::DELETE, &path, None)?;
        match reply.code {
            // Gone, or somebody is at it.
            404 | 409 => Ok(()),
            _ => reply.checked("remove the container").map(|_| ()),
        }
    }
    fn start(&self, meta: &MachineMeta) -> Result<(), ProviderError> {
        for container in self.of(&meta.id)? {
            let path = format!("/containers/{container}/start");
            self.engine.call(Method::POST, &path, None)?.checked("start the container")?;
        }
        Ok(())
    }

    /// The network of a cloud, made when it is not there.
    fn network(&self, cloud: CloudId) -> Result<String, ProviderError> {
        let of_cloud = cloud.to_string();
        let there = self.listed("networks", "")?;
        let there = there.iter().find(|network| label(network, CLOUD) == Some(&of_cloud));
        if let Some(id) = there.and_then(|network| network.get("Id")?.as_str()) {
            return Ok(id.to_owned());
        }
        let body = json!({
            "Name": format!("ideal-{of_cloud}-{}", short(&self.owner)),
            "Driver": "bridge",
            "CheckDuplicate": true,
            "Labels": {OWNER: self.owner, CLOUD: of_cloud},
        });
        let made =
            self.engine.call(Method::POST, "/networks/create", Some(body))?.checked("make the network")?;
        crash_point("docker.network.made");
        match made.get("Id").and_then(Value::as_str) {
            Some(id) => Ok(id.to_owned()),
            None => {
                Err(ProviderError::Unknown { why: "the engine did not say which network it made".into() })
            }
        }
    }

    fn create(
        &self,
        home: &Home,
        meta: &MachineMeta,
        tags: &Tags,
        network: &str,
    ) -> Result<(), ProviderError> {
        let identity: Identity = durable::read_json(&home.identity())?
            .ok_or_else(|| io::Error::other("the machine has no identity.json"))?;
        let mut keeper = vec![PROGRAM.to_owned()];
        keeper.extend(self.arguments.iter().map(|word| word.to_string_lossy().into_owned()));
        keeper.extend(["keep", "--foreground", "--home", HOME].map(str::to_owned));
        let first = First::of(self.init, keeper, identity.marks(&Home::new(HOME)), HOME);
        let bind = |source: PathBuf, target: &str, read_only: bool| json!({"Type": "bind", "Source": source, "Target": target, "ReadOnly": read_only});
        let (cpus, memory) = limits(&meta.size)?;
        let mut host = json!({
            "NetworkMode": network,
            "Memory": memory,
            "NanoCpus": cpus.saturating_mul(1_000_000_000),
            "RestartPolicy": {"Name": "no"},
            "Mounts": [
                bind(self.program.clone(), PROGRAM, true),
                bind(home.path().to_owned(), HOME, false),
                bind(self.socket_folder(&meta.id), RUN, false),
            ],
        });
        if self.mounting.as_ref().is_none_or(|clouds| clouds.contains(&tags.cloud)) {
            // Enough to name a loop device, to open it, and to mount what is on it.
            host["CapAdd"] = json!(["SYS_ADMIN", "MKNOD"]);
            host["DeviceCgroupRules"] = json!(["b 7:* rmw"]);
            host["SecurityOpt"] = json!(["apparmor=unconfined"]);
        }
        if self.init == Init::Systemd {
            let units = home.path().join(init::UNITS);
            first.write_unit(&units)?;
            init::open_for_systemd(&mut host, self.engine.control_groups()?);
            if let Some(mounts) = host["Mounts"].as_array_mut() {
                mounts.push(bind(units, init::UNITS_WITHIN, true));
            }
        }
        let index = tags.index.unwrap_or_default();
        let cloud = tags.cloud.to_string();
        let name = format!("ideal-{}-{index}-{}", short(&cloud), meta.id);
        let body = json!({
            "Image": self.image(&meta.image)?,
            "Hostname": format!("node-{index}"),
            "User": "0:0",
            "WorkingDir": "/",
            "Entrypoint": first.command,
            "Cmd": [],
            "Env": first.environment,
            "StopSignal": first.stop,
            "Labels": {
                OWNER: self.owner,
                MACHINE: meta.id,
                CLOUD: cloud,
                "ideal.slot": index.to_string(),
                "ideal.generation": tags.generation.to_string(),
            },
            "HostConfig": host,
        });
        let path = format!("/containers/create?name={}", escaped(&name));
        self.engine.call(Method::POST, &path, Some(body))?.checked("make the container").map(|_| ())
    }
}

fn state_of(word: &str) -> MachineState {
    match word {
        "created" | "restarting" => MachineState::Pending,
        // One that is paused is silent, not dead.
        "running" | "paused" => MachineState::Running,
        "exited" => MachineState::Stopped,
        _ => MachineState::Impaired,
    }
}

fn label<'a>(thing: &'a Value, name: &str) -> Option<&'a str> {
    thing.get("Labels")?.get(name)?.as_str()
}

fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

/// Processors and memory in bytes of a size such as `2cpu 4GiB`; zero is "as much as there is".
fn limits(size: &str) -> Result<(u64, u64), ProviderError> {
    let wrong = || ProviderError::refused(format!("`{size}` is not the size of a machine"));
    let (mut cpus, mut memory) = (0, 0);
    for word in size.split_whitespace() {
        match word.strip_suffix("cpu") {
            Some(count) => cpus = count.parse().map_err(|_| wrong())?,
            None => memory = word.parse::<Bytes>().map_err(|_| wrong())?.0,
        }
    }
    Ok((cpus, memory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_two_limits() {
        assert_eq!(limits("2cpu 4GiB").unwrap(), (2, 4 << 30));
        assert_eq!(limits("512MiB").unwrap(), (0, 512 << 20));
        assert_eq!(limits("").unwrap(), (0, 0));
        assert!(matches!(limits("large"), Err(ProviderError::Refused { .. })));
    }
}
