//! A bench for tests with real processes: a data folder, a machine, its agent. Whatever happens, nothing of it
//! runs afterwards.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ideal_agent::AgentCommand;
use ideal_api::client::AgentLink;
use ideal_api::{LinkError, NodeLink, Order, Reply, Verb};
use ideal_core::guard;
use ideal_core::id::{CloudId, Life, MachineId, Name, SlotId, Token, VolumeId};
use ideal_core::ideal::{Hooks, ServiceSpec};
use ideal_core::observed::{
    Authority, Machine, MachineState, Report, ServiceSeen, ServiceState, Tags, Volume,
};
use ideal_core::resource::Declaration;
use ideal_core::slice::{ForNode, MountOrder, Replica, Slice};
use ideal_core::time::{Bytes, Time};
use ideal_host::{Home, ProcessId, now};
use ideal_providers::{Answer, Call, Local, LocalOptions, Object, ObjectId, Provider};
use serde_json::json;

/// The agent as a program, built with these tests.
pub(crate) fn program() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let program = exe.parent().unwrap().parent().unwrap().join("examples/agent");
    assert!(program.exists(), "{} is missing: cargo build -p ideal-agent --examples", program.display());
    program
}

pub(crate) fn local(data: &Path, run: &Path, args: &[&str]) -> Local {
    let agent = AgentCommand { program: program(), args: args.iter().map(Into::into).collect() };
    Local::new(LocalOptions { data: data.to_owned(), run: run.to_owned(), agent }).unwrap()
}

pub(crate) struct Bench {
    pub(crate) local: Local,
    pub(crate) link: AgentLink,
    pub(crate) cloud: CloudId,
    pub(crate) folder: tempfile::TempDir,
    slices: Cell<u32>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let left = self.local.kill_everything();
        if !std::thread::panicking() {
            assert_eq!(left.unwrap(), 0, "processes that cannot be killed");
        }
    }
}

impl Bench {
    pub(crate) fn new() -> Bench {
        Bench::with(&[])
    }
    pub(crate) fn hasty() -> Bench {
        Bench::with(&["--hasty"])
    }
    pub(crate) fn with(args: &[&str]) -> Bench {
        let folder = tempfile::Builder::new().prefix("ideal").tempdir().unwrap();
        let local = local(&folder.path().join("data"), &folder.path().join("run"), args);
        let cloud = CloudId(uuid::Uuid::new_v4());
        Bench { local, link: AgentLink::default(), cloud, folder, slices: Cell::new(0) }
    }

