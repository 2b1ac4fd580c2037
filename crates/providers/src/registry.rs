//! Every provider that a file can name, by an explicit match. A new one is a file beside this and an arm here.

use std::path::PathBuf;
use std::rc::Rc;

use ideal_core::ideal::ProviderSpec;
use ideal_host::AgentCommand;

use crate::{Local, LocalOptions, Provider};

/// Where providers find what they need on this machine.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The folder of the ideal file.
    pub project: PathBuf,
    /// A short folder for sockets, only ours.
    pub run: PathBuf,
    /// How to start an agent.
    pub agent: AgentCommand,
}

impl Surroundings {
    /// Where `local` keeps its things.
    pub fn local_data(&self) -> PathBuf {
        self.project.join(".ideal").join("local")
    }
}

/// Why a provider cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It lives in tests only.
    #[error("the provider `sim` is only for tests; nothing real can be made with it")]
    OnlyForTests,
    /// It cannot be reached.
    #[error("its data folder {path} cannot be used: {source}")]
    Unreachable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Opens the provider that a file names.
pub fn open(spec: ProviderSpec, around: &Surroundings) -> Result<Rc<dyn Provider>, RegistryError> {
    match spec {
        ProviderSpec::Local => match local(around) {
            Ok(local) => Ok(Rc::new(local)),
            Err(source) => Err(RegistryError::Unreachable { path: around.local_data(), source }),
        },
        ProviderSpec::Sim => Err(RegistryError::OnlyForTests),
    }
}

fn local(around: &Surroundings) -> std::io::Result<Local> {
    let (run, agent) = (around.run.clone(), around.agent.clone());
    Local::new(LocalOptions { data: around.local_data(), run, agent })
}

/// Removes the folders of providers in which nothing is any more. `ended`: also when machines that were ended
/// are still remembered there.
pub fn sweep(around: &Surroundings, ended: bool) -> std::io::Result<()> {
    let data = around.local_data();
    if data.exists() && local(around)?.remove_when_over(ended)? {
        // Something of a person's may lie beside it: then it stays.
        _ = data.parent().map(std::fs::remove_dir);
    }
    Ok(())
}
