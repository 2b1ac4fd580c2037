//! What a part can wait for, and what to do about it. One page for each cause that the planner has.

/// One cause.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CausePage {
    /// Its stable name.
    pub(crate) slug: &'static str,
    /// What it means.
    pub(crate) meaning: &'static str,
    /// What to do.
    pub(crate) mend: &'static str,
}

const fn page(slug: &'static str, meaning: &'static str, mend: &'static str) -> CausePage {
    CausePage { slug, meaning, mend }
}

/// All of them.
pub(crate) const CAUSES: &[CausePage] = &[
    page(
        "under-way",
        "Something that was set going is not there yet: a machine starts, a volume is made, a snapshot is taken.",
        "Wait. Past the policy's patience (`policy: {patience: 10m}`) a person is asked.",
    ),
    page(
        "earlier-step",
        "Another step of the same node comes first.",
        "Look at what that step waits for; this one follows by itself.",
    ),
    page(
        "cannot-see",
        "The provider could not be listed whole. Not seen is not the same as not there, so nothing is made or \
         ended on the strength of it.",
        "`ideal doctor` looks closer. When the provider answers again, the same command goes on.",
    ),
    page(
        "not-seen",
        "The journal knows an object that is not seen now. It is read by its id until its absence is believed.",
        "Wait; a provider may take some time to show what is new.",
    ),
    page(
        "in-doubt",
        "A call came to an unknown end: the answer was lost, or the program died before it came. Whether it \
         happened is looked into before it is made again.",
        "Wait; it resolves itself as soon as the provider's answers can be relied upon.",
    ),
    page(
        "back-off",
        "A step failed and is tried again a little later, each time later than before.",
        "Read the reason beside it. When the cause is mended, the next try succeeds.",
    ),
    page(
        "agent-silent",
        "The machine runs and its agent does not answer, so nobody knows what is mounted there. Nothing is taken \
         from under it.",
        "`ideal logs NODE` shows what the agent said last. A machine that is dead is found by its provider and \
         replaced by `ideal heal`.",
    ),
    page(
        "converging",
        "The node is not right yet: a resource or a service is not as the file wants it. The node's own agent is \
         at it.",
        "Each problem stands beside it with its reason. `ideal logs SERVICE[0]` shows what a service says.",
    ),
    page(
        "unplaced",
        "No node that the service may be on can carry the replica now: too little memory or processor is left, a \
         tag is missing, a port is taken, another replica must be apart from it, or the nodes are down.",
        "`ideal services show SERVICE` says for each node why not. Add nodes, make them larger, or ask for less.",
    ),
    page(
        "turn",
        "Nodes of a cloud are replaced one at a time, and only while all others are well.",
        "Wait for the one that goes first; mend it when it does not get well.",
    ),
    page(
        "attempts-spent",
        "A step was tried as often as the policy allows (`policy: {attempts: 8}`), and failed each time.",
        "Read the reason, mend the cause, and ask again: a new run has its own attempts.",
    ),
    page(
        "consent",
        "The step ends something, and nobody agreed to that: it was not in the plan that was shown, or nobody was \
         asked.",
        "`ideal up` or `ideal away` shows what ends, and asks. `--yes` answers beforehand.",
    ),
    page(
        "hook-refused",
        "A hook of the file refused the state; its output is the reason.",
        "Do what it asks for, then the same command again: the hook is asked anew.",
    ),
    page(
        "busy",
        "Something uses the mount, so it is not unmounted: what is written at this moment would be lost.",
        "End the program that stands beside it, or wait for it; the same command goes on from there.",
    ),
    page(
        "protected",
        "The file says `protect: true` of this cloud: nothing that runs there is ended.",
        "Take the line from the file if the end is meant.",
    ),
    page(
        "lost-data",
        "What the mount should be made of is nowhere to be seen: neither its volume nor the seal of its last life. \
         An older snapshot is never used in its place silently, and neither is an empty volume.",
        "Bring back what is missing. Or go back to an older snapshot: `ideal up --restore \
         shop.db[0]:data=SNAPSHOT`. Or begin with an empty volume: `ideal up --blank shop.db[0]:data`. What is \
         there of older data stays untouched.",
    ),
    page(
        "unclaimed",
        "A volume or seal of another name lies beside a mount that has none: perhaps the mount was renamed.",
        "Write `was: OLDNAME` under the mount if it is the same data; else `ideal up --blank` for it.",
    ),
    page(
        "attached-elsewhere",
        "The volume is attached to something that is not its node. It is never taken away from there.",
        "Find out what that is; detach it by hand when nothing uses it.",
    ),
    page(
        "broken",
        "The provider says that something is wrong with the object.",
        "Look at it with the provider's own tools; the reason beside it is what it said.",
    ),
];

/// The page of a cause, with or without the `ideal/` before it.
pub(crate) fn cause(slug: &str) -> Option<&'static CausePage> {
    let name = slug.strip_prefix("ideal/").unwrap_or(slug);
    CAUSES.iter().find(|page| page.slug == name)
}

impl std::fmt::Display for CausePage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n\n{}\n\n{}\n", self.slug, self.meaning, self.mend)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ideal_core::plan::{Cause, FactKind, Hook};
    use ideal_core::time::Time;

    #[test]
    fn every_cause_has_a_page() {
        let text = String::new;
        let id: ideal_core::id::CloudId = "5f0c6f2e-0000-4000-8000-000000000001".parse().unwrap();
        let slot = ideal_core::id::SlotId { cloud: id, index: 0 };
        let all = [
            Cause::Under { what: text() },
            Cause::Fact { fact: FactKind::Running },
            Cause::Sight { why: text() },
            Cause::NotSeen { object: text() },
            Cause::InDoubt { verb: text(), until: Time(0) },
            Cause::BackOff { verb: text(), until: Time(0), why: text() },
            Cause::Agent { why: text() },
            Cause::Converging { problems: Vec::new() },
            Cause::Unplaced { why: text() },
            Cause::Turn { slot },
            Cause::Spent { verb: text(), why: text() },
            Cause::Consent { verb: text(), what: text() },
            Cause::Hook { hook: Hook::Launched, output: text() },
            Cause::Busy { by: text() },
            Cause::Protected,
            Cause::LostData { why: text(), candidates: Vec::new() },
            Cause::Unclaimed { names: Vec::new() },
            Cause::AttachedElsewhere {
                volume: ideal_core::id::VolumeId::new(""),
                machine: ideal_core::id::MachineId::new(""),
            },
            Cause::Broken { what: text() },
        ];
        for one in &all {
            assert!(cause(one.slug()).is_some(), "{}", one.slug());
        }
        assert_eq!(all.len(), CAUSES.len());
    }
}
