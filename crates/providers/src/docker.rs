//! `docker`: machines are containers of an engine on this host, volumes are block devices.
//!
//! A machine is a container whose first process is our keeper, or the image's own init with our keeper beside it;
//! the binary that runs now is put into it, so that any Linux image will do. A volume is an image file behind a loop device that is set up here, on the host, and
//! given to the container by its numbers; a snapshot is a checked copy of that file. What is written down of them,
//! and under which conditions they change, is the ledger's.
//!
//! A rehearsal room, not a security boundary: who may mount block devices in a container can reach those of others.
//! Images are not pulled, and no container is privileged.

mod containers;
pub(crate) mod engine;
mod image;
mod init;
mod loops;
mod way_in;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use ideal_core::id::{CloudId, SnapshotId};
use ideal_core::ideal::{DockerSpec, VolumesOf};
use ideal_core::observed::{Listing, Machine};
use ideal_host::{AgentCommand, durable};

use crate::ledger::{Ledger, Machines, Volumes};
use crate::local::Folders;
use crate::{
    Answer, Answering, Call, Character, Fence, Object, ObjectId, Provider, ProviderError, Verdict, WayIn,
};
use containers::Containers;
pub use engine::Engine;
pub use init::lacks;
use loops::Loops;
pub use loops::loops_work;

/// Where an engine listens unless the file says otherwise.
pub const SOCKET: &str = "/var/run/docker.sock";

/// Where `docker` keeps things, and how it starts machines.
#[derive(Clone, Debug)]
pub struct DockerOptions {
    /// The data folder: `.ideal/docker`.
    pub data: PathBuf,
    /// The folder of sockets. Short: the path of a socket has at most 107 bytes.
    pub run: PathBuf,
    /// How to start the agent. The program is put into each container.
    pub agent: AgentCommand,
    /// What the file says.
    pub spec: DockerSpec,
    /// Clouds whose nodes have mounts: only their containers may mount devices. `None`: all may.
    pub mounting: Option<BTreeSet<CloudId>>,
}

/// Containers and volumes on this host.
#[derive(Clone, Debug)]
pub struct Docker {
    ledger: Arc<Ledger>,
    run: PathBuf,
    /// Where the engine listens, without `unix://`.
    socket: String,
    /// The id of the data folder.
    owner: String,
}

impl Docker {
    /// Opens the data folder, and makes it when it is not there. The engine is not asked yet.
    pub fn new(options: DockerOptions) -> io::Result<Docker> {
        durable::private_dir(&options.run)?;
        let run = options.run.canonicalize()?;
        let program = options.agent.program.canonicalize()?;
        let spec = options.spec;
        let loops = spec.volumes == VolumesOf::Loop;
        let socket = spec.socket.as_deref().unwrap_or(SOCKET);
        let socket = socket.strip_prefix("unix://").unwrap_or(socket).to_owned();
        let engine = Engine::new(&socket);
        let mut owner = String::new();
        let ledger = Ledger::open(&options.data, "docker", |data, id| {
            id.clone_into(&mut owner);
            let volumes: Box<dyn Volumes> =
                if loops { Box::new(Loops { trash: data.join("trash") }) } else { Box::new(Folders) };
            let machines: Box<dyn Machines> = Box::new(Containers {
                engine,
                owner: id.to_owned(),
                run: run.clone(),
                program,
                arguments: options.agent.args,
                image: spec.image.unwrap_or_default(),
                init: spec.init,
                mounting: if loops { options.mounting } else { Some(BTreeSet::new()) },
            });
            Ok((machines, volumes))
        })?;
        Ok(Docker { ledger: Arc::new(ledger), run, socket, owner })
    }

    /// Removes the data folder and all that the engine has of it when nothing is in it but machines that were
    /// ended (not `ended`: not even those). Answers whether it did.
    pub fn remove_when_over(&self, ended: bool) -> Result<bool, ProviderError> {
        let _lock = self.ledger.lock()?;
        if !self.ledger.is_over(ended)? {
            return Ok(false);
        }
        // Without a machine that is left, everything of ours at the engine goes.
        self.ledger.sweep()?;
        durable::remove(&self.ledger.data)?;
        // Others may have sockets there: then it stays.
        _ = std::fs::remove_dir(&self.run);
        Ok(true)
    }
}

impl Provider for Docker {
    fn character(&self) -> Character {
        Character::at_hand(Fence::Terminate)
    }
    fn describe(&self) -> Answering<'_, Listing> {
        self.ledger.aside(Ledger::list)
    }
    fn read<'a>(&'a self, id: &'a ObjectId) -> Answering<'a, Option<Object>> {
        self.ledger.reading(id)
    }
    fn issue<'a>(&'a self, call: &'a Call) -> Answering<'a, Answer> {
        self.ledger.issuing(call)
    }
    fn verify<'a>(&'a self, id: &'a SnapshotId) -> Answering<'a, Verdict> {
        self.ledger.verifying(id)
    }
    fn way_in<'a>(&'a self, machine: &'a Machine, terminal: bool) -> Answering<'a, WayIn> {
        let (socket, owner, machine) = (self.socket.clone(), self.owner.clone(), machine.clone());
        self.ledger.aside(move |_| way_in::way_in(&socket, &owner, &machine, terminal))
    }
}
