//! Each kind of resource: how one looks, and how one changes what is there.

mod accounts;
mod archive;
mod authorized_key;
mod command;
mod cron;
mod directory;
mod file;
mod git;
mod group;
mod line;
mod link;
mod mount;
mod package;
pub(crate) mod plugin;
mod repo;
pub(crate) mod unit;
mod user;

use ideal_core::resource::Kind;
use rustix::fs::{Gid, Mode, Stat, Uid};

use crate::eyes::{Eyes, Trouble};
use crate::hands::Hands;
use crate::root::Attributes;

/// What a kind is told beside its spec.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// What people call the resource: the mark of its programs.
    pub label: &'a str,
    /// What tells it from all others: the key of notes.
    pub id: &'a str,
    /// Whether it holds a secret.
    pub secret: bool,
    /// Whether something that was changed notified it.
    pub notified: bool,
}

/// What programs of the system said of several resources at once, and what was read of large files.
#[derive(Debug, Default)]
pub(crate) struct Said {
    units: unit::Said,
    packages: package::Said,
    archives: archive::Said,
}

/// The half of a kind that touches the world.
pub(crate) trait Keep: Kind {
    /// Whether a second look after a change says more than the change itself did.
    const LOOK_AGAIN: bool = true;

    /// Finds out how things are. Changes nothing.
    async fn look(&self, about: About<'_>, eyes: &Eyes<'_>) -> Result<Self::Seen, Trouble>;

    /// Does what the comparison asked for. May be killed at any point and done again; answers what a program said.
    async fn apply(
        &self,
        change: &Self::Change,
        about: About<'_>,
        hands: &Hands<'_>,
    ) -> Result<Option<String>, Trouble>;

    /// Does what the comparisons of several asked for, together where that is worth its while.
    async fn apply_all(
        together: &[(&Self, &Self::Change, About<'_>)],
        hands: &Hands<'_>,
    ) -> Vec<Result<Option<String>, Trouble>>
    where
        Self: Sized,
    {
        let mut all = Vec::new();
        for (spec, change, about) in together {
            all.push(spec.apply(change, *about, hands).await);
        }
        all
    }
}

/// Owner and group of something, and whether they are the wanted ones.
pub(crate) struct Owned {
    pub owner: String,
    pub owner_right: bool,
    pub group: String,
    pub group_right: bool,
}

pub(crate) fn owned(
    eyes: &Eyes<'_>,
    stat: &Stat,
    owner: Option<&str>,
    group: Option<&str>,
) -> Result<Owned, Trouble> {
    // The account files are read only when somebody cares.
    if owner.is_none() && group.is_none() {
        let nobody = String::new();
        return Ok(Owned { owner: nobody.clone(), owner_right: true, group: nobody, group_right: true });
    }
    let accounts = eyes.accounts()?;
    // An owner that does not exist yet is not the owner of anything; making it so says what is missing.
    let owner_right = owner.is_none_or(|name| accounts.uid(name) == Some(stat.st_uid));
    let group_right = group.is_none_or(|name| accounts.gid(name) == Some(stat.st_gid));
    Ok(Owned {
        owner: accounts.user_name(stat.st_uid),
        owner_right,
        group: accounts.group_name(stat.st_gid),
        group_right,
    })
}

/// The attributes that a spec asks for.
pub(crate) fn attributes(
    eyes: &Eyes<'_>,
    mode: &str,
    owner: Option<&str>,
    group: Option<&str>,
) -> Result<Attributes, Trouble> {
    let bits = u32::from_str_radix(mode, 8).ok().filter(|bits| *bits <= 0o7777);
    let bits = bits.ok_or_else(|| Trouble::failed(format!("`{mode}` is not a mode in octal")))?;
    Ok(Attributes {
        mode: Mode::from_raw_mode(bits),
        owner: owner.map(|name| eyes.uid(name)).transpose()?.map(Uid::from_raw),
        group: group.map(|name| eyes.gid(name)).transpose()?.map(Gid::from_raw),
    })
}

/// The permission bits of what is there.
pub(crate) fn bits_of(stat: &Stat) -> u32 {
    stat.st_mode & 0o7777
}

/// Does the same for a resource of whatever kind.
macro_rules! each {
    ($resource:expr, $spec:ident => $does:expr) => {
        match $resource {
            Resource::File($spec) => $does,
            Resource::Directory($spec) => $does,
            Resource::Link($spec) => $does,
            Resource::Line($spec) => $does,
            Resource::Package($spec) => $does,
            Resource::Repo($spec) => $does,
            Resource::Unit($spec) => $does,
            Resource::User($spec) => $does,
            Resource::Group($spec) => $does,
            Resource::AuthorizedKey($spec) => $does,
            Resource::Git($spec) => $does,
            Resource::Archive($spec) => $does,
            Resource::Cron($spec) => $does,
            Resource::Mount($spec) => $does,
            Resource::Command($spec) => $does,
            Resource::Plugin($spec) => $does,
        }
    };
}
pub(crate) use each;
