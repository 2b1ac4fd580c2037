//! A repository of packages: its files, and that the index is to be fetched again.

use ideal_core::resource::package::Manager;
use ideal_core::resource::repo::{Family, RepoChange, RepoFiles, RepoSeen, RepoSpec};
use ideal_host::crash_point;
use rustix::fs::{Gid, Mode, Uid};

use super::{About, Keep, package};
use crate::eyes::{Eyes, Trouble};
use crate::hands::Hands;
use crate::prepare::given;
use crate::root::Attributes;

/// A file of a repository is not longer than this.
const LONGEST: u64 = 1 << 20;

fn family(spec: &RepoSpec, eyes: &Eyes<'_>) -> Result<Family, Trouble> {
    let manager = match spec.manager {
        Manager::System => package::of_the_node(eyes)?,
        named => named,
    };
    match manager {
        Manager::Apt => Ok(Family::Apt),
        Manager::Dnf | Manager::Yum => Ok(Family::Rpm),
        other => Err(Trouble::failed(format!("repositories of {} are not kept by this kind", other.name()))),
    }
}

impl Keep for RepoSpec {
    async fn look(&self, _: About<'_>, eyes: &Eyes<'_>) -> Result<RepoSeen, Trouble> {
        let family = family(self, eyes)?;
        let key = match (&self.key, &self.key_source) {
            (Some(key), _) => Some(key.clone().into_bytes()),
            (None, Some(source)) => {
                let (hash, _) =
                    given(source).ok_or_else(|| Trouble::failed(format!("`{source}` was not given")))?;
                let mut key = Vec::new();
                std::io::Read::read_to_end(&mut eyes.content(hash)?, &mut key)?;
                Some(key)
            }
            (None, None) => None,
        };
        let mut files = RepoFiles::new();
        for path in self.paths(family) {
            let Some(sight) = eyes.sight(&path)? else { continue };
            if sight.stat()?.is_some() {
                files.insert(path, sight.read(LONGEST)?);
            }
        }
        Ok(RepoSeen { family, key, files })
    }

    async fn apply(
        &self,
        change: &RepoChange,
        _: About<'_>,
        hands: &Hands<'_>,
    ) -> Result<Option<String>, Trouble> {
        if family(self, hands)? == Family::Apt {
            package::index_is_old(hands)?;
        }
        let root = (Some(Uid::ROOT), Some(Gid::ROOT));
        // Everybody's package manager must be able to read it.
        let attributes = Attributes { mode: Mode::from_raw_mode(0o644), owner: root.0, group: root.1 };
        for (path, content) in &change.put {
            let spot = hands.spot(path)?;
            spot.put(&mut content.as_slice(), attributes, async |_| Ok(())).await?;
            spot.sync()?;
        }
        for path in &change.remove {
            hands.spot(path)?.remove()?;
            crash_point("repo-removed");
        }
        Ok(None)
    }
}
