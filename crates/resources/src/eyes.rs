//! The read-only half: all that a look at a resource may use.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use rustix::fs::Stat;

use crate::accounts::Accounts;
use crate::exec::{self, Outcome, Program, RunAs};
use crate::ground::Ground;
use crate::ledger::Ledger;
use crate::question::Question;
use crate::root::Sight;

/// All that changes when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal([i128; 8]);

impl Seal {
    /// Of this file.
    pub fn of(stat: &Stat) -> Seal {
        // The types of the fields differ by architecture, and this holds them all.
        Seal([
            stat.st_dev.into(),
            stat.st_ino.into(),
            stat.st_size.into(),
            stat.st_mode.into(),
            stat.st_mtime.into(),
            stat.st_ctime.into(),
            stat.st_mtime_nsec.into(),
            stat.st_ctime_nsec.into(),
        ])
    }
    /// Whether the file was last changed longer ago than this.
    pub fn is_older_than(self, now: SystemTime, age: Duration) -> bool {
        let [.., seconds, _, nanos] = self.0;
        let changed = u64::try_from(seconds).unwrap_or(0);
        let changed = Duration::new(changed, u32::try_from(nanos).unwrap_or(0));
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        now.checked_sub(changed).is_some_and(|passed| passed > age)
    }
}

/// The accounts, and the two files that they were read from.
type KnownAccounts = (Option<Seal>, Option<Seal>, Rc<Accounts>);

/// What looks remember, so that looking again costs one system call. It is only ever an answer to "is this still
/// the file that was read?", so losing it costs time and nothing else.
#[derive(Debug, Default)]
pub struct Cache {
    /// By path: the hash of the content that was found there, and the file in which it was found.
    pub contents: RefCell<BTreeMap<String, (blake3::Hash, Seal)>>,
    accounts: RefCell<Option<KnownAccounts>>,
    /// Counts passes.
    pub pass: Cell<u64>,
    /// Counts passes and changes: what a program said is good for as long as this stays.
    pub moment: Cell<u64>,
    /// What units and package managers said, and what is known of packages.
    pub(crate) said: RefCell<crate::kinds::Said>,
    /// Held by whoever runs a program that writes the account files: they refuse to run at once.
    pub(crate) accounts_turn: tokio::sync::Mutex<()>,
    /// Processes whose end is worth a new look, by the label of the resource.
    pub processes: RefCell<BTreeMap<String, BTreeSet<u32>>>,
}

/// A question to a program of the system that changes nothing. A closed list: a look may ask nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// One that we ask of a program of the system, as this user.
    System(Question, Option<String>),
    /// A program that the author of the ideal names, such as `unless`. Asked only when that was allowed.
    Foreign(Box<Asked>),
}

/// A foreign program to be asked.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Asked {
    /// Its words.
    pub argv: Vec<String>,
    /// Added to its environment.
    pub env: BTreeMap<String, String>,
    /// What it reads.
    pub stdin: Option<Vec<u8>>,
    /// Where it runs, as a path of the node.
    pub at: Option<String>,
    /// As whom.
    pub user: Option<String>,
    /// How long it may take.
    pub limit: Duration,
}

/// Why a look or a change did not come to an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It failed: why, and the end of what a program said.
    Failed {
        /// In one line.
        why: String,
        /// The end of what a program said.
        output: Option<String>,
    },
    /// Nobody looked, for this would have run a foreign program.
    NotLookedAt(String),
}

impl Trouble {
    /// It failed, for this reason.
    pub fn failed(why: impl Into<String>) -> Trouble {
        Trouble::Failed { why: why.into(), output: None }
    }
    /// A program failed.
    pub fn program(outcome: &Outcome) -> Trouble {
        Trouble::Failed {
            why: outcome.why(),
            output: Some(outcome.output.clone()).filter(|text| !text.is_empty()),
        }
    }
}
impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::failed(error.to_string())
    }
}
impl From<rustix::io::Errno> for Trouble {
    fn from(error: rustix::io::Errno) -> Trouble {
        Trouble::failed(io::Error::from(error).to_string())
    }
}

