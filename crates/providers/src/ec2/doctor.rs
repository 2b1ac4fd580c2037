//! What `ideal doctor` asks of EC2: what the credentials allow, by dry runs, and how far its clock is from ours.
//!
//! A dry run changes nothing at Amazon's endpoints. Another that speaks the Query API may not know it and do what it is
//! told: there only what looks is tried. Most rights to change are bound to tags, so a dry run needs a thing that has
//! them; where there is none, it is said that nothing was tried.

use ideal_core::id::VolumeId;
use ideal_core::ideal::HostKeys;
use ideal_core::observed::{Listing, Volume};
use ideal_core::time::Span;

use super::actions::{Action, Grant};
use super::query::Query;
use super::see::gib;
use super::tags::{self, Written};
use super::{Ec2, meaning, policy};
use crate::ProviderError;

/// Whether one action is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// The action: `CreateVolume`.
    pub action: &'static str,
    /// The statement of `docs/ec2-policy.json` that allows it.
    pub statement: &'static str,
    /// The line of that file, from 1.
    pub line: usize,
    /// What was found.
    pub found: Allowed,
}

/// What a dry run says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// It would be done.
    Yes,
    /// It would be refused.
    No,
    /// Nobody knows, and why.
    Unknown(String),
}

/// How far our clock is from that of EC2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skew {
    /// Whether ours is the later one.
    pub is_ahead: bool,
    /// By how much.
    pub by: Span,
}

impl Ec2 {
    /// How far our clock is from that of EC2, as its last answer said; none before any answer, or when it told no time.
    pub fn skew(&self) -> Option<Skew> {
        self.client.skew()
    }

    /// Whether the endpoint is one of Amazon's.
    ///
    /// # Errors
    ///
    /// No region, or no source of credentials.
    pub async fn is_amazons(&self) -> Result<bool, ProviderError> {
        Ok(is_amazons(self.client.endpoint().await?))
    }

    /// Tries what the file needs, by dry runs, each action in the order of the table. `all`: also what changes something;
    /// only where an endpoint knows dry runs.
    ///
    /// # Errors
    ///
    /// EC2 cannot be asked at all.
    pub async fn permissions(&self, all: bool) -> Result<Vec<Permission>, ProviderError> {
        let mut found = Vec::new();
        let looks = Action::ALL.iter().copied().filter(|action| action.grant() == Grant::Look);
        let mut knows = false;
        for action in looks {
            let query = Query::new(action);
            let query = match action {
                Action::DescribeSnapshots => query.list("Owner", ["self"]),
                _ => query,
            };
            let (allowed, was_dry) = self.dry(query).await?;
            if action == Action::DescribeInstances {
                knows = was_dry;
            }
            found.push(permission(action, "Look", allowed));
        }
        if !all {
            return Ok(found);
        }
        let may_list =
            |action: Action| found.iter().any(|one| one.action == action.name() && one.found == Allowed::Yes);
        let listed = [Action::DescribeInstances, Action::DescribeVolumes, Action::DescribeSnapshots];
        let things = match listed.into_iter().all(may_list) {
            true => Box::pin(self.client.listing()).await?,
            false => Listing::default(),
        };
        for (action, statement, query) in self.changes(&things).await {
            let allowed = match query {
                Err(why) => Allowed::Unknown(why),
                Ok(_) if !knows => Allowed::Unknown("the endpoint does not know dry runs".to_owned()),
                Ok(query) => self.dry(query).await?.0,
            };
            found.push(permission(action, statement, allowed));
        }
        Ok(found)
    }

    /// One dry run, and whether it was taken for one.
    async fn dry(&self, query: Query) -> Result<(Allowed, bool), ProviderError> {
        let looks = query.action.grant() == Grant::Look;
        match self.client.ask(&query.with("DryRun", true)).await {
            Ok(_) if looks => Ok((Allowed::Yes, false)),
            Ok(_) => Ok((Allowed::Unknown("it was done, and not tried".to_owned()), false)),
            Err(failure) if failure.is("DryRunOperation") => Ok((Allowed::Yes, true)),
            Err(failure) if failure.is("UnauthorizedOperation") => Ok((Allowed::No, true)),
            Err(failure) if failure.is("AuthFailure") => Err(failure.into()),
            Err(failure) => Ok((Allowed::Unknown(failure.why()), false)),
        }
    }

