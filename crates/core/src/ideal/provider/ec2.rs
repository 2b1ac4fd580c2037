//! What a file may say of the provider `ec2`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Login;
use crate::ideal::document::MachineSize;
use crate::time::Span;

/// The provider `ec2`. What is not said is as every program of AWS finds it: variables, profiles, single sign-on, the
/// role of the machine it runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ec2Spec {
    /// The region: `eu-west-1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The profile of the AWS configuration that has the credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Where EC2 answers, when it is not the usual place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The zones of new machines and volumes, shared out by the number of the node. What is in a zone stays there.
    /// Default: the first of the region.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<String>,
    /// The image of machines whose cloud names none: `debian-12`, a name of `images`, or `ami-…`. Default `debian-12`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Images by names of your own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, String>,
    /// The size of machines whose cloud names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<MachineSize>,
    /// Types of machines whose cloud names no size, in the order in which they are tried: `[m6i.large, m5.large]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// The subnet of each zone. Default: that of the default network.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub subnets: BTreeMap<String, String>,
    /// The network of the security group that `rules` makes. Default: the default network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Security groups that exist, by id.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_groups: Vec<String>,
    /// What may come in: a security group of its own is made for these rules.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Ec2Rule>,
    /// The name of the key pair that machines are made with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The public key of the key pair `key`, which is imported when EC2 has none of that name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// How one logs in to machines, where the agent is brought to them. Default: as the user `ideal`, who is made at the
    /// first start of a machine, with a key of the project's own.
    #[serde(skip_serializing_if = "Login::is_empty")]
    pub login: Login,
    /// Where the host keys of machines come from, where the agent is brought to them. Default `given`.
    #[serde(skip_serializing_if = "HostKeys::is_given")]
    pub host_keys: HostKeys,
    /// Whether machines are reached at their private address: from within their network, or over it.
    pub private: bool,
    /// What a machine is given at its first start: a script, or cloud-init's YAML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_data: Option<String>,
    /// The name of the instance profile of machines: which role they have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_profile: Option<String>,
    /// Whether new volumes are encrypted. Default `true`.
    pub encrypted: bool,
    /// The key that volumes are encrypted with. Default: the account's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key: Option<String>,
    /// The type of new volumes. Default `gp3`.
    pub volume_type: String,
    /// Whether machines are protected against an end that is not ours: by the console, or by another program.
    pub protected: bool,
    /// Whether the credentials are bound by the policy in `docs/ec2-policy.json`, so that EC2 itself deletes
    /// nothing that is not marked. Without it there are ten minutes between mark and end.
    pub enforced: bool,
    /// How long it may take until everybody sees what was done. Less than the usual minute is for what speaks the API of
    /// EC2 and is not Amazon's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settle: Option<Span>,
}

impl Default for Ec2Spec {
    fn default() -> Ec2Spec {
        Ec2Spec {
            region: None,
            profile: None,
            endpoint: None,
            zones: Vec::new(),
            image: None,
            images: BTreeMap::new(),
            size: None,
            types: Vec::new(),
            subnets: BTreeMap::new(),
            network: None,
            security_groups: Vec::new(),
            rules: Vec::new(),
            key: None,
            public_key: None,
            login: Login::default(),
            host_keys: HostKeys::Given,
            private: false,
            user_data: None,
            instance_profile: None,
            encrypted: true,
            kms_key: None,
            volume_type: "gp3".to_owned(),
            protected: false,
            enforced: false,
            settle: None,
        }
    }
}

impl Ec2Spec {
    /// The words for images that are known without being told.
    pub const IMAGES: [&str; 5] =
        ["debian-12", "debian-13", "ubuntu-22.04", "ubuntu-24.04", "amazon-linux-2023"];

    /// Families of types from before Nitro. Their machines show no serial numbers of volumes, by which a node would find
    /// those; the bare metal of such a family is of Nitro.
    const BEFORE_NITRO: [&str; 29] = [
        "c1", "c3", "c4", "cc1", "cc2", "cg1", "cr1", "d2", "f1", "g2", "g3", "g3s", "h1", "hi1", "hs1",
        "i2", "i3", "m1", "m2", "m3", "m4", "p2", "p3", "r3", "r4", "t1", "t2", "x1", "x1e",
    ];

    /// Whether a node of this type would find its volumes.
    pub fn finds_volumes(machine_type: &str) -> bool {
        let (family, size) = machine_type.split_once('.').unwrap_or((machine_type, ""));
        !Ec2Spec::BEFORE_NITRO.contains(&family) || size == "metal"
    }

    /// Whether a word means an image: one of [`Ec2Spec::IMAGES`], a name of `images`, or an id.
    pub fn knows_image(&self, word: &str) -> bool {
        Ec2Spec::IMAGES.contains(&word) || word.starts_with("ami-") || self.images.contains_key(word)
    }
}

/// Where the host keys of machines come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HostKeys {
    /// They are given to machines when those are made: the same to all that are made by one request.
    #[default]
    Given,
    /// Each machine makes its own, and it is read once from what the machine prints on its console.
    Console,
}

impl HostKeys {
    fn is_given(&self) -> bool {
        *self == HostKeys::Given
    }
}

/// What may come in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ec2Rule {
    /// From where: `10.0.0.0/8`.
    pub from: String,
    /// To which port.
    pub port: u16,
    /// To all ports up to this one. Default: only to that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u16>,
    /// By which protocol. Default `tcp`.
    #[serde(default)]
    pub protocol: Protocol,
}

/// How something comes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Connections.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_from_before_nitro_are_known() {
        for old in
            ["t2.micro", "m4.large", "i3.large", "p3.2xlarge", "g3s.xlarge", "x1e.xlarge", "x1.16xlarge"]
        {
            assert!(!Ec2Spec::finds_volumes(old), "{old}");
        }
        for new in ["t3.small", "m5.large", "i3.metal", "i3en.large", "p3dn.24xlarge", "m7g.large"] {
            assert!(Ec2Spec::finds_volumes(new), "{new}");
        }
    }
}
