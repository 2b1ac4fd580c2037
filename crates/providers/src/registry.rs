//! Every provider that a file can name, by an explicit match. A new one is a file beside this and an arm here.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;

use ideal_core::id::CloudId;
use ideal_core::ideal::{DockerSpec, ProviderSpec, SshSpec};
use ideal_host::{AgentCommand, durable};

use crate::ec2::Rates;
use ideal_ssh::Program;

use crate::{Docker, DockerOptions, Ec2, Local, LocalOptions, Provider, Ssh};

/// Where providers find what they need on this machine.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The folder of the ideal file.
    pub project: PathBuf,
    /// A short folder for sockets, only ours.
    pub run: PathBuf,
    /// How to start an agent.
    pub agent: AgentCommand,
    /// A folder of which nothing is missed when it is lost; none: nothing is kept.
    pub cache: Option<PathBuf>,
    /// Clouds whose nodes have mounts.
    pub mounting: BTreeSet<CloudId>,
}

impl Surroundings {
    /// Where `local` keeps its things.
    pub fn local_data(&self) -> PathBuf {
        self.project.join(".ideal").join("local")
    }
    /// Where `docker` keeps its things.
    pub fn docker_data(&self) -> PathBuf {
        self.project.join(".ideal").join("docker")
    }
    /// Where `ssh` keeps its things.
    pub fn ssh_data(&self) -> PathBuf {
        self.project.join(".ideal").join("ssh")
    }
    /// Where the ways and keys of machines of `ec2` are.
    pub fn ec2_data(&self) -> PathBuf {
        self.project.join(".ideal").join("ec2")
    }
    /// The program that is brought to machines that come without an agent.
    fn program(&self) -> std::io::Result<Rc<Program>> {
        Program::new(&self.agent.program, self.cache.clone()).map(Rc::new)
    }
    /// The data folder of a provider that has one on this machine.
    pub fn data(&self, spec: &ProviderSpec) -> Option<PathBuf> {
        match spec {
            ProviderSpec::Local => Some(self.local_data()),
            ProviderSpec::Docker(_) => Some(self.docker_data()),
            ProviderSpec::Ssh(_) => Some(self.ssh_data()),
            ProviderSpec::Ec2(_) => Some(self.ec2_data()),
            ProviderSpec::Sim => None,
        }
    }
    /// Where a provider has its things, as far as the file says it: what is there is listed by whoever looks there.
    pub fn place(&self, spec: &ProviderSpec) -> Option<String> {
        match spec {
            ProviderSpec::Ec2(spec) => {
                let said = [&spec.profile, &spec.region, &spec.endpoint]
                    .map(|one| one.as_deref().unwrap_or_default());
                Some(format!("ec2 {}", said.join(" ")))
            }
            _ => self.data(spec).map(|data| data.display().to_string()),
        }
    }
}

/// Why a provider cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It lives in tests only.
    #[error("the provider `sim` is only for tests; nothing real can be made with it")]
    OnlyForTests,
    /// It cannot be reached.
    #[error("{path} cannot be used: {source}")]
    Unreachable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Opens the provider that a file names.
pub fn open(spec: &ProviderSpec, around: &Surroundings) -> Result<Rc<dyn Provider>, RegistryError> {
    let unreachable = |path: PathBuf| move |source| RegistryError::Unreachable { path, source };
    match spec {
        ProviderSpec::Local => Ok(Rc::new(local(around).map_err(unreachable(around.local_data()))?)),
        ProviderSpec::Docker(spec) => {
            Ok(Rc::new(docker(spec, around).map_err(unreachable(around.docker_data()))?))
        }
        ProviderSpec::Ec2(spec) => {
            let program = around.program().map_err(unreachable(around.agent.program.clone()))?;
            let ec2 = Ec2::new((**spec).clone(), Rates::default());
            Ok(Rc::new(ec2.bringing(around.ec2_data(), program)))
        }
        ProviderSpec::Ssh(spec) => {
            Ok(Rc::new(ssh(spec, around).map_err(unreachable(around.agent.program.clone()))?))
        }
        ProviderSpec::Sim => Err(RegistryError::OnlyForTests),
    }
}

fn local(around: &Surroundings) -> std::io::Result<Local> {
    let (run, agent) = (around.run.clone(), around.agent.clone());
    Local::new(LocalOptions { data: around.local_data(), run, agent })
}

fn docker(spec: &DockerSpec, around: &Surroundings) -> std::io::Result<Docker> {
    Docker::new(DockerOptions {
        data: around.docker_data(),
        run: around.run.clone(),
        agent: around.agent.clone(),
        spec: spec.clone(),
        mounting: Some(around.mounting.clone()),
    })
}

/// The provider of machines that exist.
pub fn ssh(spec: &SshSpec, around: &Surroundings) -> std::io::Result<Ssh> {
    Ok(Ssh::new(spec.clone(), around.ssh_data(), around.program()?))
}

/// Removes the folders of providers in which nothing is any more. `ended`: also when machines that were ended
/// are still remembered there.
pub fn sweep<'a>(
    specs: impl Iterator<Item = &'a ProviderSpec>,
    around: &Surroundings,
    ended: bool,
) -> std::io::Result<()> {
    for spec in specs {
        let Some(data) = around.data(spec).filter(|data| data.exists()) else { continue };
        let removed = match spec {
            ProviderSpec::Docker(spec) => {
                docker(spec, around)?.remove_when_over(ended).map_err(std::io::Error::other)?
            }
            ProviderSpec::Ssh(_) => crate::ssh::remove_when_over(&data, ended)?,
            // Ways and keys, of use for as long as there may be a machine.
            ProviderSpec::Ec2(_) if ended => {
                durable::remove(&data)?;
                true
            }
            ProviderSpec::Ec2(_) => false,
            _ => local(around)?.remove_when_over(ended)?,
        };
        if removed {
            // Something of a person's may lie beside it: then it stays.
            _ = data.parent().map(std::fs::remove_dir);
        }
    }
    Ok(())
}
