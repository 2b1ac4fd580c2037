//! What EC2 shows, as our observations: the listing in pages, and one thing by its id.

use std::collections::BTreeSet;

use ideal_core::id::{MachineId, SnapshotId, VolumeId};
use ideal_core::observed::{
    Attachment, AttachmentState, Listing, Machine, MachineState, Snapshot, SnapshotState, Tags, Volume,
    VolumeState,
};
use ideal_core::time::{Bytes, Time};
use ideal_host::now;

use super::actions::Action;
use super::batch;
use super::bring::Reach;
use super::client::Client;
use super::element::Element;
use super::failure::{self, Failure};
use super::query::Query;
use super::tags::{self, Written};
use super::together::Kind;

/// How many things are asked for at once: as many as EC2 gives.
const PAGE: u32 = 1000;
/// A look asks for machines, volumes and snapshots.
const FEWEST: u32 = 3;
/// A filter has at most so many values.
pub(crate) const VALUES: usize = 200;

/// Machines of a page, or of an answer to [`Action::RunInstances`].
fn instances(answer: &Element) -> impl Iterator<Item = &Element> {
    answer.items("reservationSet").flat_map(|one| one.items("instancesSet"))
}

/// Which node a machine is: as is written on it, else by its number in the batch that it was made in.
pub(crate) fn slot(element: &Element, written: &Written) -> Option<u32> {
    if let Some(own) = written.get(tags::NODE) {
        return own.parse().ok();
    }
    let batch = tags::slots(written.get(tags::BATCH)?, batch::AT_ONCE);
    batch.get(element.parsed::<usize>("amiLaunchIndex")?).copied()
}

/// A machine as EC2 shows it, with the tags that it carries.
pub(crate) fn machine(element: &Element) -> Machine {
    let written = tags::written(element);
    let state = match element.get("instanceState").map(|state| state.text("name")).unwrap_or_default() {
        "running" => MachineState::Running,
        "stopping" => MachineState::Stopping,
        "stopped" => MachineState::Stopped,
        "shutting-down" => MachineState::Terminating,
        "terminated" => MachineState::Terminated,
        // EC2 knows no state in which a machine is dead and cannot write: a failed check of its status proves nothing.
        _ => MachineState::Pending,
    };
    let address = Some(element.text("privateIpAddress")).filter(|text| !text.is_empty());
    let reach = Reach {
        public: element.text("ipAddress").to_owned(),
        private: element.text("privateIpAddress").to_owned(),
        host_key: written.get(tags::HOST_KEY).cloned().unwrap_or_default(),
        login: written.get(tags::LOGIN).cloned().unwrap_or_default(),
    };
    Machine {
        id: MachineId::new(element.text("instanceId")),
        tags: Tags { index: slot(element, &written), ..shown(&written) },
        state,
        address: address.map(str::to_owned),
        agent: reach.text(),
        image: written.get(tags::IMAGE).cloned().unwrap_or_default(),
        size: written.get(tags::SIZE).cloned().unwrap_or_default(),
        retired: written.contains_key(tags::RETIRED),
    }
}

/// A volume as EC2 shows it.
pub(crate) fn volume(element: &Element) -> Volume {
    let written = tags::written(element);
    let state = match element.text("status") {
        "available" | "in-use" => VolumeState::Ready,
        "deleting" => VolumeState::Deleting,
        "deleted" => VolumeState::Deleted,
        "creating" => VolumeState::Creating,
        _ => VolumeState::Error,
    };
    let attachment = element.items("attachmentSet").find_map(|item| {
        let state = match item.text("status") {
            "attaching" => AttachmentState::Attaching,
            "attached" => AttachmentState::Attached,
            "detached" => return None,
            // Busy: the machine was told to let it go and still uses it. What nobody knows is not known to be over.
            _ => AttachmentState::Detaching,
        };
        Some(Attachment { machine: MachineId::new(item.text("instanceId")), state })
    });
    let origin = written.get(tags::ORIGIN).map(String::as_str).unwrap_or(element.text("snapshotId"));
    Volume {
        id: VolumeId::new(element.text("volumeId")),
        tags: shown(&written),
        life: tags::life(&written),
        state,
        attachment,
        size: tags::size(&written, element.parsed("size").unwrap_or_default()),
        origin: Some(origin).filter(|text| !text.is_empty()).map(SnapshotId::new),
        retired: tags::mark(&written),
    }
}

