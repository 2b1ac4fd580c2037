//! A package: which manager a node has, what is installed, and transactions of all that go together.

mod apk;
mod apt;
mod language;
mod rpm;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use ideal_core::resource::package::{
    Install, Manager, PackageChange, PackageSeen, PackageSpec, PackageState,
};
use ideal_core::resource::{Kind, Verdict};
use ideal_host::crash_point;

use super::{About, Keep};
use crate::exec::{Outcome, Program};
use crate::eyes::{Eyes, Query, Seal, Trouble};
use crate::hands::Hands;
use crate::question::Question;

/// How long a transaction may take: a large upgrade over a slow line does.
const LIMIT: Duration = Duration::from_secs(45 * 60);

/// What is installed, by name.
pub(crate) type Installed = BTreeMap<String, Entry>;

/// One installed package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its version; of several the newest.
    pub version: String,
    /// All versions of it, where several can be there at once.
    pub versions: Vec<String>,
    /// Whether its installation was broken off.
    pub half: bool,
    /// Whether it is not upgraded.
    pub held: bool,
}

/// What is known of what is installed, and until when that holds.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// By manager: read from its own files, for as long as they are the same.
    files: BTreeMap<Manager, (Seal, Rc<Installed>)>,
    /// By manager: what a program said, for a moment.
    programs: BTreeMap<Manager, (u64, Rc<Installed>)>,
    /// In which pass the indexes were fetched last.
    fetched: Option<u64>,
}

/// The package manager that the node itself uses.
pub(super) fn of_the_node(eyes: &Eyes<'_>) -> Result<Manager, Trouble> {
    let known = [
        (apt::INSTALLED, Manager::Apt),
        (apk::INSTALLED, Manager::Apk),
        ("/usr/bin/dnf", Manager::Dnf),
        ("/usr/bin/yum", Manager::Yum),
    ];
    let found = known.iter().find(|(path, _)| eyes.exists(path));
    found.map(|(_, manager)| *manager).ok_or_else(|| {
        Trouble::failed("no package manager that is known here was found: name it as `manager`")
    })
}

fn manager(spec: &PackageSpec, eyes: &Eyes<'_>) -> Result<Manager, Trouble> {
    match spec.manager {
        Manager::System => of_the_node(eyes),
        named => Ok(named),
    }
}

/// All that a manager has installed.
async fn installed(eyes: &Eyes<'_>, label: &str, manager: Manager) -> Result<Rc<Installed>, Trouble> {
    let file = match manager {
        Manager::Apt => Some(apt::INSTALLED),
        Manager::Apk => Some(apk::INSTALLED),
        _ => None,
    };
    if let Some(path) = file {
        let seal = eyes.stat(path)?.map(|stat| Seal::of(&stat));
        let seal = seal.ok_or_else(|| {
            Trouble::failed(format!("{path} is missing: this node has no {}", manager.name()))
        })?;
        if let Some((of, known)) = eyes.cache().said.borrow().packages.files.get(&manager)
            && *of == seal
        {
            return Ok(known.clone());
        }
        let text = eyes.text(path, 256 << 20)?.unwrap_or_default();
        let read =
            Rc::new(if manager == Manager::Apt { apt::installed(&text) } else { apk::installed(&text) });
        eyes.cache().said.borrow_mut().packages.files.insert(manager, (seal, read.clone()));
        return Ok(read);
    }
    let moment = eyes.moment();
    if let Some((of, known)) = eyes.cache().said.borrow().packages.programs.get(&manager)
        && *of == moment
    {
        return Ok(known.clone());
    }
    let outcome = eyes.ask(label, Query::System(Question::Installed(manager), None)).await?;
    let read = match manager {
        // What is broken in one package of Node is said with an exit code, beside the whole list.
        Manager::Npm if !outcome.answer.is_empty() => language::npm(&outcome.answer)?,
        _ if !outcome.agreed() => return Err(Trouble::program(&outcome)),
        Manager::Gem => language::gem(&outcome.answer),
        Manager::Pip => language::pip(&outcome.answer)?,
        _ => rpm::installed(&outcome.answer),
    };
    let read = Rc::new(read);
    eyes.cache().said.borrow_mut().packages.programs.insert(manager, (moment, read.clone()));
    Ok(read)
}

/// The newest version that the repositories have.
async fn newest(
    eyes: &Eyes<'_>,
    label: &str,
    manager: Manager,
    name: &str,
) -> Result<Option<String>, Trouble> {
    let outcome = eyes.ask(label, Query::System(Question::Newest(manager, name.to_owned()), None)).await?;
    if !outcome.agreed() {
        return Err(Trouble::program(&outcome));
    }
    let answer = String::from_utf8_lossy(&outcome.answer);
    Ok(match manager {
        Manager::Apt | Manager::System => apt::newest(&answer),
        Manager::Apk => apk::newest(&answer),
        Manager::Dnf => rpm::newest(&answer),
        Manager::Yum => rpm::newest_of_yum(&answer),
        Manager::Gem | Manager::Pip | Manager::Npm => language::newest(manager, name, &answer),
    })
}

/// Notes that the sources of apt changed, so that the index is fetched before the next transaction.
pub(super) fn index_is_old(hands: &Hands<'_>) -> Result<(), Trouble> {
    Ok(apt::index_is_old(hands)?)
}

/// One package of a transaction.
#[derive(Clone, Copy, Debug)]
struct Wanted<'a> {
    spec: &'a PackageSpec,
    change: &'a PackageChange,
}

impl Wanted<'_> {
    fn is(&self, install: Install) -> bool {
        self.change.install == Some(install)
    }
}

