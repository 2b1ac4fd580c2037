//! A command that cron runs: its file in /etc/cron.d.

use ideal_core::resource::cron::{CronChange, CronSeen, CronSpec};
use rustix::fs::{FileType, Gid, Mode, Uid};

use super::{About, Keep, bits_of};
use crate::eyes::{Eyes, Trouble};
use crate::hands::Hands;
use crate::root::Attributes;

/// A file for cron is not longer than this.
const LONGEST: u64 = 1 << 20;

/// The bits of its file: its environment may hold what is not for everybody.
fn mode(spec: &CronSpec) -> u32 {
    if spec.env.is_empty() { 0o644 } else { 0o600 }
}

impl Keep for CronSpec {
    async fn look(&self, _: About<'_>, eyes: &Eyes<'_>) -> Result<CronSeen, Trouble> {
        let Some(sight) = eyes.sight(&self.path())? else { return Ok(CronSeen::Absent) };
        let Some(stat) = sight.stat()? else { return Ok(CronSeen::Absent) };
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(CronSeen::Other);
        }
        let text = String::from_utf8_lossy(&sight.read(LONGEST)?).into_owned();
        // Fewer bits are as good.
        let safe = stat.st_uid == 0 && bits_of(&stat) & !mode(self) == 0;
        Ok(CronSeen::File { text, safe })
    }

    async fn apply(
        &self,
        change: &CronChange,
        _: About<'_>,
        hands: &Hands<'_>,
    ) -> Result<Option<String>, Trouble> {
        let spot = hands.spot(&self.path())?;
        match change {
            CronChange::Put(text) => {
                let attributes = Attributes {
                    mode: Mode::from_raw_mode(mode(self)),
                    owner: Some(Uid::ROOT),
                    group: Some(Gid::ROOT),
                };
                spot.put(&mut text.as_bytes(), attributes, async |_| Ok(())).await?;
            }
            CronChange::Remove => spot.remove()?,
        }
        spot.sync()?;
        Ok(None)
    }
}
