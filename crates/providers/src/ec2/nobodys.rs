//! What there is at EC2 that no cloud owns: what a person may want to take over. It is only looked at here; what a file
//! names is claimed by the engine.

use std::collections::{BTreeMap, BTreeSet};

use ideal_core::id::{MachineId, VolumeId};
use ideal_core::time::Bytes;

use super::Ec2;
use super::actions::Action;
use super::element::Element;
use super::query::Query;
use super::see::VALUES;
use super::tags::{self, written};
use crate::ProviderError;

/// How many things are asked for at once: as many as EC2 gives.
const PAGE: u32 = 1000;

/// A volume that is nobody's, and is not the disk that a machine started from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NobodysVolume {
    /// Its id.
    pub id: VolumeId,
    /// Its tag `Name`; empty when it has none.
    pub name: String,
    /// How large it is.
    pub size: Bytes,
    /// Where it is.
    pub zone: String,
    /// Which machine has it, and as which device. It can be taken over when none has.
    pub used_by: Option<(MachineId, String)>,
}

/// A machine that runs and is nobody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NobodysMachine {
    /// Its id.
    pub id: MachineId,
    /// Its tag `Name`; empty when it has none.
    pub name: String,
    /// Where other machines of its network reach it.
    pub address: String,
    /// Where it is reached from outside, when it is.
    pub public: Option<String>,
    /// As whom one logs in, when its image is of a maker that is known.
    pub user: Option<&'static str>,
    /// The name of its key pair.
    pub key: Option<String>,
    /// Where it is.
    pub zone: String,
}

impl Ec2 {
    /// All volumes that are nobody's, by id.
    ///
    /// # Errors
    ///
    /// EC2 cannot be asked, or not all of its answer came.
    pub async fn nobodys_volumes(&self) -> Result<Vec<NobodysVolume>, ProviderError> {
        let volumes = Query::new(Action::DescribeVolumes).with("MaxResults", PAGE);
        let pages = self.client.elements(volumes).await?;
        let machines = self.instances().await?;
        let roots: BTreeSet<&str> = machines.iter().flat_map(root).collect();
        let all = pages.iter().flat_map(|page| page.items("volumeSet"));
        let is_free = |one: &&Element| {
            let own = written(one);
            // What was restored on trial is on its way out.
            let taken = [tags::CLOUD, tags::TRIAL, tags::RETIRED].iter().any(|tag| own.contains_key(*tag));
            let over = matches!(one.text("status"), "deleting" | "deleted" | "error");
            !taken && !over && !roots.contains(one.text("volumeId"))
        };
        let found = all.filter(is_free).map(|one| {
            let at = one.items("attachmentSet").find(|at| at.text("status") != "detached");
            NobodysVolume {
                id: VolumeId::new(one.text("volumeId")),
                name: name(one),
                size: Bytes(one.parsed::<u64>("size").unwrap_or_default().saturating_mul(1 << 30)),
                zone: one.text("availabilityZone").to_owned(),
                used_by: at.map(|at| (MachineId::new(at.text("instanceId")), at.text("device").to_owned())),
            }
        });
        let mut found: Vec<NobodysVolume> = found.collect();
        found.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(found)
    }

    /// All machines that run and are nobody's, by id.
    ///
    /// # Errors
    ///
    /// EC2 cannot be asked, or not all of its answer came.
    pub async fn nobodys_machines(&self) -> Result<Vec<NobodysMachine>, ProviderError> {
        let mut all = self.instances().await?;
        let runs = |one: &Element| one.get("instanceState").is_some_and(|own| own.text("name") == "running");
        all.retain(|one| runs(one) && !written(one).contains_key(tags::CLOUD));
        let images: BTreeSet<String> = all.iter().map(|one| one.text("imageId").to_owned()).collect();
        let mut users: BTreeMap<String, &'static str> = BTreeMap::new();
        for some in Vec::from_iter(images).chunks(VALUES) {
            // By filter: of ids, one that is gone would make the answer an error.
            let query = Query::new(Action::DescribeImages).any_of("image-id", some);
            for image in self.client.ask(&query).await?.items("imagesSet") {
                let user = user(image.text("name"));
                users.extend(user.map(|user| (image.text("imageId").to_owned(), user)));
            }
        }
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let found = all.iter().map(|one| NobodysMachine {
            id: MachineId::new(one.text("instanceId")),
            name: name(one),
            address: one.text("privateIpAddress").to_owned(),
            public: some(one.text("ipAddress")),
            user: users.get(one.text("imageId")).copied(),
            key: some(one.text("keyName")),
            zone: one.get("placement").map(|at| at.text("availabilityZone").to_owned()).unwrap_or_default(),
        });
        let mut found: Vec<NobodysMachine> = found.collect();
        found.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(found)
    }

    /// All machines of the region, whosever.
    async fn instances(&self) -> Result<Vec<Element>, ProviderError> {
        let pages =
            self.client.elements(Query::new(Action::DescribeInstances).with("MaxResults", PAGE)).await?;
        let all = pages.iter().flat_map(|page| page.items("reservationSet"));
        Ok(all.flat_map(|one| one.items("instancesSet")).cloned().collect())
    }
}

/// The volume that a machine started from.
fn root(machine: &Element) -> Option<&str> {
    let device = machine.text("rootDeviceName");
    let mapping = machine.items("blockDeviceMapping").find(|one| one.text("deviceName") == device)?;
    Some(mapping.get("ebs")?.text("volumeId"))
}

fn name(element: &Element) -> String {
    written(element).remove("Name").unwrap_or_default()
}

/// As whom one logs in to a machine of an image, as its maker names those.
fn user(image: &str) -> Option<&'static str> {
    let makers = [
        ("debian-", "admin"),
        ("ubuntu/", "ubuntu"),
        ("al2023-ami-", "ec2-user"),
        ("amzn2-ami-", "ec2-user"),
    ];
    makers.into_iter().find(|(begins, _)| image.starts_with(begins)).map(|(_, user)| user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_maker_says_who_logs_in() {
        assert_eq!(user("debian-12-amd64-20240717-1811"), Some("admin"));
        assert_eq!(
            user("ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20240801"),
            Some("ubuntu")
        );
        assert_eq!(user("my-own-debian-12"), None);
    }

    #[test]
    fn the_disk_that_a_machine_started_from_is_known() {
        let xml = "<a><rootDeviceName>/dev/xvda</rootDeviceName><blockDeviceMapping>\
                   <item><deviceName>/dev/sdf</deviceName><ebs><volumeId>vol-1</volumeId></ebs></item>\
                   <item><deviceName>/dev/xvda</deviceName><ebs><volumeId>vol-2</volumeId></ebs></item>\
                   </blockDeviceMapping></a>";
        assert_eq!(root(&Element::read(xml.as_bytes()).unwrap()), Some("vol-2"));
        assert_eq!(root(&Element::read(b"<a><rootDeviceName>/dev/xvda</rootDeviceName></a>").unwrap()), None);
    }
}
