//! A directory.

use ideal_core::resource::Presence;
use ideal_core::resource::directory::{DirectoryChange, DirectorySeen, DirectorySpec};
use rustix::fs::FileType;

use super::{About, Keep, attributes, bits_of, owned};
use crate::eyes::{Eyes, Trouble};
use crate::hands::Hands;

impl Keep for DirectorySpec {
    async fn look(&self, _: About<'_>, eyes: &Eyes<'_>) -> Result<DirectorySeen, Trouble> {
        // On a machine a filesystem's own root has mode and owner like any directory; only its end is not ours.
        let asked = !eyes.is_machine() || self.state == Presence::Absent;
        if asked && eyes.is_mount(&self.path)? {
            return Ok(DirectorySeen::Mount);
        }
        let Some(sight) = eyes.sight(&self.path)? else { return Ok(DirectorySeen::Absent) };
        let Some(stat) = sight.stat()? else { return Ok(DirectorySeen::Absent) };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Ok(DirectorySeen::Other);
        }
        let owned = owned(eyes, &stat, self.owner.as_deref(), self.group.as_deref())?;
        // Only who wants it gone needs to know what is in it.
        let empty = self.state == Presence::Absent && sight.is_empty()?;
        Ok(DirectorySeen::Directory {
            mode: bits_of(&stat),
            owner: owned.owner,
            owner_right: owned.owner_right,
            group: owned.group,
            group_right: owned.group_right,
            empty,
        })
    }

    async fn apply(
        &self,
        change: &DirectoryChange,
        _: About<'_>,
        hands: &Hands<'_>,
    ) -> Result<Option<String>, Trouble> {
        let spot = hands.spot(&self.path)?;
        let wanted = || attributes(hands, &self.mode, self.owner.as_deref(), self.group.as_deref());
        match change {
            DirectoryChange::Make => spot.make_folder(wanted()?)?,
            DirectoryChange::Adjust => spot.set_attributes(wanted()?)?,
            DirectoryChange::Remove if self.with_content => spot.remove_tree()?,
            DirectoryChange::Remove => spot.remove_folder()?,
        }
        Ok(None)
    }
}
