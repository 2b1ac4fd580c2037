//! The providers that a file can name, with what may be said of each.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

mod ec2;
mod ssh;

pub use ec2::{Ec2Rule, Ec2Spec, HostKeys, Protocol};
pub use ssh::{Login, SshMachine, SshSpec, is_host_key};

/// What makes machines and volumes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderSpec {
    /// Processes and folders on this machine: no root, no Docker, no network.
    Local,
    /// Containers of an engine on this machine, with block devices as volumes. Written `docker`, or with options:
    /// `docker: {image: debian:12}`.
    Docker(DockerSpec),
    /// Machines, volumes and snapshots of Amazon's EC2. Written `ec2`, or with options: `ec2: {region: eu-west-1}`.
    Ec2(Box<Ec2Spec>),
    /// Machines that exist and are reached by OpenSSH: `ssh: {machines: [{address: 10.0.0.5}]}`.
    Ssh(SshSpec),
    /// The simulated cloud, in memory: for tests and benchmarks.
    Sim,
}

/// The provider `docker`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DockerSpec {
    /// The image of machines whose cloud names none. The engine must have it: none is pulled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What volumes are made of. Default `loop`.
    #[serde(default)]
    pub volumes: VolumesOf,
    /// What the first process of a machine is. Default `keeper`.
    #[serde(default)]
    pub init: Init,
    /// The socket of the engine. Default `/var/run/docker.sock`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
}

/// What volumes of the provider `docker` are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum VolumesOf {
    /// Block devices with a filesystem each. Needs loop devices on this machine.
    #[default]
    Loop,
    /// Folders, where loop devices cannot be had. Their size is not enforced.
    Folder,
}

/// What the first process of a machine of the provider `docker` is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// Our keeper, and nothing else: any image will do.
    #[default]
    Keeper,
    /// The systemd of the image, with our keeper as a unit of it.
    Systemd,
    /// The sshd of the image, with our keeper beside it.
    Sshd,
}

impl ProviderSpec {
    /// What is said of it without options.
    fn plain(word: &str) -> Option<ProviderSpec> {
        Some(match word {
            "local" => ProviderSpec::Local,
            "docker" => ProviderSpec::Docker(DockerSpec::default()),
            "ec2" => ProviderSpec::Ec2(Box::default()),
            "sim" => ProviderSpec::Sim,
            _ => return None,
        })
    }
}

impl<'de> Deserialize<'de> for ProviderSpec {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<ProviderSpec, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = ProviderSpec;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("local, docker, ec2, ssh or sim, or a mapping of one of them to its options")
            }
            fn visit_str<E: Error>(self, word: &str) -> Result<ProviderSpec, E> {
                if word == "ssh" {
                    return Err(E::custom(
                        "`ssh` needs its machines: `ssh: {machines: [{address: 10.0.0.5}]}`",
                    ));
                }
                ProviderSpec::plain(word).ok_or_else(|| E::custom(format!("`{word}` is no provider")))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<ProviderSpec, A::Error> {
                let Some(word) = entries.next_key::<String>()? else {
                    return Err(A::Error::custom("one provider is wanted here"));
                };
                let spec = match ProviderSpec::plain(&word) {
                    Some(ProviderSpec::Docker(_)) => {
                        ProviderSpec::Docker(entries.next_value::<Option<DockerSpec>>()?.unwrap_or_default())
                    }
                    Some(ProviderSpec::Ec2(_)) => {
                        ProviderSpec::Ec2(entries.next_value::<Option<Box<Ec2Spec>>>()?.unwrap_or_default())
                    }
                    None if word == "ssh" => ProviderSpec::Ssh(entries.next_value()?),
                    Some(_) => {
                        return Err(A::Error::custom(format!(
                            "`{word}` takes no options; write the word alone"
                        )));
                    }
                    None => return Err(A::Error::custom(format!("`{word}` is no provider"))),
                };
                match entries.next_key::<String>()? {
                    None => Ok(spec),
                    Some(_) => Err(A::Error::custom("one provider is wanted here")),
                }
            }
        }
        from.deserialize_any(Reader)
    }
}

impl JsonSchema for ProviderSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ProviderSpec".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let docker = generator.subschema_for::<DockerSpec>();
        let ec2 = generator.subschema_for::<Ec2Spec>();
        let ssh = generator.subschema_for::<SshSpec>();
        json_schema!({
            "description": "What makes machines and volumes.",
            "oneOf": [
                {
                    "description": "Processes and folders on this machine: no root, no Docker, no network.",
                    "type": "string",
                    "const": "local"
                },
                {
                    "description": "Containers of an engine on this machine, with block devices as volumes.",
                    "type": "string",
                    "const": "docker"
                },
                {
                    "description": "Machines, volumes and snapshots of Amazon's EC2.",
                    "type": "string",
                    "const": "ec2"
                },
                {
                    "description": "The simulated cloud, in memory: for tests and benchmarks.",
                    "type": "string",
                    "const": "sim"
                },
                {
                    "description": "`docker` with options.",
                    "type": "object",
                    "properties": {"docker": docker},
                    "required": ["docker"],
                    "additionalProperties": false
                },
                {
                    "description": "`ec2` with options.",
                    "type": "object",
                    "properties": {"ec2": ec2},
                    "required": ["ec2"],
                    "additionalProperties": false
                },
                {
                    "description": "Machines that exist and are reached by OpenSSH.",
                    "type": "object",
                    "properties": {"ssh": ssh},
                    "required": ["ssh"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_a_word_or_has_options() {
        let read = |text: &str| serde_json::from_str::<ProviderSpec>(text);
        let plain = ProviderSpec::Docker(DockerSpec::default());
        assert_eq!(read("\"local\"").unwrap(), ProviderSpec::Local);
        assert_eq!(read("\"docker\"").unwrap(), plain);
        assert_eq!(read("{\"docker\": null}").unwrap(), plain);
        let folders = DockerSpec { volumes: VolumesOf::Folder, ..DockerSpec::default() };
        let folders = ProviderSpec::Docker(folders);
        assert_eq!(read("{\"docker\": {\"volumes\": \"folder\"}}").unwrap(), folders);
        assert_eq!(read(&serde_json::to_string(&folders).unwrap()).unwrap(), folders);
        let systemd = ProviderSpec::Docker(DockerSpec { init: Init::Systemd, ..DockerSpec::default() });
        assert_eq!(read("{\"docker\": {\"init\": \"systemd\"}}").unwrap(), systemd);
        let aws = read("{\"ec2\": {\"region\": \"eu-west-1\", \"zones\": [\"eu-west-1a\"]}}").unwrap();
        assert_eq!(read(&serde_json::to_string(&aws).unwrap()).unwrap(), aws);
        let machines = read("{\"ssh\": {\"machines\": [{\"address\": \"10.0.0.5\"}]}}").unwrap();
        assert_eq!(read(&serde_json::to_string(&machines).unwrap()).unwrap(), machines);
        assert_eq!(read("\"ec2\"").unwrap(), ProviderSpec::Ec2(Box::default()));
        for wrong in [
            "{\"ec2\": {\"colour\": \"a\"}}",
            "{\"local\": null}",
            "\"dcoker\"",
            "\"ssh\"",
            "{\"ssh\": {\"machines\": [\"10.0.0.5\"]}}",
            "{}",
            "{\"sim\": 1}",
            "{\"docker\": {\"imgae\": \"a\"}}",
            "{\"docker\": {\"init\": \"upstart\"}}",
            "3",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(read("{\"sim\": null, \"local\": null}").is_err());
    }
}
