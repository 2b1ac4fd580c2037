//! A group of users.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::order::Thing;
use super::{Difference, Kind, Presence, Verdict, Wrong, text};
use crate::diagnostic::Diagnostic;
use crate::path::Place;

/// A group of users. Who is in it is said with the users.
///
/// ```yaml
/// - group: {name: deployers, gid: 2000}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupSpec {
    /// Its name.
    pub name: String,
    /// Its number. Else the system chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Whether it belongs to a service: it gets a low number.
    #[serde(default)]
    pub system: bool,
    /// `present`, or `absent`: it is removed, unless it is the first group of a user.
    #[serde(default)]
    pub state: Presence,
}

/// What is known of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupSeen {
    /// There is none.
    Absent,
    /// There is one.
    Group {
        /// Its number.
        gid: u32,
        /// A user whose first group it is.
        first_of: Option<String>,
    },
}

/// What is to be done to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupChange {
    /// Add it.
    Add,
    /// Give it the number.
    Renumber,
    /// Remove it.
    Remove,
}

impl Kind for GroupSpec {
    const NAME: &'static str = "group";
    const NEEDS_MACHINE: bool = true;
    type Seen = GroupSeen;
    type Change = GroupChange;

    fn key(&self) -> String {
        self.name.clone()
    }

    fn validate(&self, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
        text::account_name(&self.name, &place.key("name"), found);
    }

    fn provides(&self) -> Vec<Thing> {
        vec![Thing::Group(self.name.clone())]
    }

    fn compare(&self, seen: &GroupSeen) -> Verdict<GroupChange> {
        match (self.state, seen) {
            (Presence::Absent, GroupSeen::Absent) => Verdict::Right,
            (Presence::Absent, GroupSeen::Group { first_of: Some(user), .. }) => {
                Verdict::Refused(format!("it is the first group of user {user}; remove that user before it"))
            }
            (Presence::Absent, GroupSeen::Group { .. }) => {
                Wrong::one(Difference::surplus(), GroupChange::Remove)
            }
            (Presence::Present, GroupSeen::Absent) => Wrong::one(Difference::missing(), GroupChange::Add),
            (Presence::Present, GroupSeen::Group { gid, .. }) => {
                match self.gid.filter(|wanted| wanted != gid) {
                    None => Verdict::Right,
                    Some(wanted) => {
                        let difference = Difference::new("gid", gid.to_string(), wanted.to_string());
                        Wrong::one(difference, GroupChange::Renumber)
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_or_not_and_with_which_number() {
        let spec = |gid, state| GroupSpec { name: "g".into(), gid, state, ..GroupSpec::default() };
        let seen =
            |first_of: Option<&str>| GroupSeen::Group { gid: 5, first_of: first_of.map(str::to_owned) };
        let (there, gone) = (Presence::Present, Presence::Absent);
        let wrong = |verdict: Verdict<GroupChange>| match verdict {
            Verdict::Wrong(wrong) => Some(wrong.change),
            _ => None,
        };
        assert_eq!(wrong(spec(None, there).compare(&GroupSeen::Absent)), Some(GroupChange::Add));
        assert_eq!(spec(None, there).compare(&seen(None)), Verdict::Right);
        assert_eq!(wrong(spec(Some(6), there).compare(&seen(None))), Some(GroupChange::Renumber));
        assert_eq!(wrong(spec(None, gone).compare(&seen(None))), Some(GroupChange::Remove));
        assert!(matches!(spec(None, gone).compare(&seen(Some("u"))), Verdict::Refused(_)));
        assert_eq!(spec(None, gone).compare(&GroupSeen::Absent), Verdict::Right);
    }
}