    /// What would be asked of each action that changes something and that the file needs; or why it cannot be.
    async fn changes(&self, things: &Listing) -> Vec<(Action, &'static str, Result<Query, String>)> {
        let spec = &self.spec;
        let none = |what: &str| format!("there is no {what} of ours to try it on");
        let machine = things.machines.iter().find(|one| !one.state.is_over() && !one.retired);
        let machine = machine.map(|one| one.id.as_str().to_owned()).ok_or_else(|| none("machine"));
        let used = things.volumes.iter().find(|one| one.retired.is_none());
        let used: Result<&Volume, String> = used.ok_or_else(|| none("volume"));
        let volume = used.clone().map(|one| one.id.clone());
        let retired = things.volumes.iter().find(|one| one.retired.is_some());
        let retired: Result<VolumeId, String> =
            retired.map(|one| one.id.clone()).ok_or_else(|| none("retired volume"));
        let ended = things.machines.iter().find(|one| one.retired && !one.state.is_over());
        let ended = ended.map(|one| one.id.as_str().to_owned()).ok_or_else(|| none("retired machine"));
        let snapshot = things.snapshots.first().map(|one| one.id.clone()).ok_or_else(|| none("snapshot"));
        let zone = self.zone_for_volume(None).await.map_err(|error| error.to_string());
        let on = |action: Action, name: &str, id: &Result<String, String>| {
            id.clone().map(|id| Query::new(action).with(name, id))
        };
        let make = |action: Action| {
            zone.clone().map(|zone| {
                let query = Query::new(action).with("AvailabilityZone", zone).with("Size", 1);
                query.with("Encrypted", spec.encrypted)
            })
        };
        let mark = Written::from([(tags::TRIAL.to_owned(), "yes".to_owned())]);
        let mut all = vec![
            (Action::RunInstances, "Make", self.usual_machine().await),
            (Action::CreateVolume, "Make", make(Action::CreateVolume)),
            (
                Action::CreateSnapshot,
                "Make",
                volume.clone().map(|id| Query::new(Action::CreateSnapshot).with("VolumeId", id)),
            ),
            (
                Action::CreateTags,
                "MarkWhatIsMade",
                make(Action::CreateVolume).map(|query| query.tagged("volume", &mark)),
            ),
            (
                Action::CreateTags,
                "MarkOurs",
                volume.clone().map(|id| {
                    let query = Query::new(Action::CreateTags).list("ResourceId", [id]);
                    query.with("Tag.1.Key", tags::TRIAL).with("Tag.1.Value", "yes")
                }),
            ),
            (
                Action::DeleteTags,
                "ChangeOurs",
                volume.clone().map(|id| {
                    Query::new(Action::DeleteTags).list("ResourceId", [id]).with("Tag.1.Key", tags::TRIAL)
                }),
            ),
            (Action::CreateTags, "ClaimWhatIsNobodys", self.claim_of_nobodys().await),
            (Action::StartInstances, "ChangeOurs", on(Action::StartInstances, "InstanceId.1", &machine)),
            (Action::StopInstances, "ChangeOurs", on(Action::StopInstances, "InstanceId.1", &machine)),
            (
                Action::ModifyInstanceAttribute,
                "ChangeOurs",
                on(Action::ModifyInstanceAttribute, "InstanceId", &machine)
                    .map(|query| query.with("DisableApiTermination.Value", spec.protected)),
            ),
            (
                Action::ModifyVolume,
                "ChangeOurs",
                used.map(|one| {
                    let query = Query::new(Action::ModifyVolume).with("VolumeId", &one.id);
                    query.with("Size", gib(one.size))
                }),
            ),
            (
                Action::DetachVolume,
                "ChangeOurs",
                volume.clone().map(|id| Query::new(Action::DetachVolume).with("VolumeId", id)),
            ),
            (
                Action::DeleteSnapshot,
                "ChangeOurs",
                snapshot.map(|id| Query::new(Action::DeleteSnapshot).with("SnapshotId", id)),
            ),
            (
                Action::AttachVolume,
                "UseWhatIsNotRetired",
                volume.and_then(|id| {
                    let query = on(Action::AttachVolume, "InstanceId", &machine)?;
                    Ok(query.with("VolumeId", id).with("Device", "/dev/sdf"))
                }),
            ),
            (
                Action::TerminateInstances,
                "EndWhatIsRetired",
                on(Action::TerminateInstances, "InstanceId.1", &ended),
            ),
            (
                Action::DeleteVolume,
                "EndWhatIsRetired",
                retired.map(|id| Query::new(Action::DeleteVolume).with("VolumeId", id)),
            ),
        ];
        if !spec.rules.is_empty() {
            let query = Query::new(Action::CreateSecurityGroup)
                .with("GroupName", "ideal-dry-run")
                .with("GroupDescription", "never made")
                .with_some("VpcId", spec.network.as_ref());
            all.push((Action::CreateSecurityGroup, "Make", Ok(query)));
            let query = self.rules_of_ours().await;
            all.push((Action::AuthorizeSecurityGroupIngress, "ChangeOurs", query));
        }
        if spec.host_keys == HostKeys::Console {
            let query = on(Action::GetConsoleOutput, "InstanceId", &machine);
            all.push((Action::GetConsoleOutput, "ChangeOurs", query));
        }
        if let (Some(name), Some(public)) = (&spec.key, &spec.public_key) {
            use base64::Engine as _;
            let material = base64::prelude::BASE64_STANDARD.encode(public);
            let query = Query::new(Action::ImportKeyPair).with("KeyName", name);
            all.push((Action::ImportKeyPair, "Make", Ok(query.with("PublicKeyMaterial", material))));
        }
        all
    }