/// A snapshot as EC2 shows it.
pub(crate) fn snapshot(element: &Element) -> Snapshot {
    let written = tags::written(element);
    let progress = element.text("progress");
    let state = match element.text("status") {
        // Whole only when both say so.
        "completed" if progress.is_empty() || progress == "100%" => SnapshotState::Completed,
        "error" => SnapshotState::Error,
        _ => SnapshotState::Pending,
    };
    let of = written.get(tags::VOLUME).map(String::as_str).unwrap_or(element.text("volumeId"));
    let begun = element.parsed::<jiff::Timestamp>("startTime").map_or(0, jiff::Timestamp::as_millisecond);
    Snapshot {
        id: SnapshotId::new(element.text("snapshotId")),
        tags: shown(&written),
        volume: VolumeId::new(of),
        life: tags::life(&written),
        seal: tags::seal(&written),
        state,
        size: tags::size(&written, element.parsed("volumeSize").unwrap_or_default()),
        checksum: None,
        at: Time(u64::try_from(begun).unwrap_or_default()),
    }
}

/// The tags of what is nobody's say so.
fn shown(written: &Written) -> Tags {
    tags::read(written).unwrap_or_else(Tags::nobodys)
}

/// Whether somebody owns it.
pub(crate) fn is_owned(tags: &Tags) -> bool {
    !tags.cloud.0.is_nil()
}

/// Three kinds of things are looked at in the same way.
pub(crate) trait Seen: Sized {
    /// How they are listed.
    const LISTED: Action;
    /// The filter by id.
    const BY_ID: &'static str;
    /// The list of ids.
    const IDS: &'static str;
    /// The field of an id.
    const ID: &'static str;
    /// How ids begin.
    const BEGINS: &'static str;
    /// Those of an answer, as they are sent.
    fn items(answer: &Element) -> Vec<&Element>;
    /// One of them.
    fn of(element: &Element) -> Self;
    /// Those of an answer.
    fn all(answer: &Element) -> Vec<Self> {
        Self::items(answer).into_iter().map(Self::of).collect()
    }
    /// The id of one.
    fn id(&self) -> &str;
    /// Its tags.
    fn tags(&self) -> &Tags;
}

impl Seen for Machine {
    const LISTED: Action = Action::DescribeInstances;
    const BY_ID: &'static str = "instance-id";
    const IDS: &'static str = "InstanceId";
    const ID: &'static str = "instanceId";
    const BEGINS: &'static str = "i-";
    fn items(answer: &Element) -> Vec<&Element> {
        instances(answer).collect()
    }
    fn of(element: &Element) -> Machine {
        machine(element)
    }
    fn id(&self) -> &str {
        self.id.as_str()
    }
    fn tags(&self) -> &Tags {
        &self.tags
    }
}

impl Seen for Volume {
    const LISTED: Action = Action::DescribeVolumes;
    const BY_ID: &'static str = "volume-id";
    const IDS: &'static str = "VolumeId";
    const ID: &'static str = "volumeId";
    const BEGINS: &'static str = "vol-";
    fn items(answer: &Element) -> Vec<&Element> {
        answer.items("volumeSet").collect()
    }
    fn of(element: &Element) -> Volume {
        volume(element)
    }
    fn id(&self) -> &str {
        self.id.as_str()
    }
    fn tags(&self) -> &Tags {
        &self.tags
    }
}

impl Seen for Snapshot {
    const LISTED: Action = Action::DescribeSnapshots;
    const BY_ID: &'static str = "snapshot-id";
    const IDS: &'static str = "SnapshotId";
    const ID: &'static str = "snapshotId";
    const BEGINS: &'static str = "snap-";
    fn items(answer: &Element) -> Vec<&Element> {
        answer.items("snapshotSet").collect()
    }
    fn of(element: &Element) -> Snapshot {
        snapshot(element)
    }
    fn id(&self) -> &str {
        self.id.as_str()
    }
    fn tags(&self) -> &Tags {
        &self.tags
    }
}

