//! A user of the machine.

use ideal_core::resource::user::{UserChange, UserParts, UserSeen, UserSpec};
use ideal_host::crash_point;
use rustix::fs::FileType;

use super::{About, Keep, accounts};
use crate::accounts::User;
use crate::eyes::{Eyes, Trouble};
use crate::hands::Hands;

/// The account files are not longer than this.
const LONGEST: u64 = 64 << 20;

/// Whether the hash of a user's password is this one.
fn has_password(eyes: &Eyes<'_>, name: &str, wanted: &str) -> Result<bool, Trouble> {
    let shadow = eyes.text("/etc/shadow", LONGEST)?.unwrap_or_default();
    let column = shadow.lines().find_map(|line| {
        let mut columns = line.split(':');
        (columns.next() == Some(name)).then(|| columns.next().unwrap_or_default())
    });
    Ok(column == Some(wanted))
}

impl Keep for UserSpec {
    async fn look(&self, _: About<'_>, eyes: &Eyes<'_>) -> Result<UserSeen, Trouble> {
        let accounts = eyes.accounts()?;
        let Some(user) = accounts.users.get(&self.name) else { return Ok(UserSeen::Absent) };
        let member = |group: &&crate::accounts::Group| group.members.contains(&self.name);
        Ok(UserSeen::User {
            uid: user.uid,
            group: accounts.group_name(user.gid),
            groups: accounts.groups.values().filter(member).map(|group| group.name.clone()).collect(),
            home: user.home.clone(),
            home_is_there: eyes.exists(&user.home),
            shell: user.shell.clone(),
            password_right: match &self.password {
                Some(wanted) => has_password(eyes, &self.name, wanted)?,
                None => true,
            },
        })
    }

    async fn apply(
        &self,
        change: &UserChange,
        about: About<'_>,
        hands: &Hands<'_>,
    ) -> Result<Option<String>, Trouble> {
        match change {
            UserChange::Add => {
                self.add(about, hands).await?;
                if self.password.is_some() {
                    self.set_password(about, hands).await?;
                }
                Ok(None)
            }
            UserChange::Modify(parts) => self.modify(parts, about, hands).await,
            UserChange::Remove => accounts::run(hands, about, &["userdel", "--", &self.name], None).await,
        }
    }
}

/// What became of a home whose path is to be another.
enum Home {
    /// It is at the new path, and no more at the old one.
    Moved { from: String, to: String },
    /// It is where it was, for this reason.
    Left(String),
}

/// Where it is noted to which path a home is being moved.
fn note(name: &str) -> String {
    format!("home of {name}")
}

trait Steps {
    async fn add(&self, about: About<'_>, hands: &Hands<'_>) -> Result<(), Trouble>;
    async fn modify(
        &self,
        parts: &UserParts,
        about: About<'_>,
        hands: &Hands<'_>,
    ) -> Result<Option<String>, Trouble>;
    async fn move_home(&self, to: &str, about: About<'_>, hands: &Hands<'_>) -> Result<Home, Trouble>;
    async fn make_home(&self, about: About<'_>, hands: &Hands<'_>) -> Result<(), Trouble>;
    async fn set_password(&self, about: About<'_>, hands: &Hands<'_>) -> Result<(), Trouble>;
}

impl Steps for UserSpec {
    async fn add(&self, about: About<'_>, hands: &Hands<'_>) -> Result<(), Trouble> {
        let uid = self.uid.map(|uid| uid.to_string());
        let groups = self.groups.join(",");
        let mut argv = vec!["useradd"];
        if self.system {
            argv.extend(["--system", "--no-create-home"]);
        } else {
            argv.push("--create-home");
        }
        // A group of its own, unless there is one of that name already.
        let own = hands.accounts()?.groups.contains_key(&self.name).then_some(self.name.as_str());
        match self.group.as_deref().or(own) {
            Some(group) => argv.extend(["--gid", group]),
            None => argv.push("--user-group"),
        }
        if let Some(uid) = &uid {
            argv.extend(["--uid", uid]);
        }
        if !groups.is_empty() {
            argv.extend(["--groups", &groups]);
        }
        for (option, value) in [("--home-dir", &self.home), ("--shell", &self.shell)] {
            if let Some(value) = value {
                argv.extend([option, value]);
            }
        }
        argv.extend(["--", &self.name]);
        accounts::run(hands, about, &argv, None).await?;
        Ok(())
    }

