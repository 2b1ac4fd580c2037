//! Orders to agents that no plan asks for: what a person wants of nodes here and now.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt};
use ideal_api::{LinkError, Order, Reply, Verb};
use ideal_core::id::SlotId;
use ideal_core::observed::{Authority, Observed};
use ideal_core::planner::{slice_hash, slice_of};

use crate::act::name_of;
use crate::glance::Glance;
use crate::goods;
use crate::lease;
use crate::observe::{AGENTS_AT_ONCE, nobody};
use crate::outside::Outside;
use crate::reconcile::{Engine, EngineError};
use crate::ways::agent_of;

/// What each node answered.
pub type Answers = BTreeMap<SlotId, Result<Reply, LinkError>>;

async fn send(
    outside: &Outside,
    observed: &Observed,
    authority: &Authority,
    slot: SlotId,
    verbs: Vec<Verb>,
) -> Result<Reply, LinkError> {
    let machines = observed.slots.get(&slot).map(|seen| seen.machines.as_slice()).unwrap_or_default();
    let (node, address, _) = agent_of(slot, machines)?;
    let mut reply = Reply::Accepted;
    for verb in verbs {
        let name = name_of(&verb);
        let order = Order { node, authority: authority.clone(), verb };
        reply = outside.effect(name, outside.link.ask(&address, &order)).await?;
    }
    Ok(reply)
}

impl Glance {
    /// Asks these nodes something that needs no authority.
    pub async fn ask(&self, outside: &Outside, slots: &[SlotId], verb: &Verb) -> Answers {
        let nobody = nobody();
        let one = |slot: SlotId| {
            let nobody = &nobody;
            async move { (slot, send(outside, &self.observed, nobody, slot, vec![verb.clone()]).await) }
        };
        stream::iter(slots.iter().copied()).map(one).buffer_unordered(AGENTS_AT_ONCE).collect().await
    }
}

impl Engine {
    /// Tells these nodes something, by the authority of this engine.
    pub async fn tell(&mut self, slots: &[SlotId], verb: &Verb) -> Result<Answers, EngineError> {
        let common = self.common();
        let authority = lease::hold(&common.outside, &common.authority)?;
        let (outside, observed, authority) = (&common.outside, self.observed(), &authority);
        let one = |slot: SlotId| async move {
            (slot, send(outside, observed, authority, slot, vec![verb.clone()]).await)
        };
        Ok(stream::iter(slots.iter().copied()).map(one).buffer_unordered(AGENTS_AT_ONCE).collect().await)
    }

    /// Brings contents to these nodes, by their hashes.
    pub async fn bring(&mut self, slots: &[SlotId], hashes: &[String]) -> Result<Answers, EngineError> {
        let common = self.common();
        let authority = lease::hold(&common.outside, &common.authority)?;
        let mut answers = Answers::new();
        for slot in slots {
            let answer = self.bring_one(&common.outside, &authority, *slot, hashes.to_vec()).await;
            answers.insert(*slot, answer.map(|()| Reply::Accepted));
        }
        Ok(answers)
    }

    async fn bring_one(
        &self,
        outside: &Outside,
        authority: &Authority,
        slot: SlotId,
        hashes: Vec<String>,
    ) -> Result<(), LinkError> {
        let send = async |verb| send(outside, self.observed(), authority, slot, vec![verb]).await;
        let Reply::Lacks(lacks) = send(Verb::Lacks { hashes }).await? else { return Ok(()) };
        for hash in lacks {
            let content = goods::content(outside, &hash).map_err(|why| LinkError::Refused { why })?;
            for part in goods::parts(&hash, &content) {
                send(part).await?;
            }
        }
        Ok(())
    }

    /// Brings to these nodes what they would be, and the contents that this names, without putting it in force.
    pub async fn push(&mut self, slots: &[SlotId]) -> Result<Answers, EngineError> {
        let common = self.common();
        let authority = lease::hold(&common.outside, &common.authority)?;
        let mut answers = Answers::new();
        for slot in slots {
            let answer = self.push_one(&common.outside, &authority, *slot).await;
            answers.insert(*slot, answer);
        }
        Ok(answers)
    }

    async fn push_one(
        &self,
        outside: &Outside,
        authority: &Authority,
        slot: SlotId,
    ) -> Result<Reply, LinkError> {
        let refused = |why: String| LinkError::Refused { why };
        let seats = self.seats();
        let slice = slice_of(self.ideal(), self.observed(), &seats, slot, false);
        let slice = slice.ok_or_else(|| refused("it is not in the file".to_owned()))?;
        self.bring_one(outside, authority, slot, goods::contents_of(&slice)).await?;
        let hash = slice_hash(self.ideal(), self.observed(), &seats, slot, false).unwrap_or_default();
        let push = Verb::Push { slice: Box::new(slice), hash };
        send(outside, self.observed(), authority, slot, vec![push]).await
    }
}
