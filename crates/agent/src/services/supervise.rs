//! The life of one replica: up, watched, down, up again.

use std::rc::Rc;
use std::time::Duration;

use ideal_core::observed::{Problem, ServiceSeen, ServiceState};
use ideal_core::slice::without_names;
use ideal_core::time::Time;
use ideal_host::now;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::container::{self, NotStarted};
use super::ladder::{self, Next};
use super::running::{News, Running};
use super::wanted::{Program, Wanted, stop_of, version_of, wanted};
use super::{STORM, process, vault};
use crate::health::{Verdict, Watch};
use crate::node::Node;
use crate::state::Started;
use crate::{log, ports};

/// How much of a log is told with a suspension.
const LAST_LINES: usize = 3;
/// How long a silent engine is waited for before it is asked again. That it answers is told, too.
const ENGINE: Duration = Duration::from_secs(2);

/// Why a replica is no longer watched as it was.
enum Turn {
    /// What is wanted may have changed.
    Look,
    /// It ended by itself.
    Ended(String),
    /// Its check failed too often.
    Unwell(String),
}

/// Keeps one replica as it is wanted, until it is not wanted at all.
pub(crate) async fn supervise(node: Rc<Node>, name: &str) {
    let one = One { name: name.to_owned(), node };
    let mut versions = one.node.versions();
    let mut running = Running::inherited(&one.node, name);
    let mut health: Option<Watch> = None;
    if let Some(running) = &running {
        one.show(ServiceState::Starting, Some(running), None);
    }
    loop {
        versions.mark_unchanged();
        let wanted = wanted(&one.node, name);
        let again = matches!(wanted, Wanted::Up(_)) && one.node.again.borrow_mut().remove(name);
        if again && running.is_none() {
            one.started(ladder::forgive);
        }
        one.tell_waiting(&wanted);
        if running.is_none() && !matches!(wanted, Wanted::Up(_)) {
            let later = matches!(wanted, Wanted::Waiting(_) | Wanted::Wrong(_));
            let tell = |why| one.show(ServiceState::Starting, None, Some(why));
            let left = tokio::select! {
                left = container::left(&one.node, name, later, tell) => left,
                changed = versions.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
            };
            running = left.map(Running::Container);
        }
        match (running.take(), wanted) {
            (Some(mut left), Wanted::Gone | Wanted::Down) => {
                one.show(ServiceState::Starting, Some(&left), Some("it is being stopped".to_owned()));
                one.stop(&mut left, None).await;
                one.node.log.say(format_args!("service {name}: stopped"));
            }
            (Some(mut old), Wanted::Up(program)) if again => {
                one.node.log.say(format_args!("service {name}: a person wants it started again"));
                one.stop(&mut old, Some(&program)).await;
            }
            (Some(mut old), Wanted::Up(program)) if program.hash != old.spec() && one.is_ready(&program) => {
                one.node.log.say(format_args!("service {name}: it is to be another program now"));
                one.stop(&mut old, Some(&program)).await;
            }
            (Some(mut up), wanted) => {
                let program = match wanted {
                    Wanted::Up(program) if program.hash == up.spec() => Some(program),
                    // What it names is not known any more, or what the next program reads is not there yet: it goes
                    // on as it is, and that is told.
                    _ => None,
                };
                match one.watch(&mut up, program.as_deref(), &mut health, &mut versions).await {
                    Turn::Look => running = Some(up),
                    Turn::Ended(how) => one.ended(up, how).await,
                    Turn::Unwell(why) => {
                        one.show(ServiceState::Unhealthy, Some(&up), Some(why.clone()));
                        let stop = stop_of(&one.node, name);
                        let grace = stop.grace.std().min(one.node.pace.ill);
                        up.stop(&one.node, name, &stop, grace).await;
                        one.ended(up, format!("its check failed: {why}")).await;
                    }
                }
            }
            (None, Wanted::Gone) => {
                vault::forget(&one.node, name);
                one.node.seen.borrow_mut().services.remove(name);
                one.node.seen.borrow_mut().fits.remove(name);
                one.node.seen.borrow_mut().services_wait.remove(name);
                one.node.change_runtime(|runtime| {
                    runtime.services.remove(name);
                });
                return;
            }
            (None, Wanted::Down) => {
                one.show(ServiceState::Stopped, None, None);
                if !one.hears(&mut versions).await {
                    return;
                }
            }
            (None, Wanted::Waiting(why) | Wanted::Wrong(why)) => {
                one.show(ServiceState::Stopped, None, Some(why));
                if !one.hears(&mut versions).await {
                    return;
                }
            }
            (None, Wanted::Up(program)) => {
                health = None;
                running = one.start(*program, &mut versions).await;
            }
        }
    }
}

