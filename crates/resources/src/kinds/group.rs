//! A group of users.

use ideal_core::resource::group::{GroupChange, GroupSeen, GroupSpec};

use super::{About, Keep, accounts};
use crate::eyes::{Eyes, Trouble};
use crate::hands::Hands;

impl Keep for GroupSpec {
    async fn look(&self, _: About<'_>, eyes: &Eyes<'_>) -> Result<GroupSeen, Trouble> {
        let accounts = eyes.accounts()?;
        let Some(group) = accounts.groups.get(&self.name) else { return Ok(GroupSeen::Absent) };
        let first_of =
            accounts.users.values().find(|user| user.gid == group.gid).map(|user| user.name.clone());
        Ok(GroupSeen::Group { gid: group.gid, first_of })
    }

    async fn apply(
        &self,
        change: &GroupChange,
        about: About<'_>,
        hands: &Hands<'_>,
    ) -> Result<Option<String>, Trouble> {
        let number = self.gid.map(|gid| gid.to_string());
        let mut argv: Vec<&str> = Vec::new();
        match change {
            GroupChange::Add => {
                argv.push("groupadd");
                argv.extend(self.system.then_some("--system"));
            }
            GroupChange::Renumber => argv.push("groupmod"),
            GroupChange::Remove => argv.push("groupdel"),
        }
        if let Some(number) = number.as_deref().filter(|_| *change != GroupChange::Remove) {
            argv.extend(["--gid", number]);
        }
        argv.extend(["--", &self.name]);
        accounts::run(hands, about, &argv, None).await
    }
}