/// All that a look may use.
#[derive(Clone, Copy, Debug)]
pub struct Eyes<'g> {
    pub(crate) ground: &'g dyn Ground,
    pub(crate) cache: &'g Cache,
    pub(crate) ledger: &'g RefCell<Ledger>,
    /// Whether foreign programs may be asked.
    pub(crate) ask_foreign: bool,
}

impl<'g> Eyes<'g> {
    /// Where a path is or would be; none when a folder above it is missing.
    pub fn sight(&self, path: &str) -> io::Result<Option<Sight>> {
        let (root, path) = self.ground.below(path)?;
        root.sight(&path)
    }
    /// What is at a path itself, a link not followed.
    pub fn stat(&self, path: &str) -> io::Result<Option<Stat>> {
        self.sight(path)?.map_or(Ok(None), |sight| sight.stat())
    }
    /// Whether anything is at a path, links followed within the root.
    pub fn exists(&self, path: &str) -> bool {
        self.ground.below(path).is_ok_and(|(root, path)| path == "/" || root.exists(&path))
    }
    /// The text of a file, at most `limit` bytes of it; none when there is no such file.
    pub fn text(&self, path: &str, limit: u64) -> io::Result<Option<String>> {
        let Some(sight) = self.sight(path)? else { return Ok(None) };
        if sight.stat()?.is_none() {
            return Ok(None);
        }
        Ok(Some(String::from_utf8_lossy(&sight.read(limit)?).into_owned()))
    }
    /// A content that was given with the slice, by its hash.
    pub fn content(&self, hash: &str) -> io::Result<File> {
        File::open(self.ground.blob(hash))
    }
    /// The text of a file that is to be written again: where it is no text in UTF-8, or longer than `limit`, that is
    /// the error, for what cannot be read whole cannot be kept.
    pub fn whole_text(&self, path: &str, limit: u64) -> Result<Option<String>, Trouble> {
        let Some(sight) = self.sight(path)? else { return Ok(None) };
        if sight.stat()?.is_none() {
            return Ok(None);
        }
        let content = sight.read(limit)?;
        if content.len() as u64 > limit {
            return Err(Trouble::failed(format!("{path} is longer than {limit} bytes; it is left as it is")));
        }
        let text = String::from_utf8(content).map(Some);
        text.map_err(|_| Trouble::failed(format!("{path} is no text in UTF-8; it is left as it is")))
    }
    /// Whether something is mounted at exactly this path: by the node's agent, or by anybody on a whole machine.
    pub fn is_mount(&self, path: &str) -> io::Result<bool> {
        if self.ground.is_mount(path) {
            return Ok(true);
        }
        match self.ground.is_machine() {
            true => self.sight(path)?.map_or(Ok(false), |sight| sight.is_mount()),
            false => Ok(false),
        }
    }
    /// Whether this is a whole machine.
    pub fn is_machine(&self) -> bool {
        self.ground.is_machine()
    }
    /// A path of the node as one of the host, for programs that are given it.
    pub fn host_path(&self, path: &str) -> PathBuf {
        self.ground.host_path(path)
    }
    /// The environment of the node's programs.
    pub fn environment(&self) -> BTreeMap<String, String> {
        self.ground.environment()
    }
    /// What looks remember.
    pub fn cache(&self) -> &'g Cache {
        self.cache
    }
    /// What was done once, and what is owed.
    pub fn ledger(&self) -> std::cell::Ref<'g, Ledger> {
        self.ledger.borrow()
    }
    /// The accounts of the node; on nodes that are folders, those of the host.
    pub fn accounts(&self) -> io::Result<Rc<Accounts>> {
        let read = |path: &str| -> io::Result<(Option<Seal>, Option<String>)> {
            if self.ground.is_machine() {
                let sight = self.sight(path)?;
                let seal = sight.as_ref().map(Sight::stat).transpose()?.flatten();
                Ok((seal.as_ref().map(Seal::of), None))
            } else {
                Ok((None, Some(std::fs::read_to_string(path)?)))
            }
        };
        let (passwd, group) = (read("/etc/passwd")?, read("/etc/group")?);
        if let Some((one, other, accounts)) = &*self.cache.accounts.borrow()
            && (passwd.0.is_some() || !self.ground.is_machine())
            && (*one, *other) == (passwd.0, group.0)
        {
            return Ok(accounts.clone());
        }
        let text = |path: &str, text: Option<String>| match text {
            Some(text) => Ok(text),
            None => self.text(path, 16 << 20).map(Option::unwrap_or_default),
        };
        let accounts = Accounts::read(&text("/etc/passwd", passwd.1)?, &text("/etc/group", group.1)?);
        let accounts = Rc::new(accounts);
        *self.cache.accounts.borrow_mut() = Some((passwd.0, group.0, accounts.clone()));
        Ok(accounts)
    }
    /// The number of a user that a spec names.
    pub fn uid(&self, name: &str) -> Result<u32, Trouble> {
        self.accounts()?.uid(name).ok_or_else(|| Trouble::failed(format!("there is no user `{name}`")))
    }
    /// The number of a group that a spec names.
    pub fn gid(&self, name: &str) -> Result<u32, Trouble> {
        self.accounts()?.gid(name).ok_or_else(|| Trouble::failed(format!("there is no group `{name}`")))
    }
    /// Asks a program that changes nothing.
    pub async fn ask(&self, label: &str, query: Query) -> Result<Outcome, Trouble> {
        let program = match query {
            Query::Foreign(_) if !self.ask_foreign => {
                let why = "to look would run a program of yours; --run-checks allows it";
                return Err(Trouble::NotLookedAt(why.to_owned()));
            }
            Query::Foreign(asked) => self.program(*asked)?,
            Query::System(question, user) => {
                let mut program = question.program();
                if let Some(name) = user {
                    self.run_as(&mut program, &name)?;
                }
                program
            }
        };
        Ok(exec::run(self.ground, label, &program).await)
    }
    /// An answer that holds for as long as nothing was changed and the pass goes on.
    pub fn moment(&self) -> u64 {
        self.cache.moment.get()
    }
    /// Makes a program one that this user runs, in that user's groups and at home in that user's home.
    pub fn run_as(&self, program: &mut Program, name: &str) -> Result<(), Trouble> {
        let (user, env) = self.user(name)?;
        program.user = Some(user);
        program.env.extend(env);
        Ok(())
    }
    /// As whom a program runs that is this user's, and what it finds in its environment.
    fn user(&self, name: &str) -> Result<(RunAs, BTreeMap<String, String>), Trouble> {
        let accounts = self.accounts()?;
        let uid = self.uid(name)?;
        let known = accounts.users.contains_key(name) || accounts.users.values().any(|user| user.uid == uid);
        // A number without an account has no group but that of its own number, and that only if it is nobody's.
        if let Some(group) = accounts.groups.values().find(|group| !known && group.gid == uid) {
            let group = &group.name;
            return Err(Trouble::failed(format!(
                "there is no account of number {uid}, and that number is group `{group}`; name an account"
            )));
        }
        let name = if known { name.to_owned() } else { uid.to_string() };
        accounts.run_as(&name).ok_or_else(|| Trouble::failed(format!("there is no account `{name}`")))
    }
    /// A new look at this resource is worth its while when this process ends; of a process from before nothing is to
    /// be known any more.
    pub fn watch_process(&self, label: &str, pid: Option<u32>) {
        let mut processes = self.cache.processes.borrow_mut();
        match pid {
            Some(pid) => processes.insert(label.to_owned(), BTreeSet::from([pid])),
            None => processes.remove(label),
        };
    }

    pub(crate) fn program(&self, asked: Asked) -> Result<Program, Trouble> {
        let (user, mut env) = match &asked.user {
            Some(name) => {
                let (user, env) = self.user(name)?;
                (Some(user), env)
            }
            None => (None, BTreeMap::new()),
        };
        env.extend(asked.env);
        Ok(Program {
            argv: asked.argv,
            env,
            stdin: asked.stdin,
            at: asked.at.map(|at| self.ground.host_path(&at)),
            user,
            limit: asked.limit,
        })
    }
}
