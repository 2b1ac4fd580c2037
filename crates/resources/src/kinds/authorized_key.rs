//! A key that may log in as a user. The user can change everything below the home, also at this moment, so the way
//! to the file is walked from the home and cannot leave it.

use ideal_core::resource::authorized_key::{AuthorizedKeyChange, AuthorizedKeySeen, AuthorizedKeySpec};
use rustix::fs::{FileType, Gid, Mode, Stat, Uid};

use super::{About, Keep, bits_of};
use crate::accounts::User;
use crate::eyes::{Eyes, Trouble};
use crate::hands::Hands;
use crate::root::{Attributes, Root};

/// A file of keys is not longer than this.
const LONGEST: u64 = 4 << 20;
const FOLDER: &str = ".ssh";
const FILE: &str = ".ssh/authorized_keys";

fn user(eyes: &Eyes<'_>, name: &str) -> Result<Option<User>, Trouble> {
    Ok(eyes.accounts()?.users.get(name).cloned())
}

fn home(eyes: &Eyes<'_>, user: &User) -> Result<Option<Root>, Trouble> {
    let path = eyes.host_path(&user.home);
    Ok(path.is_dir().then(|| Root::open(&path)).transpose()?)
}

/// Whether it is of this kind, the user's own, and has none of these bits.
fn is_safe(stat: &Stat, kind: FileType, user: &User, bits: u32) -> bool {
    FileType::from_raw_mode(stat.st_mode) == kind && stat.st_uid == user.uid && bits_of(stat) & bits == 0
}

impl Keep for AuthorizedKeySpec {
    async fn look(&self, _: About<'_>, eyes: &Eyes<'_>) -> Result<AuthorizedKeySeen, Trouble> {
        let Some(user) = user(eyes, &self.user)? else { return Ok(AuthorizedKeySeen::NoUser) };
        let Some(home) = home(eyes, &user)? else { return Ok(AuthorizedKeySeen::NoHome(user.home)) };
        let nothing = AuthorizedKeySeen::Keys { text: None, safe: true };
        let Some(folder) = home.sight(FOLDER)? else { return Ok(nothing) };
        let Some(stat) = folder.stat()? else { return Ok(nothing) };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            let why = format!("{}/{FOLDER} is no directory", user.home);
            return Err(Trouble::failed(why));
        }
        let mut safe = is_safe(&stat, FileType::Directory, &user, 0o022);
        let mut text = None;
        let file = home.sight(FILE)?;
        if let Some((file, stat)) = file.and_then(|file| file.stat().ok().flatten().map(|stat| (file, stat)))
        {
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                let why = format!(
                    "{}/{FILE} is no file of its own; the daemon would follow it to another",
                    user.home
                );
                return Err(Trouble::failed(why));
            }
            safe &= is_safe(&stat, FileType::RegularFile, &user, 0o022);
            // It is written again whole, so what cannot be read whole is left as it is.
            let content = file.read(LONGEST)?;
            if content.len() as u64 > LONGEST {
                return Err(Trouble::failed(format!("{}/{FILE} is longer than {LONGEST} bytes", user.home)));
            }
            let whole = String::from_utf8(content);
            text = Some(whole.map_err(|_| {
                Trouble::failed(format!("{}/{FILE} is no text in UTF-8; it is left as it is", user.home))
            })?);
        }
        Ok(AuthorizedKeySeen::Keys { text, safe })
    }

    async fn apply(
        &self,
        change: &AuthorizedKeyChange,
        _: About<'_>,
        hands: &Hands<'_>,
    ) -> Result<Option<String>, Trouble> {
        let found = user(hands, &self.user)?;
        let user = found.ok_or_else(|| Trouble::failed("there is no such user"))?;
        let Some(home) = home(hands, &user)? else {
            return Err(Trouble::failed(format!("the user's home {} is not there", user.home)));
        };
        let own = |mode| Attributes {
            mode: Mode::from_raw_mode(mode),
            owner: Some(Uid::from_raw(user.uid)),
            group: Some(Gid::from_raw(user.gid)),
        };
        let folder = home.spot(FOLDER)?;
        match folder.stat()?.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            None => folder.make_folder(own(0o700))?,
            Some(FileType::Directory) => folder.set_attributes(own(0o700))?,
            Some(_) => return Err(Trouble::failed(format!("{}/{FOLDER} is no directory", user.home))),
        }
        let file = home.spot(FILE)?;
        file.put(&mut change.text.as_bytes(), own(0o600), async |_| Ok(())).await?;
        file.sync()?;
        Ok(None)
    }
}
