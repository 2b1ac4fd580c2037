//! A line or a block within a file that others write too.

use ideal_core::resource::line::{LineChange, LineSeen, LineSpec};
use rustix::fs::{FileType, Gid, Mode, Uid};

use super::{About, Keep, attributes, bits_of};
use crate::eyes::{Eyes, Trouble};
use crate::hands::Hands;
use crate::root::Attributes;

/// A file that is longer than this is not edited.
const LONGEST: u64 = 16 << 20;

impl Keep for LineSpec {
    async fn look(&self, _: About<'_>, eyes: &Eyes<'_>) -> Result<LineSeen, Trouble> {
        let Some(sight) = eyes.sight(&self.path)? else { return Ok(LineSeen::Absent) };
        let other = |why: &str| Ok(LineSeen::Other(why.to_owned()));
        match sight.stat()?.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            None => return Ok(LineSeen::Absent),
            Some(FileType::RegularFile) => {}
            Some(FileType::Symlink) => return other("it is a link; name the file that it leads to"),
            Some(_) => return other("it is no file"),
        }
        let content = sight.read(LONGEST)?;
        if content.len() as u64 > LONGEST {
            return other("the file is larger than 16 MiB");
        }
        match String::from_utf8(content) {
            Ok(text) => Ok(LineSeen::Text(text)),
            Err(_) => other("the file is no text in UTF-8"),
        }
    }

    async fn apply(
        &self,
        change: &LineChange,
        _: About<'_>,
        hands: &Hands<'_>,
    ) -> Result<Option<String>, Trouble> {
        let spot = hands.spot(&self.path)?;
        let wanted = match spot.stat()? {
            Some(stat) if rustix::process::geteuid().is_root() => Attributes {
                mode: Mode::from_raw_mode(bits_of(&stat)),
                owner: Some(Uid::from_raw(stat.st_uid)),
                group: Some(Gid::from_raw(stat.st_gid)),
            },
            Some(stat) => Attributes { mode: Mode::from_raw_mode(bits_of(&stat)), owner: None, group: None },
            None => attributes(hands, self.mode.as_deref().unwrap_or("0644"), None, None)?,
        };
        spot.put(&mut change.text.as_bytes(), wanted, async |_| Ok(())).await?;
        spot.sync()?;
        Ok(None)
    }
}