struct One {
    node: Rc<Node>,
    name: String,
}

impl One {
    /// Watches a running replica until there is something to do about it.
    async fn watch(
        &self,
        up: &mut Running,
        program: Option<&Program>,
        health: &mut Option<Watch>,
        versions: &mut watch::Receiver<u64>,
    ) -> Turn {
        if let Some(program) = program {
            self.node.seen.borrow_mut().fits.insert(self.name.clone(), program.slice.clone());
        }
        let spec = program.and_then(|program| program.health.clone());
        if program.is_some() && health.as_ref().map(|watch| &watch.spec) != spec.as_ref() {
            let was_well = self.state() == Some(ServiceState::Running);
            *health = spec.map(|spec| Watch::new(spec, was_well));
        }
        let settles = Instant::now() + self.node.pace.settled.saturating_sub(now().since(up.since()).std());
        loop {
            let settling =
                health.is_none() && !up.is_checked() && self.state() != Some(ServiceState::Running);
            let container = up.container().map(str::to_owned);
            let verdict = async {
                match health {
                    Some(watch) => watch.next(&self.node, &self.name, container.as_deref()).await,
                    None if settling => {
                        tokio::time::sleep_until(settles).await;
                        Verdict::Well
                    }
                    None => std::future::pending().await,
                }
            };
            let verdict = tokio::select! {
                biased;
                news = up.news(&self.node) => match news {
                    News::Ended(how) => return Turn::Ended(how),
                    // Two checks would judge differently; the file's is what counts.
                    News::Check(_) if health.is_some() => continue,
                    News::Check(verdict) => verdict,
                    News::Silent(why) => Verdict::Unseen(why),
                    News::Answers => {
                        self.clear_why();
                        continue;
                    }
                },
                _ = versions.changed() => return Turn::Look,
                verdict = verdict => verdict,
            };
            match verdict {
                Verdict::Well if self.state() == Some(ServiceState::Running) => self.clear_why(),
                Verdict::Well => self.show(ServiceState::Running, Some(up), None),
                Verdict::Failing(why) | Verdict::Unseen(why) => {
                    let state = self.state().unwrap_or(ServiceState::Starting);
                    self.show(state, Some(up), Some(why));
                }
                Verdict::Unwell(why) => return Turn::Unwell(why),
            }
        }
    }

    /// Starts the replica when it may; none when something changed first, or when it failed and is to be tried
    /// again.
    async fn start(&self, program: Program, versions: &mut watch::Receiver<u64>) -> Option<Running> {
        let node = &self.node;
        let started = self.record();
        let another = started.spec != program.hash;
        let again = started.suspended.as_ref().is_some_and(|(slice, _)| slice != program.meant());
        if (another && started.restarts > 0) || again {
            self.started(ladder::forgive);
        }
        if program.image.is_some() {
            match container::running(node, &program).await {
                // One that an agent started which died before it could say so.
                Ok(Some(up)) => return Some(self.up(Running::Container(up))),
                Ok(None) => {}
                Err(NotStarted::Silent(why) | NotStarted::Failed(why)) => {
                    self.wait_for_engine(why, &program, versions).await;
                    return None;
                }
            }
        }
        let started = self.record();
        if let Some((_, why)) = &started.suspended {
            self.show(ServiceState::Suspended, None, Some(why.clone()));
            let _ = versions.changed().await;
            return None;
        }
        if started.spec != program.hash && !self.is_ready(&program) {
            self.show(ServiceState::Starting, None, Some("resources are looked at first".to_owned()));
            let _ = versions.changed().await;
            return None;
        }
        if started.in_a_row > 1 {
            let wait = ladder::wait(&started, &node.pace);
            let why = self.why();
            self.show(ServiceState::BackingOff, None, why);
            tokio::select! {
                () = sleep(wait) => {}
                () = self.no_longer(&program, versions) => return None,
            }
        }
        let held = node.storm.borrow().held(program.meant(), now());
        match held.filter(|_| started.in_a_row > 0) {
            Some(until) => {
                self.show(ServiceState::BackingOff, None, Some("most replicas here fail at once".to_owned()));
                tokio::select! {
                    () = sleep(until.since(now()).std()) => {}
                    () = self.no_longer(&program, versions) => {}
                }
                return None;
            }
            None if held.is_none() => _ = node.seen.borrow_mut().services_wait.remove(STORM),
            None => {}
        }
        let again = ports::must_choose_again(&node.state(), &program.replica);
        if again {
            let kept = node.change(|state| {
                ports::choose_again(state, &program.replica);
            });
            if let Err(error) = kept {
                node.log.say(format_args!("service {}: its port is not kept in mind: {error}", self.name));
            }
            node.touch();
            return None;
        }
        let anew = started.in_a_row > 0 && ladder::makes_anew(&started, &program.heal);
        // So that it is looked for when the agent dies meanwhile, whatever is wanted by then.
        self.started(|started| started.image = program.image.is_some());
        // From here on something of it may run: nobody may take it for stopped.
        if matches!(self.state(), None | Some(ServiceState::Stopped)) {
            self.show(ServiceState::Starting, None, None);
        }
        let begun = tokio::select! {
            begun = Running::start(node, &program, anew) => begun,
            () = self.no_longer(&program, versions) => return None,
        };
        match begun {
            Ok(up) => {
                let up = self.up(up);
                if let Running::Process(process) = &up {
                    let (node, name, id) = (node.clone(), self.name.clone(), process.id);
                    tokio::task::spawn_local(async move { process::clear(&node, &name, Some(id)).await });
                }
                Some(up)
            }
            Err(NotStarted::Silent(why)) => {
                self.wait_for_engine(why, &program, versions).await;
                None
            }
            Err(NotStarted::Failed(why)) => {
                self.started(|started| {
                    // A start that failed was no life at all.
                    (started.spec, started.since) = (program.hash.clone(), now());
                });
                self.failed(format!("it cannot be started: {why}"), program.meant(), &program.heal);
                None
            }
        }
    }