    async fn modify(
        &self,
        parts: &UserParts,
        about: About<'_>,
        hands: &Hands<'_>,
    ) -> Result<Option<String>, Trouble> {
        let uid = self.uid.unwrap_or_default().to_string();
        let groups = parts.groups.join(",");
        let mut argv = vec!["usermod"];
        if parts.uid {
            argv.extend(["--uid", &uid]);
        }
        if let Some(group) = self.group.as_deref().filter(|_| parts.group) {
            argv.extend(["--gid", group]);
        }
        if !groups.is_empty() {
            argv.extend(["--append", "--groups", &groups]);
        }
        if let Some(home) = self.home.as_deref().filter(|_| parts.home) {
            argv.extend(["--home", home]);
        }
        if let Some(shell) = self.shell.as_deref().filter(|_| parts.shell) {
            argv.extend(["--shell", shell]);
        }
        let mut said = None;
        if argv.len() > 1 {
            argv.extend(["--", &self.name]);
            let moved = match self.home.as_deref().filter(|_| parts.home && !self.system) {
                Some(home) => Some(self.move_home(home, about, hands).await?),
                None => None,
            };
            let changed = accounts::run(hands, about, &argv, None).await;
            if let (Err(_), Some(Home::Moved { from, to })) = (&changed, &moved) {
                // The account is in use, perhaps: its home is where the account says it is.
                hands.rename(to, from)?;
            }
            said = match moved {
                Some(Home::Left(why)) => changed?.or(Some(why)),
                _ => changed?,
            };
            hands.note(|ledger| {
                ledger.notes.remove(&note(&self.name));
            })?;
        }
        let missing = hands.accounts()?.users.get(&self.name).is_some_and(|user| !hands.exists(&user.home));
        if parts.make_home || (parts.home && !self.system && missing) {
            self.make_home(about, hands).await?;
        }
        if parts.password {
            self.set_password(about, hands).await?;
        }
        Ok(said)
    }

    /// Brings what is in the home to its new place, before the account says that it is there.
    async fn move_home(&self, to: &str, about: About<'_>, hands: &Hands<'_>) -> Result<Home, Trouble> {
        let accounts = hands.accounts()?;
        let Some(user) = accounts.users.get(&self.name) else {
            return Err(Trouble::failed("there is no such user"));
        };
        let from = user.home.clone();
        let stays = |why: &str| Ok(Home::Left(format!("what is in {from} stays there: {why}")));
        let Some(stat) = hands.stat(&from)? else {
            return Ok(Home::Left(format!("there was nothing in {from}")));
        };
        if hands.stat(to)?.is_some() {
            return stays(&format!("{to} is there already"));
        }
        let same = |other: &&User| other.name != user.name && other.home == from;
        if let Some(other) = accounts.users.values().find(same) {
            return stays(&format!("it is the home of {} too", other.name));
        }
        let is_a_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if !is_a_directory || stat.st_uid != user.uid || hands.is_mount(&from)? {
            return stays(&format!("it is no directory of {}'s own", user.name));
        }
        // Who finds the account as it was, and nothing in its home, knows where that went.
        hands.note(|ledger| {
            ledger.notes.insert(note(&self.name), to.to_owned());
        })?;
        crash_point("home-noted");
        match hands.rename(&from, to) {
            Ok(()) => {
                crash_point("home-moved");
                Ok(Home::Moved { from, to: to.to_owned() })
            }
            Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {
                let new = format!("{to}.ideal-new");
                hands.spot(&new)?.remove_tree()?;
                let [source, copy] = [&from, &new].map(|path| hands.host_path(path).display().to_string());
                accounts::run(hands, about, &["cp", "-aT", "--", &source, &copy], None).await?;
                hands.flush(&new)?;
                hands.rename(&new, to)?;
                stays("it is on another filesystem, and was copied")
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the home beside its place, with what every home begins with, and puts it there whole.
    async fn make_home(&self, about: About<'_>, hands: &Hands<'_>) -> Result<(), Trouble> {
        let accounts = hands.accounts()?;
        let Some(user) = accounts.users.get(&self.name) else {
            return Err(Trouble::failed("there is no such user"));
        };
        let moved = hands.ledger().notes.get(&note(&self.name)).cloned();
        if let Some(moved) = moved.filter(|moved| hands.exists(moved)) {
            // A move was broken off, and the new place is not wanted any more.
            hands.rename(&moved, &user.home)?;
            return Ok(hands.note(|ledger| {
                ledger.notes.remove(&note(&self.name));
            })?);
        }
        let new = format!("{}.ideal-new", user.home);
        let spot = hands.spot(&new)?;
        spot.remove_tree()?;
        let new = hands.host_path(&new).display().to_string();
        let home = hands.host_path(&user.home).display().to_string();
        let owner = format!("{}:{}", user.uid, user.gid);
        accounts::run(hands, about, &["mkdir", "--mode=0700", "--", &new], None).await?;
        if hands.exists("/etc/skel") {
            accounts::run(hands, about, &["cp", "-rT", "--", "/etc/skel", &new], None).await?;
        }
        accounts::run(hands, about, &["chown", "-hR", "--", &owner, &new], None).await?;
        accounts::run(hands, about, &["chmod", "0700", "--", &new], None).await?;
        crash_point("home-made");
        accounts::run(hands, about, &["mv", "-T", "--", &new, &home], None).await?;
        Ok(())
    }

    /// On standard input: arguments are seen by everyone.
    async fn set_password(&self, about: About<'_>, hands: &Hands<'_>) -> Result<(), Trouble> {
        let Some(hash) = &self.password else { return Ok(()) };
        let line = format!("{}:{hash}\n", self.name);
        accounts::run(hands, about, &["chpasswd", "--encrypted"], Some(line)).await?;
        Ok(())
    }
}