    pub(crate) fn tags(&self, mount: Option<&str>) -> Tags {
        let mount = mount.map(|mount| Name::new(mount).unwrap());
        Tags { cloud: self.cloud, index: Some(0), mount, generation: 1, token: None, demand: None, epoch: 1 }
    }
    pub(crate) async fn call(&self, call: Call) -> Answer {
        self.local.issue(&call).await.unwrap()
    }
    pub(crate) async fn machine(&self) -> Machine {
        let token = Token::new(format!("{}-m", self.cloud));
        let call =
            Call::CreateMachine { token, tags: self.tags(None), image: String::new(), size: String::new() };
        let Answer::Made(Object::Machine(machine)) = self.call(call).await else { panic!("no machine") };
        self.machine_in(&machine.id, MachineState::Running).await
    }
    pub(crate) async fn seen(&self, id: &MachineId) -> Machine {
        match self.local.read(&ObjectId::Machine(id.clone())).await.unwrap() {
            Some(Object::Machine(machine)) => machine,
            other => panic!("{other:?}"),
        }
    }
    pub(crate) async fn machine_in(&self, id: &MachineId, state: MachineState) -> Machine {
        until(&format!("the machine is {state:?}"), 10, async || {
            let machine = self.seen(id).await;
            (machine.state == state).then_some(machine)
        })
        .await
    }
    pub(crate) async fn terminate(&self, machine: &Machine) {
        let permit = guard::terminate(self.cloud, machine, Some(&Report::default())).unwrap();
        self.call(Call::RetireMachine(permit.clone())).await;
        self.call(Call::Terminate(permit)).await;
    }
    pub(crate) async fn attached(&self, machine: &Machine, life: Life) -> Volume {
        let token = Token::new(format!("{}-v", self.cloud));
        let tags = self.tags(Some("data"));
        let call = Call::CreateVolume { token, tags, size: Bytes(1 << 20), life: 0, from: None };
        let Answer::Made(Object::Volume(volume)) = self.call(call).await else { panic!("no volume") };
        self.call(Call::NewLife { volume: volume.id.clone(), life }).await;
        let (volume, machine, mount) = (volume.id.clone(), machine.id.clone(), Name::new("data").unwrap());
        self.call(Call::Attach { volume: volume.clone(), life, machine, mount }).await;
        match self.local.read(&ObjectId::Volume(volume)).await.unwrap() {
            Some(Object::Volume(volume)) => volume,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn home(&self, machine: &Machine) -> Home {
        let data = self.folder.path().join("data").canonicalize().unwrap();
        Home::new(data.join("machines").join(machine.id.as_str()))
    }
    pub(crate) fn root(&self, machine: &Machine) -> PathBuf {
        self.home(machine).root()
    }
    pub(crate) fn keeper(&self, machine: &Machine) -> ProcessId {
        let text = std::fs::read_to_string(self.home(machine).keeper()).unwrap();
        serde_json::from_str::<ideal_host::home::KeeperRecord>(&text).unwrap().process
    }
    /// The agent: the keeper's child that holds neither a service nor a hook.
    pub(crate) fn agent(&self, machine: &Machine) -> Option<ProcessId> {
        let keeper = self.keeper(machine).pid;
        let ours = ideal_host::process::find(|marks| {
            ideal_host::home::is_of(marks, &machine.id, &self.home(machine))
                && !marks.contains_key("IDEAL_SERVICE")
        });
        ours.iter().find(|process| process.parent == keeper).map(|process| process.id)
    }

    pub(crate) fn authority(&self) -> Authority {
        Authority {
            epoch: 1,
            holder: "anna@laptop".into(),
            store: "store".into(),
            until: Time(now().0 + 60_000),
            forced: false,
        }
    }
    pub(crate) fn order(&self, verb: Verb) -> Order {
        let slot = SlotId { cloud: self.cloud, index: 0 };
        Order { node: ForNode { slot, generation: 1 }, authority: self.authority(), verb }
    }
    pub(crate) async fn ask(&self, machine: &Machine, verb: Verb) -> Result<Reply, LinkError> {
        self.link.ask(machine.agent.as_ref().unwrap(), &self.order(verb)).await
    }
    /// Asks until the agent can be reached.
    pub(crate) async fn tell(&self, machine: &Machine, verb: Verb) -> Reply {
        until("the agent accepts", 10, async || match self.ask(machine, verb.clone()).await {
            Ok(reply) => Some(reply),
            Err(LinkError::Unreachable { .. }) => None,
            Err(error) => panic!("{error}"),
        })
        .await
    }
    pub(crate) async fn report(&self, machine: &Machine) -> Option<Report> {
        match self.ask(machine, Verb::Report).await {
            Ok(Reply::Report(report)) => Some(*report),
            Err(LinkError::Unreachable { .. }) => None,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn slice(
        &self,
        resources: Vec<Declaration>,
        services: Vec<(&str, serde_json::Value)>,
    ) -> Slice {
        let replica = |(name, mut spec): (&str, serde_json::Value)| {
            spec["on"] = json!("shop");
            let spec: ServiceSpec = serde_json::from_value(spec).unwrap();
            Replica { service: Name::new(name).unwrap(), index: 0, spec, again: 0 }
        };
        Slice {
            names: Default::default(),
            slot: SlotId { cloud: self.cloud, index: 0 },
            name: "shop[0]".to_owned(),
            quiet: false,
            recipes: Vec::new(),
            plugins: Default::default(),
            secrets: Default::default(),
            resources,
            replicas: services.into_iter().map(replica).collect(),
            hooks: Hooks::default(),
            context: json!({"vars": {}}),
        }
    }
    /// Gives a slice and answers its hash.
    pub(crate) async fn apply(&self, machine: &Machine, slice: Slice) -> String {
        self.slices.set(self.slices.get() + 1);
        let hash = format!("slice-{}", self.slices.get());
        self.tell(
            machine,
            Verb::Apply { slice: Box::new(slice), hash: hash.clone(), secrets: Default::default() },
        )
        .await;
        hash
    }
    pub(crate) async fn converged(&self, machine: &Machine, hash: &str) -> Report {
        until("the node is converged", 15, async || {
            let report = self.report(machine).await?;
            (report.slice.as_deref() == Some(hash) && report.converged).then_some(report)
        })
        .await
    }
    pub(crate) async fn service(
        &self,
        machine: &Machine,
        what: &str,
        seconds: u64,
        pleases: impl Fn(&ServiceSeen) -> bool,
    ) -> ServiceSeen {
        let mut last = None;
        let begun = Instant::now();
        loop {
            if let Some(report) = self.report(machine).await {
                last = report.services.get("pub[0]").cloned();
                if let Some(seen) = last.clone().filter(&pleases) {
                    return seen;
                }
            }
            assert!(begun.elapsed() < Duration::from_secs(seconds), "never {what}; last: {last:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    pub(crate) async fn running(&self, machine: &Machine) -> ServiceSeen {
        self.service(machine, "running", 10, |seen| seen.state == ServiceState::Running).await
    }
    pub(crate) fn mount_order(&self, volume: &VolumeId, life: Life) -> MountOrder {
        MountOrder {
            name: Name::new("data").unwrap(),
            replica: None,
            volume: volume.clone(),
            life,
            at: "/var/lib/data".to_owned(),
            filesystem: Default::default(),
            blank: true,
            size: None,
            uuid: None,
        }
    }
}

/// Waits for a condition, with a limit.
pub(crate) async fn until<T>(what: &str, seconds: u64, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(seconds), "it never came: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub(crate) fn kill(pid: u32) {
    ProcessId::of(pid).unwrap().signal(rustix::process::Signal::KILL).unwrap();
}

pub(crate) fn resource(value: serde_json::Value) -> Declaration {
    serde_json::from_value(value).unwrap()
}
