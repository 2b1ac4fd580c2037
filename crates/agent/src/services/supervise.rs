//! The life of one replica: up, watched, down, up again.

use std::rc::Rc;

use ideal_core::observed::{Problem, ServiceSeen, ServiceState};
use ideal_core::time::Time;
use ideal_host::now;
use tokio::sync::watch;
use tokio::time::Instant;

use super::process::{self, Running};
use super::restarts;
use super::wanted::{Program, Wanted, stop_of, version_of, wanted};
use crate::health::{Verdict, Watch};
use crate::node::Node;
use crate::{log, ports};

/// How much of a log is told with a suspension.
const LAST_LINES: usize = 3;

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
    let mut running = process::inherited(&one.node, name);
    let mut health: Option<Watch> = None;
    if let Some(running) = &running {
        one.show(ServiceState::Starting, Some(running), None);
    }
    loop {
        versions.mark_unchanged();
        let wanted = wanted(&one.node, name);
        one.tell_waiting(&wanted);
        match (running.take(), wanted) {
            (Some(mut left), Wanted::Gone | Wanted::Down) => {
                one.show(ServiceState::Starting, Some(&left), Some("it is being stopped".to_owned()));
                process::stop(&one.node, name, &mut left, &stop_of(&one.node, name)).await;
                one.forget_process(true);
                one.node.log.say(format_args!("service {name}: stopped"));
            }
            (Some(mut old), Wanted::Up(program)) if program.hash != old.spec && one.is_ready(&program) => {
                one.node.log.say(format_args!("service {name}: it is to be another program now"));
                process::stop(&one.node, name, &mut old, &program.stop).await;
                one.forget_process(true);
            }
            (Some(mut up), wanted) => {
                let program = match wanted {
                    Wanted::Up(program) if program.hash == up.spec => Some(program),
                    // What it names is not known any more, or what the next program reads is not there yet: it goes
                    // on as it is, and that is told.
                    _ => None,
                };
                match one.watch(&mut up, program.as_deref(), &mut health, &mut versions).await {
                    Turn::Look => running = Some(up),
                    Turn::Ended(how) => one.ended(&up, how),
                    Turn::Unwell(why) => {
                        one.show(ServiceState::Unhealthy, Some(&up), Some(why.clone()));
                        process::stop(&one.node, name, &mut up, &stop_of(&one.node, name)).await;
                        one.ended(&up, format!("its check failed: {why}"));
                    }
                }
            }
            (None, Wanted::Gone) => {
                one.node.seen.borrow_mut().services.remove(name);
                one.node.seen.borrow_mut().services_wait.remove(name);
                one.node.change_runtime(|runtime| {
                    runtime.services.remove(name);
                });
                return;
            }
            (None, Wanted::Down) => {
                one.show(ServiceState::Stopped, None, None);
                if versions.changed().await.is_err() {
                    return;
                }
            }
            (None, Wanted::Waiting(why) | Wanted::Wrong(why)) => {
                one.show(ServiceState::Stopped, None, Some(why));
                if versions.changed().await.is_err() {
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
        let spec = program.and_then(|program| program.health.clone());
        if program.is_some() && health.as_ref().map(|watch| &watch.spec) != spec.as_ref() {
            let was_well = self.state() == Some(ServiceState::Running);
            *health = spec.map(|spec| Watch::new(spec, was_well));
        }
        let settles = Instant::now() + self.node.pace.settled.saturating_sub(now().since(up.since).std());
        loop {
            let settling = health.is_none() && self.state() != Some(ServiceState::Running);
            let verdict = async {
                match health {
                    Some(watch) => watch.next(&self.node, &self.name).await,
                    None if settling => {
                        tokio::time::sleep_until(settles).await;
                        Verdict::Well
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                how = up.ended(&self.node) => return Turn::Ended(how),
                _ = versions.changed() => return Turn::Look,
                verdict = verdict => match verdict {
                    Verdict::Well if self.state() == Some(ServiceState::Running) => self.clear_why(),
                    Verdict::Well => self.show(ServiceState::Running, Some(up), None),
                    Verdict::Failing(why) => {
                        let state = self.state().unwrap_or(ServiceState::Starting);
                        self.show(state, Some(up), Some(why));
                    }
                    Verdict::Unwell(why) => return Turn::Unwell(why),
                },
            }
        }
    }

    /// Starts the replica when it may; none when something changed first, or when it failed and is to be tried
    /// again.
    async fn start(&self, program: Program, versions: &mut watch::Receiver<u64>) -> Option<Running> {
        let node = &self.node;
        let started = node.runtime().services.get(&self.name).cloned().unwrap_or_default();
        let another = started.spec != program.hash;
        let again = started.suspended.as_ref().is_some_and(|(slice, _)| *slice != program.slice);
        if (another && started.restarts > 0) || again {
            self.started(restarts::forgive);
        }
        let started = node.runtime().services.get(&self.name).cloned().unwrap_or_default();
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
            let wait = restarts::wait(&started, &node.pace);
            let why = self.why();
            self.show(ServiceState::BackingOff, None, why);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.no_longer(&program, versions) => return None,
            }
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
        match process::start(node, &program) {
            Ok(up) => {
                self.started(|started| {
                    started.process = Some(up.id);
                    started.spec.clone_from(&up.spec);
                    started.since = up.since;
                });
                self.show(ServiceState::Starting, Some(&up), None);
                node.log.say(format_args!("service {}: started as process {}", self.name, up.id.pid));
                let (node, name, id) = (node.clone(), self.name.clone(), up.id);
                tokio::task::spawn_local(async move { process::clear(&node, &name, Some(id)).await });
                Some(up)
            }
            Err(error) => {
                self.failed(format!("it cannot be started: {error}"), &program.slice);
                None
            }
        }
    }

    /// Whether a program that never ran may start: what it reads may be made by resources of the same slice, which
    /// are looked at once before. One that ran is started again whatever resources do.
    fn is_ready(&self, program: &Program) -> bool {
        self.node.seen.borrow().resources.as_ref().is_some_and(|(slice, _)| *slice == program.slice)
    }

    /// Waits until what is wanted is no longer this program.
    async fn no_longer(&self, program: &Program, versions: &mut watch::Receiver<u64>) {
        loop {
            if versions.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            match wanted(&self.node, &self.name) {
                Wanted::Up(now) if now.hash == program.hash && now.slice == program.slice => {}
                _ => return,
            }
        }
    }

    /// It ended though it should run.
    fn ended(&self, up: &Running, how: String) {
        // Whatever shares its group would be in the way of the next: the port, the lock file.
        if let Some(group) = up.id.raw() {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let slice = self.node.slice().map(|held| held.hash.clone()).unwrap_or_default();
        self.failed(how, &slice);
    }

    fn failed(&self, how: String, slice: &str) {
        let pace = self.node.pace;
        self.started(|started| {
            started.process = None;
            restarts::note(started, &pace, now());
        });
        let started = self.node.runtime().services.get(&self.name).cloned().unwrap_or_default();
        self.node.log.say(format_args!("service {}: {how}", self.name));
        if restarts::is_spent(&started, &pace) {
            let mut why =
                format!("{how}; it was started again {} times within {:?}", pace.budget, pace.window);
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

    fn forget_process(&self, forgive: bool) {
        self.started(|started| {
            started.process = None;
            if forgive {
                restarts::forgive(started);
            }
        });
    }

    fn started(&self, change: impl FnOnce(&mut crate::state::Started)) {
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
        let restarts = self.node.runtime().services.get(&self.name).map_or(0, |started| started.restarts);
        let ports = self.node.state().ports.get(&self.name).cloned().unwrap_or_default();
        let mut seen = self.node.seen.borrow_mut();
        let before = seen.services.get(&self.name).filter(|before| before.state == state);
        let since: Time = before.map_or_else(now, |before| before.since);
        let pid = up.map(|up| up.id.pid);
        let (container, asks) = (None, None);
        let version = up.and_then(|up| version_of(&up.spec)).map(str::to_owned);
        let shown = ServiceSeen { state, pid, container, version, asks, since, restarts, ports, why };
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