/// Whether an id can be one of EC2. One that cannot is of nothing, and is not asked for.
pub(crate) fn is_id<T: Seen>(id: &str) -> bool {
    let digits = id.strip_prefix(T::BEGINS).unwrap_or_default();
    (8..=17).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Client {
    /// All pages of what matches, one after the other.
    pub(crate) async fn elements(&self, query: Query) -> Result<Vec<Element>, Failure> {
        let mut pages = Vec::new();
        let mut next = Some(String::new());
        while let Some(token) = next {
            let page = query.clone().with_some("NextToken", Some(token).filter(|token| !token.is_empty()));
            let answer = self.ask(&page).await?;
            next = Some(answer.text("nextToken").to_owned()).filter(|token| !token.is_empty());
            pages.push(answer);
        }
        Ok(pages)
    }

    /// What matches, whole.
    pub(crate) async fn matching<T: Seen>(&self, filters: &[(&str, &[String])]) -> Result<Vec<T>, Failure> {
        let pages = self.elements(listing::<T>(filters)).await?;
        Ok(pages.iter().flat_map(T::all).collect())
    }

    /// One thing by its id, freshly.
    pub(crate) async fn by_id<T: Seen>(&self, id: &str) -> Result<Option<T>, Failure> {
        Ok(self.shown::<T>(id).await?.map(|element| T::of(&element)))
    }

    /// The same, as EC2 shows it.
    pub(crate) async fn shown<T: Seen>(&self, id: &str) -> Result<Option<Element>, Failure> {
        if !is_id::<T>(id) {
            return Ok(None);
        }
        let kind = Kind { listed: T::LISTED, filter: T::BY_ID.to_owned(), and: Vec::new() };
        let found = self.look(kind, id).await?;
        Ok(found.iter().find(|element| element.text(T::ID) == id).cloned())
    }

    /// The things of one request. One that is asked for by its id alone is asked for as such.
    pub(crate) async fn of_kind(
        &self,
        kind: &Kind,
        values: &BTreeSet<String>,
    ) -> Result<Vec<Element>, Failure> {
        match kind.listed {
            Action::DescribeInstances => self.things::<Machine>(kind, values).await,
            Action::DescribeVolumes => self.things::<Volume>(kind, values).await,
            _ => self.things::<Snapshot>(kind, values).await,
        }
    }

    async fn things<T: Seen>(&self, kind: &Kind, values: &BTreeSet<String>) -> Result<Vec<Element>, Failure> {
        let pages = match values.first() {
            Some(id) if values.len() == 1 && kind.filter == T::BY_ID => {
                match self.ask(&Query::new(T::LISTED).list(T::IDS, [id])).await {
                    Ok(answer) => vec![answer],
                    Err(failure) if failure.kind() == failure::Kind::NotFound => Vec::new(),
                    Err(failure) => return Err(failure),
                }
            }
            _ => {
                let query =
                    kind.and.iter().fold(listing::<T>(&[]), |query, (name, value)| query.filter(name, value));
                self.elements(query.any_of(&kind.filter, values)).await?
            }
        };
        Ok(pages.iter().flat_map(T::items).cloned().collect())
    }

    /// Those that are there. What is not there is passed over, which a list of ids would not do.
    pub(crate) async fn there<T: Seen>(&self, ids: &[&str]) -> Result<Vec<T>, Failure> {
        let ids: Vec<String> = ids.iter().filter(|id| is_id::<T>(id)).map(|id| (*id).to_owned()).collect();
        let mut found = Vec::new();
        for some in ids.chunks(VALUES) {
            found.extend(self.matching::<T>(&[(T::BY_ID, some)]).await?);
        }
        Ok(found)
    }

    /// All that is ours, page by page. A page that fails leaves the listing incomplete; when not even the first
    /// comes, there is nothing to be shown.
    async fn listed<T: Seen>(&self) -> Result<(Vec<T>, bool, u32), Failure> {
        let mut found = Vec::new();
        let query = listing::<T>(&[("tag-key", &[tags::CLOUD.to_owned()])]);
        let mut next = String::new();
        for pages in 1.. {
            let page = query.clone().with_some("NextToken", Some(&next).filter(|token| !token.is_empty()));
            let answer = match self.ask(&page).await {
                Ok(answer) => answer,
                Err(failure) if next.is_empty() => return Err(failure),
                Err(_) => break,
            };
            found.extend(T::all(&answer).into_iter().filter(|one| is_owned(one.tags())));
            answer.text("nextToken").clone_into(&mut next);
            if next.is_empty() {
                return Ok((found, true, pages));
            }
        }
        Ok((found, false, 0))
    }

    /// Of how many requests the last whole look was.
    pub(crate) fn pages(&self) -> u32 {
        self.pages.get().max(FEWEST)
    }

    /// Everything that is ours.
    pub(crate) async fn listing(&self) -> Result<Listing, Failure> {
        let at = now();
        let (machines, volumes, snapshots) =
            tokio::join!(self.listed::<Machine>(), self.listed::<Volume>(), self.listed::<Snapshot>());
        let (machines, volumes, snapshots) = (machines?, volumes?, snapshots?);
        self.pages.set(machines.2 + volumes.2 + snapshots.2);
        let complete = machines.1 && volumes.1 && snapshots.1;
        Ok(Listing { at, complete, machines: machines.0, volumes: volumes.0, snapshots: snapshots.0 })
    }
}

fn listing<T: Seen>(filters: &[(&str, &[String])]) -> Query {
    let query = Query::new(T::LISTED).with("MaxResults", PAGE);
    // Snapshots of all the world can be seen.
    let query = if T::LISTED == Action::DescribeSnapshots { query.list("Owner", ["self"]) } else { query };
    filters.iter().fold(query, |query, (name, values)| query.any_of(name, values.iter()))
}

/// How many GiB hold so many bytes: EC2 counts in whole ones.
pub(crate) fn gib(size: Bytes) -> u64 {
    size.0.div_ceil(1 << 30).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_of_ec2_are_asked_for() {
        assert!(is_id::<Volume>("vol-049df61146c4d7901") && is_id::<Machine>("i-1a2b3c4d"));
        for wrong in [
            "v-000000000000",
            "../../etc",
            "vol-",
            "vol-xyz12345",
            "i-049df61146c4d7901",
            "vol-049df61146c4d79012",
        ] {
            assert!(!is_id::<Volume>(wrong), "{wrong}");
        }
    }

    fn read(xml: &str) -> Element {
        Element::read(xml.as_bytes()).unwrap()
    }

    #[test]
    fn a_snapshot_is_whole_at_a_hundred_percent() {
        let of = |status: &str, progress: &str| {
            let xml = format!("<a><status>{status}</status><progress>{progress}</progress></a>");
            snapshot(&read(&xml)).state
        };
        assert_eq!(of("completed", "100%"), SnapshotState::Completed);
        assert_eq!(of("completed", "99%"), SnapshotState::Pending);
        assert_eq!(of("pending", "100%"), SnapshotState::Pending);
        assert_eq!(of("error", ""), SnapshotState::Error);
    }

    #[test]
    fn a_busy_attachment_is_still_one() {
        let of = |status: &str| {
            let xml = format!(
                "<a><status>in-use</status><attachmentSet><item><instanceId>i-1a2b3c4d</instanceId>\
                 <status>{status}</status></item></attachmentSet></a>"
            );
            volume(&read(&xml)).attachment.map(|at| at.state)
        };
        assert_eq!(of("busy"), Some(AttachmentState::Detaching));
        assert_eq!(of("resting"), Some(AttachmentState::Detaching), "nobody knows this one");
        assert_eq!(of("attached"), Some(AttachmentState::Attached));
        assert_eq!(of("detached"), None);
    }

    #[test]
    fn a_machine_in_a_state_that_nobody_knows_is_not_over() {
        let xml = "<a><instanceState><name>resting</name></instanceState></a>";
        assert_eq!(machine(&read(xml)).state, MachineState::Pending);
    }
}