    /// One of our tags, by which alone nothing becomes ours, for a volume that is nobody's: what the file names as one
    /// to be taken over is such a volume.
    async fn claim_of_nobodys(&self) -> Result<Query, String> {
        let all = self.nobodys_volumes().await.map_err(|error| error.to_string())?;
        let one = all.first().ok_or("there is no volume of nobody's to try it on")?;
        let query = Query::new(Action::CreateTags).list("ResourceId", [&one.id]);
        Ok(query.with("Tag.1.Key", tags::EPOCH).with("Tag.1.Value", "0"))
    }

    /// The rules of the file, for a security group of ours.
    async fn rules_of_ours(&self) -> Result<Query, String> {
        let groups = Query::new(Action::DescribeSecurityGroups).filter("tag-key", tags::CLOUD);
        let answer = self.client.ask(&groups).await.map_err(|failure| failure.why())?;
        let group = answer.items("securityGroupInfo").next();
        let group = group.ok_or("there is no security group of ours to try it on")?;
        Ok(self.ingress(group.text("groupId")))
    }

    /// A machine as the file wants it when no cloud says otherwise.
    async fn usual_machine(&self) -> Result<Query, String> {
        let types = meaning::choices(&self.spec, "").unwrap_or_default();
        let of_type = types.first().ok_or("no type of machines is large enough")?;
        let image = match meaning::image(&self.spec, "", of_type) {
            Some(meaning::Image::Id(id)) => id,
            Some(meaning::Image::Newest { owner, name }) => {
                let query = Query::new(Action::DescribeImages).list("Owner", [owner]).filter("name", name);
                let pages = self.client.elements(query).await.map_err(|failure| failure.why())?;
                let mut all = pages.iter().flat_map(|page| page.items("imagesSet"));
                all.next().map(|one| one.text("imageId").to_owned()).ok_or("there is no such image")?
            }
            None => return Err("no image is named".to_owned()),
        };
        let query = Query::new(Action::RunInstances).with("ImageId", image).with("InstanceType", of_type);
        Ok(query.with("MinCount", 1).with("MaxCount", 1))
    }
}

fn permission(action: Action, statement: &'static str, found: Allowed) -> Permission {
    Permission { action: action.name(), statement, line: line(action, statement).unwrap_or_default(), found }
}

/// The line of the policy that is shipped on which a statement allows an action.
fn line(action: Action, statement: &str) -> Option<usize> {
    let text = serde_json::to_string_pretty(&policy()).ok()?;
    let (action, statement) = (format!("\"ec2:{}\"", action.name()), format!("\"Sid\": \"{statement}\""));
    // Keys are sorted: the actions of a statement stand before its name.
    let mut last = None;
    for (at, line) in text.lines().enumerate() {
        if line.contains(&action) {
            last = Some(at + 1);
        }
        if line.contains(&statement) {
            return last;
        }
    }
    None
}

/// Whether an endpoint is one of Amazon's, where a dry run is known to be one.
fn is_amazons(endpoint: &str) -> bool {
    let rest = endpoint.strip_prefix("https://").unwrap_or_default();
    let host = rest.split(['/', ':', '?', '#']).next().unwrap_or_default();
    let ends = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".api.amazonwebservices.com.cn"];
    ends.iter().any(|end| host.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_amazons_endpoints_are_trusted_with_dry_runs() {
        for own in ["https://ec2.eu-west-1.amazonaws.com/", "https://ec2.cn-north-1.amazonaws.com.cn/"] {
            assert!(is_amazons(own), "{own}");
        }
        for other in [
            "http://127.0.0.1:5000/",
            "http://ec2.eu-west-1.amazonaws.com/",
            "https://amazonaws.com.example.org/",
            "https://example.org/?.amazonaws.com",
            "https://example.org:443/x.amazonaws.com",
        ] {
            assert!(!is_amazons(other), "{other}");
        }
    }

    #[test]
    fn a_permission_is_found_in_the_policy_by_its_line() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ec2-policy.json");
        let text = std::fs::read_to_string(path).unwrap();
        let at = |action, statement| text.lines().nth(line(action, statement).unwrap() - 1).unwrap().trim();
        assert_eq!(at(Action::DescribeVolumes, "Look"), "\"ec2:DescribeVolumes\",");
        assert_eq!(at(Action::DeleteVolume, "EndWhatIsRetired"), "\"ec2:DeleteVolume\"");
        let marks = ["MarkWhatIsMade", "MarkOurs", "ClaimWhatIsNobodys"];
        let lines: Vec<usize> = marks.iter().map(|one| line(Action::CreateTags, one).unwrap()).collect();
        assert!(lines.is_sorted() && lines[0] < lines[1] && lines[1] < lines[2], "{lines:?}");
        assert_eq!(line(Action::DeleteVolume, "Look"), None);
    }
}