    /// Writes down that it runs.
    fn up(&self, up: Running) -> Running {
        self.started(|started| {
            started.process = match &up {
                Running::Process(process) => Some(process.id),
                Running::Container(_) => None,
            };
            started.container = up.container().map(str::to_owned);
            up.spec().clone_into(&mut started.spec);
            started.since = up.since();
        });
        self.show(ServiceState::Starting, Some(&up), None);
        let what = match &up {
            Running::Process(process) => format!("process {}", process.id.pid),
            Running::Container(container) => format!("container {}", container::short(&container.id)),
        };
        self.node.log.say(format_args!("service {}: started as {what}", self.name));
        up
    }

    /// The engine is silent: that is no failure of the replica, and it may run.
    async fn wait_for_engine(&self, why: String, program: &Program, versions: &mut watch::Receiver<u64>) {
        self.show(ServiceState::BackingOff, None, Some(why));
        let news = self.node.containers.news(&self.name);
        tokio::select! {
            () = news.notified() => {}
            () = sleep(ENGINE) => {}
            () = self.no_longer(program, versions) => {}
        }
    }

    /// Whether a program that never ran may start: what it reads may be made by resources of the same slice, which
    /// are looked at once before. One that ran is started again whatever resources do.
    fn is_ready(&self, program: &Program) -> bool {
        self.node
            .seen
            .borrow()
            .resources
            .as_ref()
            .is_some_and(|(slice, _)| without_names(slice) == program.meant())
    }

    /// Waits until what is wanted may have changed, or something is told of its container: a start that was given up, and
    /// was done all the same. False: the agent ends.
    async fn hears(&self, versions: &mut watch::Receiver<u64>) -> bool {
        let news = self.node.containers.news(&self.name);
        tokio::select! {
            changed = versions.changed() => changed.is_ok(),
            () = news.notified() => true,
        }
    }

    /// Waits until what is wanted is no longer this program, or a person wants it started again at once.
    async fn no_longer(&self, program: &Program, versions: &mut watch::Receiver<u64>) {
        loop {
            if versions.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            match wanted(&self.node, &self.name) {
                // That others are reached elsewhere by now is no reason to begin again.
                Wanted::Up(now)
                    if now.hash == program.hash
                        && now.meant() == program.meant()
                        && !self.node.again.borrow().contains(&self.name) => {}
                _ => return,
            }
        }
    }

    /// Stops a replica for good, or for another program.
    async fn stop(&self, left: &mut Running, next: Option<&Program>) {
        let stop = next.map_or_else(|| stop_of(&self.node, &self.name), |program| program.stop.clone());
        left.stop(&self.node, &self.name, &stop, stop.grace.std()).await;
        left.remove(&self.node).await;
        self.started(|started| {
            (started.process, started.container) = (None, None);
            ladder::forgive(started);
        });
    }

    /// It ended though it should run.
    async fn ended(&self, mut up: Running, how: String) {
        up.clear_up(&self.node).await;
        let held = self.node.slice().map(|held| held.clone());
        let slice = held.as_ref().map(|held| held.meant().to_owned()).unwrap_or_default();
        let replica = held
            .as_ref()
            .and_then(|held| held.slice.replicas.iter().find(|replica| replica.address() == self.name));
        let heal = replica.map(|replica| replica.spec.heal.clone()).unwrap_or_default();
        self.failed(how, &slice, &heal);
    }

