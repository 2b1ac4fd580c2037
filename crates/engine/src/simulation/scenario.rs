//! What is played: small clusters and what people ask of them.

use std::sync::Arc;

use ideal_core::demand::State;
use ideal_core::id::{CloudId, Name, SlotId};
use ideal_core::ideal::document::Argv;
use ideal_core::ideal::{
    Backup, Cloud, Filesystem, Hook, Hooks, Ideal, Keep, Lost, MachineSize, Mount, MountSpec, Service,
    ServiceSpec,
};
use ideal_core::time::{Bytes, Span};

/// One thing that a person asks for.
#[derive(Debug, Clone)]
pub enum Scene {
    /// The file becomes this.
    File(Box<Ideal>),
    /// A state of everything is demanded and pursued.
    Demand(State),
    /// A state of one slot of the `n`th cloud is demanded and pursued.
    DemandSlot(usize, u32, State),
    /// The store is deleted.
    LoseStore,
    /// The machine of a slot of the `n`th cloud dies.
    Kill(usize, u32),
    /// Nobody reaches the machine of a slot of the `n`th cloud for a while.
    Cut(usize, u32, Span),
    /// The machine of a slot of the `n`th cloud is ended by somebody else.
    EndedByOthers(usize, u32),
    /// The agent that is brought is of this build from now on; before the first, machines come with theirs.
    Program(u64),
    /// What is demanded is pursued again, as `heal` does.
    Heal,
    /// Time goes by and nobody looks.
    Pass(Span),
}

impl Scene {
    pub(super) fn title(&self) -> String {
        match self {
            Scene::File(ideal) => format!("the file has {} clouds", ideal.clouds.len()),
            other => format!("{other:?}"),
        }
    }
}

/// A story to play.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What happens, in order.
    pub scenes: Vec<Scene>,
}

/// The uuid of the `n`th cloud.
pub(crate) fn cloud_id(n: usize) -> CloudId {
    CloudId(ideal_core_uuid(n))
}

fn ideal_core_uuid(n: usize) -> uuid::Uuid {
    uuid::Uuid::from_u128(0x5f0c_6f2e_0000_4000_8000_0000_0000_0000 + n as u128)
}

fn name(text: &str) -> Name {
    #[expect(clippy::expect_used, reason = "names of this file's own scenarios")]
    Name::new(text).expect("a name")
}

/// A slot of the `n`th cloud.
pub(crate) fn slot(n: usize, index: u32) -> SlotId {
    SlotId { cloud: cloud_id(n), index }
}

fn mount(text: &str) -> Mount {
    Mount {
        name: name(text),
        was: None,
        size: Bytes(1 << 30),
        at: format!("/{text}"),
        filesystem: Filesystem::Ext4,
        keep: Keep::Snapshot,
        lost: Lost::Ask,
        from: None,
        backup: None,
    }
}

fn cloud(n: usize, path: &str, nodes: u32, mounts: &[&str]) -> Cloud {
    #[expect(clippy::expect_used, reason = "names of this file's own scenarios")]
    let path = path.parse().expect("a path");
    Cloud {
        id: cloud_id(n),
        path,
        provider: name("sim"),
        nodes,
        most: nodes,
        image: "one".to_owned(),
        size: MachineSize::default(),
        tags: Vec::new(),
        protect: false,
        mounts: mounts.iter().map(|text| mount(text)).collect(),
        hooks: Hooks::default(),
        recipes: Vec::new(),
        resources: Vec::new(),
    }
}

/// An ideal of these clouds. A person's patience is long here: what is tested is that it works, not that it
/// gives up.
pub(crate) fn ideal(clouds: Vec<Cloud>) -> Ideal {
    let mut ideal = Ideal { clouds: clouds.into_iter().map(Arc::new).collect(), ..Ideal::default() };
    ideal.providers.insert(name("sim"), ideal_core::ideal::ProviderSpec::Sim);
    ideal.policy.attempts = 30;
    ideal
}

fn shop(web: u32, db: u32, db_mounts: &[&str]) -> Ideal {
    ideal(vec![cloud(0, "shop.db", db, db_mounts), cloud(1, "shop.web", web, &[])])
}

