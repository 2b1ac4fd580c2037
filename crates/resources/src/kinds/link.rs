//! A symbolic link. Where it leads is its own affair: resources never follow it out of the root.

use ideal_core::resource::link::{LinkChange, LinkSeen, LinkSpec};
use rustix::fs::FileType;

use super::{About, Keep};
use crate::eyes::{Eyes, Trouble};
use crate::hands::Hands;

impl Keep for LinkSpec {
    async fn look(&self, _: About<'_>, eyes: &Eyes<'_>) -> Result<LinkSeen, Trouble> {
        let Some(sight) = eyes.sight(&self.path)? else { return Ok(LinkSeen::Absent) };
        Ok(match sight.stat()?.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            None => LinkSeen::Absent,
            Some(FileType::Symlink) => LinkSeen::Link(sight.read_link()?),
            Some(FileType::RegularFile) => LinkSeen::File,
            Some(_) => LinkSeen::Other,
        })
    }

    async fn apply(
        &self,
        change: &LinkChange,
        _: About<'_>,
        hands: &Hands<'_>,
    ) -> Result<Option<String>, Trouble> {
        let spot = hands.spot(&self.path)?;
        match change {
            LinkChange::Put => spot.put_link(&self.to)?,
            LinkChange::Remove => spot.remove()?,
        }
        Ok(None)
    }
}