    fn failed(&self, how: String, slice: &str, heal: &[ideal_core::ideal::service::Rung]) {
        let pace = self.node.pace;
        let mut next = Next::Ask;
        self.started(|started| {
            (started.process, started.container) = (None, None);
            next = ladder::fell(started, heal, &pace, now());
        });
        let started = self.record();
        self.node.log.say(format_args!("service {}: {how}", self.name));
        if started.in_a_row > 1 {
            self.look_for_storm(slice);
        }
        if next == Next::Ask {
            let mut why = match started.restarts {
                0 | 1 => how,
                n => format!("{how}; it was started again {} times", n - 1),
            };
            let lines =
                log::last_lines(&self.node.home.service_log(&self.name), LAST_LINES).unwrap_or_default();
            if !lines.trim().is_empty() {
                why.push_str("; it said last: ");
                why.push_str(&lines.trim().replace('\n', " / "));
            }
            self.started(|started| started.suspended = Some((slice.to_owned(), why.clone())));
            self.show(ServiceState::Suspended, None, Some(why));
        } else {
            self.show(ServiceState::BackingOff, None, Some(how));
        }
    }

    /// When most of a node's replicas fail again, that is told once, and none is started for a while.
    fn look_for_storm(&self, slice: &str) {
        let all = self.node.slice().map_or(0, |held| held.slice.replicas.len());
        let pace = &self.node.pace;
        if let Some(many) = self.node.storm.borrow_mut().note(&self.name, all, slice, pace, now()) {
            let why = format!(
                "{many} of {all} replicas on this node failed again within {:?}: what they share is the cause, \
                 perhaps; none is started again for {:?}, or until the slice changes",
                pace.storm, pace.pause
            );
            self.node.log.say(format_args!("services: {why}"));
            let problem = Problem { what: "services".to_owned(), why, waiting: false };
            self.node.seen.borrow_mut().services_wait.insert(STORM.to_owned(), problem);
        }
    }

    fn record(&self) -> Started {
        self.node.runtime().services.get(&self.name).cloned().unwrap_or_default()
    }
    fn started(&self, change: impl FnOnce(&mut Started)) {
        self.node.change_runtime(|runtime| change(runtime.services.entry(self.name.clone()).or_default()));
    }

    fn state(&self) -> Option<ServiceState> {
        self.node.seen.borrow().services.get(&self.name).map(|seen| seen.state)
    }
    fn why(&self) -> Option<String> {
        self.node.seen.borrow().services.get(&self.name).and_then(|seen| seen.why.clone())
    }
    fn clear_why(&self) {
        if let Some(seen) = self.node.seen.borrow_mut().services.get_mut(&self.name) {
            seen.why = None;
        }
    }

    /// Puts into the report what the replica does.
    fn show(&self, state: ServiceState, up: Option<&Running>, why: Option<String>) {
        let started = self.record();
        let heal = self.node.slice().and_then(|held| {
            let replica = held.slice.replicas.iter().find(|replica| replica.address() == self.name)?;
            Some(replica.spec.heal.clone())
        });
        let is_down = matches!(state, ServiceState::BackingOff | ServiceState::Suspended);
        let asks =
            heal.filter(|_| is_down && started.in_a_row > 0).and_then(|heal| ladder::asks(&started, &heal));
        let ports = self.node.state().ports.get(&self.name).cloned().unwrap_or_default();
        let mut seen = self.node.seen.borrow_mut();
        let before = seen.services.get(&self.name).filter(|before| before.state == state);
        let since: Time = before.map_or_else(now, |before| before.since);
        let shown = ServiceSeen {
            state,
            pid: up.and_then(Running::pid),
            container: up.and_then(Running::container).map(|id| container::short(id).to_owned()),
            version: up.and_then(|up| version_of(up.spec())).map(str::to_owned),
            asks,
            since,
            restarts: started.restarts,
            ports,
            why,
        };
        seen.services.insert(self.name.clone(), shown);
    }

    fn tell_waiting(&self, wanted: &Wanted) {
        let (why, waiting) = match wanted {
            Wanted::Waiting(why) => (why.clone(), true),
            Wanted::Wrong(why) => (why.clone(), false),
            _ => {
                self.node.seen.borrow_mut().services_wait.remove(&self.name);
                return;
            }
        };
        let problem = Problem { what: format!("service {}", self.name), why, waiting };
        self.node.seen.borrow_mut().services_wait.insert(self.name.clone(), problem);
    }
}