/// The same, and a machine that nobody hears for a while is ended.
fn fencing(mut ideal: Ideal) -> Ideal {
    ideal.policy.fence_after = Some(Span::secs(20));
    ideal
}

/// Three nodes that carry a service without mounts and one with, of this version.
fn with_services(version: &str) -> Ideal {
    let web = cloud(0, "shop.web", 3, &[]);
    let spec =
        ServiceSpec { command: Some(Argv(vec![version.to_owned()])), ..ServiceSpec::on(web.path.clone()) };
    let service = |own: &str, replicas: u32, mounts: Vec<Mount>| {
        let mut spec = spec.clone();
        for mount in &mounts {
            let (size, at) = (mount.size, mount.at.clone());
            let (filesystem, keep) = (mount.filesystem, mount.keep);
            let said = MountSpec {
                size,
                at,
                filesystem,
                keep,
                from: None,
                was: None,
                backup: None,
                lost: Lost::Ask,
            };
            spec.mounts.insert(mount.name.clone(), said);
        }
        let (cloud, own) = (cloud_id(0), name(own));
        let (id, clouds) = (Service::identity(cloud, &own), vec![cloud]);
        Arc::new(Service { id, name: own, cloud, clouds, replicas, mounts, spec })
    };
    let services = vec![service("pub", 3, Vec::new()), service("store", 1, vec![mount("home")])];
    Ideal { services, ..ideal(vec![web]) }
}

