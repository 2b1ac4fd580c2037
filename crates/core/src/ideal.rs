//! What is wanted.
//!
//! Two shapes of one thing: [`document`] is the file as people write it (nested, inherited, every field
//! optional that can be); [`Ideal`] is the same resolved: a flat list of clouds, each with all that applies to
//! it. [`resolve`](resolve()) goes from the first to the second; the planner knows only the second.

pub mod document;
mod nodes;
mod provider;
mod resolve;
pub mod service;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::address::{Address, CloudPath};
use crate::id::{CloudId, Name, SlotId};
use crate::policy::Policy;
use crate::recipe::{FileRef, Use};
use crate::resource::Declaration;
use crate::time::Bytes;

pub use document::{Backup, Document, Filesystem, From, Hook, Hooks, Keep, Lost, MachineSize, MountSpec};
pub use nodes::Nodes;
pub use provider::{
    DockerSpec, Ec2Rule, Ec2Spec, HostKeys, Init, Login, Protocol, ProviderSpec, SshMachine, SshSpec,
    VolumesOf, is_host_key,
};

pub use resolve::{Level, Origins, Recipes, Resolved, place_of, resolve, resolve_with};
pub use service::ServiceSpec;

/// The whole of what is wanted, resolved: inheritance applied, names checked, structure expressions evaluated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ideal {
    /// The providers that clouds may name; with none in the file, `here: local`.
    pub providers: BTreeMap<Name, ProviderSpec>,
    /// Every cloud of the file, parents before children, siblings by name.
    pub clouds: Vec<Arc<Cloud>>,
    /// Every service, by name.
    pub services: Vec<Arc<Service>>,
    /// The file's variables, for expressions that are evaluated later.
    pub vars: serde_json::Map<String, serde_json::Value>,
    /// Limits.
    pub policy: Policy,
    /// The programs in the project's folder `plugins`.
    #[serde(default)]
    pub plugins: BTreeMap<Name, FileRef>,
    /// The secrets that the file declares, each with its revision: a text that changes when the secret does and
    /// says nothing else of it. Empty until the edge has looked.
    pub secrets: BTreeMap<Name, String>,
}

/// One cloud with everything that applies to its nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cloud {
    /// Its identity.
    pub id: CloudId,
    /// Its present name.
    pub path: CloudPath,
    /// The name of its provider, under `providers:`.
    pub provider: Name,
    /// How many nodes are wanted.
    pub nodes: u32,
    /// How many it may have when its replicas need them: see [`crate::planner::grown`].
    pub most: u32,
    /// The image of the machines, in the provider's words; empty: the provider's default.
    pub image: String,
    /// The size of the machines.
    pub size: MachineSize,
    /// Labels, inherited ones first.
    pub tags: Vec<Name>,
    /// Refuses destruction of what runs here.
    pub protect: bool,
    /// Filesystems of every node.
    pub mounts: Vec<Mount>,
    /// What may refuse or must follow a state.
    pub hooks: Hooks,
    /// Recipes of every node, root's first, each after those that it uses; all before the resources.
    pub recipes: Vec<Arc<Use>>,
    /// What is kept right on every node, root's first. Shared with the clouds that inherit it: one long text
    /// in the root must not be held once for each of ten thousand clouds.
    pub resources: Vec<Arc<Declaration>>,
}

/// A filesystem that each node of a cloud has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mount {
    /// Its name.
    pub name: Name,
    /// The name it had before; objects under that name are its own.
    pub was: Option<Name>,
    /// How large the volume is.
    pub size: Bytes,
    /// Where it is mounted, absolute, within the node's root.
    pub at: String,
    /// What is on it.
    pub filesystem: Filesystem,
    /// What stays when it is put away.
    pub keep: Keep,
    /// What its first volume is made of.
    pub from: Option<From>,
    /// Snapshots while it is in use.
    #[serde(default)]
    pub backup: Option<Backup>,
    /// What is done when its data is lost.
    #[serde(default)]
    pub lost: Lost,
}

/// A service with its name and the clouds it runs on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// The identity of its replicas, as a cloud's is that of its nodes: derived from the cloud that it is on and
    /// the name that it had first. What its replicas own carries it.
    pub id: CloudId,
    /// Its name.
    pub name: Name,
    /// The cloud that it is on.
    pub cloud: CloudId,
    /// That cloud and those in it: their nodes may carry its replicas.
    pub clouds: Vec<CloudId>,
    /// How many replicas are wanted.
    pub replicas: u32,
    /// Filesystems of each replica.
    pub mounts: Vec<Mount>,
    /// All else.
    pub spec: ServiceSpec,
}

impl Service {
    /// What a replica is to whatever belongs to it: a slot that owns mounts and has no machine of its own.
    pub fn slot(&self, index: u32) -> SlotId {
        SlotId { cloud: self.id, index }
    }
    /// `pub[0]`.
    pub fn address(&self, index: u32) -> String {
        format!("{}[{index}]", self.name)
    }
    /// The identity of a service that was first called `first`, on the cloud `on`.
    pub fn identity(on: CloudId, first: &Name) -> CloudId {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"ideal service").update(on.0.as_bytes()).update(first.as_str().as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        CloudId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

impl Ideal {
    /// The cloud with this uuid.
    pub fn cloud(&self, id: CloudId) -> Option<&Arc<Cloud>> {
        self.clouds.iter().find(|cloud| cloud.id == id)
    }
    /// The cloud with this path.
    pub fn cloud_at(&self, path: &CloudPath) -> Option<&Arc<Cloud>> {
        self.clouds.iter().find(|cloud| &cloud.path == path)
    }
    /// The service whose replicas have this identity.
    pub fn service(&self, id: CloudId) -> Option<&Arc<Service>> {
        self.services.iter().find(|service| service.id == id)
    }
    /// Whether a cloud or a service of the file has this identity.
    pub fn knows(&self, id: CloudId) -> bool {
        self.cloud(id).is_some() || self.service(id).is_some()
    }
    /// The provider of a cloud's nodes, or of the clouds that a service is on.
    pub fn provider_of(&self, id: CloudId) -> Option<&Name> {
        let cloud = self.cloud(id).or_else(|| self.cloud(self.service(id)?.cloud))?;
        Some(&cloud.provider)
    }
    /// The mount of a node or of a replica, as the file wants it.
    pub fn mount(&self, slot: SlotId, name: &Name) -> Option<&Mount> {
        let own = match self.cloud(slot.cloud) {
            Some(cloud) => &cloud.mounts,
            None => &self.service(slot.cloud)?.mounts,
        };
        own.iter().find(|mount| mount.name == *name)
    }
    /// The address of a slot, by the present name of its cloud or service; by its uuid when the file no longer has it.
    pub fn address(&self, slot: SlotId) -> String {
        match (self.cloud(slot.cloud), self.service(slot.cloud)) {
            (Some(cloud), _) => format!("{}[{}]", cloud.path, slot.index),
            (None, Some(service)) => service.address(slot.index),
            (None, None) => format!("{}[{}]", slot.cloud, slot.index),
        }
    }
    /// Which clouds an address covers: the cloud itself and all below. Empty when there is no such cloud.
    pub fn covered<'a>(&'a self, address: &'a Address) -> impl Iterator<Item = &'a Arc<Cloud>> {
        self.clouds.iter().filter(|cloud| cloud.path.is_within(&address.path))
    }
}