/// The programs that do this with these packages, one after the other.
fn programs(manager: Manager, all: &[Wanted<'_>]) -> Vec<Program> {
    match manager {
        Manager::Apt | Manager::System => apt::programs(all),
        Manager::Dnf | Manager::Yum => rpm::programs(manager, all),
        Manager::Apk => apk::programs(all),
        Manager::Gem | Manager::Pip | Manager::Npm => language::programs(manager, all),
    }
}

/// Runs programs until one fails; what they said.
async fn run_all(hands: &Hands<'_>, label: &str, programs: &[Program]) -> Result<String, Outcome> {
    let mut said = String::new();
    for program in programs {
        let outcome = hands.run(label, program).await;
        crash_point("package-program");
        if !outcome.agreed() {
            return Err(outcome);
        }
        said = outcome.output;
    }
    Ok(said)
}

/// One transaction of a manager.
async fn transaction(
    hands: &Hands<'_>,
    label: &str,
    manager: Manager,
    all: &[Wanted<'_>],
) -> Result<String, Outcome> {
    if manager == Manager::Apt {
        apt::repair(hands, label).await;
        apt::fetch_index(hands, label, false).await?;
    }
    crash_point("package-begun");
    let released = if manager == Manager::Apt { apt::release(hands, label, all).await } else { Vec::new() };
    let programs = programs(manager, all);
    let mut done = run_all(hands, label, &programs).await;
    // An index that is too old names what is gone, and not what is new.
    if done.is_err() && manager == Manager::Apt && apt::fetch_index(hands, label, true).await? {
        done = run_all(hands, label, &programs).await;
    }
    if done.is_err() {
        apt::hold_again(hands, label, released).await;
    }
    done
}

impl Keep for PackageSpec {
    async fn look(&self, about: About<'_>, eyes: &Eyes<'_>) -> Result<PackageSeen, Trouble> {
        let manager = manager(self, eyes)?;
        if self.state == PackageState::Held && manager != Manager::Apt {
            let why =
                format!("{} cannot hold a package; name the `version` that it is kept at", manager.name());
            return Err(Trouble::failed(why));
        }
        let installed = installed(eyes, about.label, manager).await?;
        let entry = match manager {
            Manager::Pip => installed.get(&language::python_name(&self.name)),
            _ => installed.get(&self.name),
        };
        let mut seen = PackageSeen::default();
        if let Some(entry) = entry {
            // An older version that is asked for may be there beside a newer one.
            let wanted = self.version.as_ref().filter(|wanted| entry.versions.contains(wanted));
            seen.installed = Some(wanted.unwrap_or(&entry.version).clone());
            seen.half = entry.half;
            seen.held = entry.held;
        }
        if self.state == PackageState::Latest && seen.installed.is_some() {
            seen.newest = newest(eyes, about.label, manager, &self.name).await?;
        }
        Ok(seen)
    }

    async fn apply(
        &self,
        change: &PackageChange,
        about: About<'_>,
        hands: &Hands<'_>,
    ) -> Result<Option<String>, Trouble> {
        let mut all = PackageSpec::apply_all(&[(self, change, about)], hands).await;
        all.pop().unwrap_or(Ok(None))
    }

    async fn apply_all(
        together: &[(&Self, &PackageChange, About<'_>)],
        hands: &Hands<'_>,
    ) -> Vec<Result<Option<String>, Trouble>> {
        let mut answers: Vec<Result<Option<String>, Trouble>> = together.iter().map(|_| Ok(None)).collect();
        let mut managers: BTreeMap<Manager, Vec<usize>> = BTreeMap::new();
        for (i, (spec, ..)) in together.iter().enumerate() {
            match manager(spec, hands) {
                Ok(manager) => managers.entry(manager).or_default().push(i),
                Err(trouble) => answers[i] = Err(trouble),
            }
        }
        let said = |text: String| Some(text).filter(|text| !text.is_empty());
        for (manager, members) in managers {
            let wanted = |i: &usize| Wanted { spec: together[*i].0, change: together[*i].1 };
            let all: Vec<Wanted<'_>> = members.iter().map(wanted).collect();
            let label = together[members[0]].2.label;
            match transaction(hands, label, manager, &all).await {
                Ok(output) => members.iter().for_each(|i| answers[*i] = Ok(said(output.clone()))),
                Err(outcome) if members.len() == 1 => {
                    answers[members[0]] = judged(together[members[0]], hands, outcome).await;
                }
                // One that cannot be had must not keep the others away: each for itself.
                Err(_) => {
                    for i in members {
                        let label = together[i].2.label;
                        answers[i] = match transaction(hands, label, manager, &[wanted(&i)]).await {
                            Ok(output) => Ok(said(output)),
                            Err(outcome) => judged(together[i], hands, outcome).await,
                        };
                    }
                }
            }
        }
        answers
    }
}

/// Whether a transaction that failed did so for this package: a manager fails as long as any package is broken.
async fn judged(
    (spec, _, about): (&PackageSpec, &PackageChange, About<'_>),
    hands: &Hands<'_>,
    outcome: Outcome,
) -> Result<Option<String>, Trouble> {
    let seen = spec.look(about, hands).await?;
    match spec.compare(&seen) {
        Verdict::Right => Ok(Some(outcome.output)),
        _ => Err(Trouble::program(&outcome)),
    }
}

/// Words of a command line.
fn argv(fixed: &[&str], more: impl IntoIterator<Item = String>) -> Program {
    let words = fixed.iter().map(|word| (*word).to_owned());
    Program::new(words.chain(more), LIMIT)
}