/// The stories of the gate.
pub fn scenarios() -> Vec<Scenario> {
    use Scene::{Cut, Demand, DemandSlot, EndedByOthers, File, Heal, Kill, LoseStore, Pass, Program};
    use State::{Attached, Away, Halted, Instantiated, Launched, Separated, Snapshotted, Unmounted};
    let file = |ideal: Ideal| File(Box::new(ideal));
    let first = || file(shop(1, 1, &["data"]));
    let mut hooked = cloud(0, "shop.db", 1, &["data"]);
    let hook = || Some(Hook { run: ideal_core::ideal::document::Argv(vec!["x".to_owned()]), timeout: None });
    hooked.hooks = Hooks { launched: hook(), unmountable: hook(), haltable: hook() };
    let mut renamed = shop(1, 1, &["files"]);
    if let Some(cloud) = renamed.clouds.first_mut() {
        let cloud = Arc::make_mut(cloud);
        cloud.mounts[0].was = Some(name("data"));
        cloud.path = "shop.store".parse().unwrap_or_else(|_| cloud.path.clone());
    }
    let mut backed_up = shop(0, 1, &["data"]);
    let mut larger = backed_up.clone();
    for (ideal, size) in [(&mut backed_up, 1), (&mut larger, 2)] {
        for mount in ideal.clouds.iter_mut().flat_map(|cloud| &mut Arc::make_mut(cloud).mounts) {
            let (every, before) = (Span::mins(2), hook());
            mount.backup = Some(Backup { every, keep: 2, before, after: None });
            mount.size = Bytes(size << 30);
        }
    }
    // At the end nothing may change for an hour.
    let mut without = larger.clone();
    for mount in without.clouds.iter_mut().flat_map(|cloud| &mut Arc::make_mut(cloud).mounts) {
        mount.backup = None;
    }
    let minutes = || Pass(Span::mins(3));
    let mut other_image = shop(2, 2, &["data"]);
    for cloud in &mut other_image.clouds {
        Arc::make_mut(cloud).image = "two".to_owned();
    }
    let story = |name, scenes| Scenario { name, scenes };
    vec![
        story("up-away-wake", vec![first(), Demand(Launched), Demand(Away), Demand(Launched)]),
        story(
            "two-mounts",
            vec![file(shop(0, 2, &["data", "log"])), Demand(Launched), Demand(Away), Demand(Launched)],
        ),
        story(
            "rungs",
            vec![
                first(),
                Demand(Instantiated),
                Demand(Attached),
                Demand(Launched),
                Demand(Unmounted),
                Demand(Separated),
                Demand(Snapshotted),
                Demand(Launched),
                Demand(Away),
            ],
        ),
        story(
            "kill-and-heal",
            vec![first(), Demand(Launched), Kill(0, 0), Heal, EndedByOthers(0, 0), Heal, Demand(Away)],
        ),
        story(
            "scale",
            vec![
                file(shop(1, 2, &["data"])),
                Demand(Launched),
                file(shop(2, 1, &["data"])),
                Demand(Launched),
                file(shop(2, 2, &["data"])),
                Demand(Launched),
                Demand(Away),
            ],
        ),
        story(
            "rename",
            vec![
                first(),
                Demand(Launched),
                file(renamed.clone()),
                Demand(Launched),
                Demand(Away),
                Demand(Launched),
            ],
        ),
        story(
            "replace-image",
            vec![file(shop(2, 2, &["data"])), Demand(Launched), file(other_image), Demand(Launched)],
        ),
        story(
            "lose-store",
            vec![
                first(),
                Demand(Launched),
                LoseStore,
                Heal,
                Demand(Away),
                LoseStore,
                Demand(Launched),
                LoseStore,
                Demand(Away),
            ],
        ),
        story(
            "one-node",
            vec![
                file(shop(2, 2, &["data"])),
                Demand(Launched),
                DemandSlot(0, 1, Away),
                DemandSlot(0, 0, Separated),
                Demand(Launched),
            ],
        ),
        story("hooks", vec![file(ideal(vec![hooked])), Demand(Launched), Demand(Away), Demand(Launched)]),
        story(
            "mount-added-and-removed",
            vec![
                first(),
                Demand(Launched),
                file(shop(1, 1, &["data", "log"])),
                Demand(Launched),
                file(shop(1, 1, &["data"])),
                Demand(Launched),
                Demand(Away),
            ],
        ),
        story(
            "backups",
            vec![
                file(backed_up),
                Demand(Launched),
                minutes(),
                Heal,
                minutes(),
                Heal,
                minutes(),
                Heal,
                file(larger),
                Demand(Launched),
                Kill(0, 0),
                minutes(),
                Heal,
                Demand(Away),
                LoseStore,
                Demand(Launched),
                file(without),
                Heal,
            ],
        ),
        story(
            "services",
            vec![
                file(with_services("one")),
                Demand(Launched),
                Kill(0, 0),
                Heal,
                DemandSlot(0, 1, Separated),
                Demand(Launched),
                file(with_services("two")),
                Heal,
                file(with_services("broken")),
                Heal,
                Demand(Away),
                file(with_services("two")),
                Demand(Launched),
            ],
        ),
        story(
            "cut-off-and-back",
            vec![
                file(with_services("one")),
                Demand(Launched),
                Cut(0, 0, Span::secs(40)),
                Heal,
                Cut(0, 1, Span::secs(20)),
                EndedByOthers(0, 2),
                Heal,
                Kill(0, 1),
                Cut(0, 2, Span::secs(5)),
                Heal,
                Demand(Away),
                LoseStore,
                Demand(Launched),
            ],
        ),
        story(
            "cut-off-and-fenced",
            vec![
                file(fencing(with_services("one"))),
                Demand(Launched),
                Cut(0, 0, Span::mins(5)),
                Heal,
                Cut(0, 1, Span::secs(8)),
                Kill(0, 2),
                Heal,
                Cut(0, 2, Span::mins(5)),
                Demand(Away),
                Demand(Launched),
            ],
        ),
        story(
            "halt",
            vec![
                file(shop(0, 2, &["data"])),
                Demand(Launched),
                Demand(Halted),
                Demand(Launched),
                DemandSlot(1, 0, Halted),
                Demand(Halted),
                Demand(Away),
            ],
        ),
        story(
            "new-program",
            vec![
                Program(1),
                file(shop(1, 2, &["data"])),
                Demand(Launched),
                Program(2),
                Heal,
                Kill(1, 0),
                Program(3),
                Demand(Launched),
                Demand(Away),
            ],
        ),
    ]
}
