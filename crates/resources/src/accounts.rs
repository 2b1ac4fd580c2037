//! Users and groups, as the account files of a node name them.

use std::collections::BTreeMap;

use crate::exec::RunAs;

/// A line of `/etc/passwd`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// Its first group.
    pub gid: u32,
    /// Its description.
    pub about: String,
    /// Its home.
    pub home: String,
    /// Its shell.
    pub shell: String,
}

/// A line of `/etc/group`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its number.
    pub gid: u32,
    /// Who else belongs to it, by name.
    pub members: Vec<String>,
}

/// All accounts of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Users by name.
    pub users: BTreeMap<String, User>,
    /// Groups by name.
    pub groups: BTreeMap<String, Group>,
    names_of_users: BTreeMap<u32, String>,
    names_of_groups: BTreeMap<u32, String>,
}

impl Accounts {
    /// As whom a program runs that is this user's, and what it finds in its environment; none: there is no such user.
    /// A number without an account has the group of the same number.
    pub fn run_as(&self, name: &str) -> Option<(RunAs, BTreeMap<String, String>)> {
        let number = name.parse().ok();
        let user = self.users.get(name).or_else(|| self.users.values().find(|user| Some(user.uid) == number));
        let Some(user) = user else {
            return number.map(|uid| (RunAs { uid, gid: uid, groups: Vec::new() }, BTreeMap::new()));
        };
        let others = self.groups.values().filter(|group| group.gid != user.gid);
        let groups =
            others.filter(|group| group.members.contains(&user.name)).map(|group| group.gid).collect();
        let env = [("HOME", &user.home), ("USER", &user.name), ("LOGNAME", &user.name)];
        let env = env.map(|(name, value)| (name.to_owned(), value.clone())).into();
        Some((RunAs { uid: user.uid, gid: user.gid, groups }, env))
    }
    /// From the texts of `/etc/passwd` and `/etc/group`. Lines that cannot be read are passed over, as the system
    /// does.
    pub fn read(passwd: &str, group: &str) -> Accounts {
        let mut accounts = Accounts::default();
        for line in passwd.lines() {
            let parts: Vec<&str> = line.split(':').collect();
            let [name, _, uid, gid, about, home, shell] = parts[..] else { continue };
            let (Ok(uid), Ok(gid)) = (uid.parse(), gid.parse()) else { continue };
            accounts.names_of_users.entry(uid).or_insert_with(|| name.to_owned());
            let user = User {
                name: name.to_owned(),
                uid,
                gid,
                about: about.to_owned(),
                home: home.to_owned(),
                shell: shell.to_owned(),
            };
            accounts.users.entry(name.to_owned()).or_insert(user);
        }
        for line in group.lines() {
            let parts: Vec<&str> = line.split(':').collect();
            let [name, _, gid, members] = parts[..] else { continue };
            let Ok(gid) = gid.parse() else { continue };
            accounts.names_of_groups.entry(gid).or_insert_with(|| name.to_owned());
            let members = members.split(',').filter(|one| !one.is_empty()).map(str::to_owned).collect();
            accounts.groups.entry(name.to_owned()).or_insert(Group { name: name.to_owned(), gid, members });
        }
        accounts
    }
    /// The number of a user, by name or number.
    pub fn uid(&self, name: &str) -> Option<u32> {
        self.users.get(name).map(|user| user.uid).or_else(|| name.parse().ok())
    }
    /// The number of a group, by name or number.
    pub fn gid(&self, name: &str) -> Option<u32> {
        self.groups.get(name).map(|group| group.gid).or_else(|| name.parse().ok())
    }
    /// The name of a user, or its number.
    pub fn user_name(&self, uid: u32) -> String {
        self.names_of_users.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
    }
    /// The name of a group, or its number.
    pub fn group_name(&self, gid: u32) -> String {
        self.names_of_groups.get(&gid).cloned().unwrap_or_else(|| gid.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read_and_nonsense_is_passed_over() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nbroken\nweb:x:33:33::/srv:/bin/false\n";
        let accounts = Accounts::read(passwd, "root:x:0:\nwww:x:33:web,anna\n");
        assert_eq!(accounts.uid("web"), Some(33));
        assert_eq!(accounts.uid("77"), Some(77));
        assert_eq!(accounts.uid("nobody-here"), None);
        assert_eq!(accounts.user_name(0), "root");
        assert_eq!(accounts.group_name(99), "99");
        assert_eq!(accounts.groups["www"].members, ["web", "anna"]);
    }
}
