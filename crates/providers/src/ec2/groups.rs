//! What machines are made with: zones, a security group for the rules of the file, a key pair.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ideal_core::id::SlotId;
use ideal_core::ideal::{Ec2Rule, Protocol};

use super::Ec2;
use super::actions::Action;
use super::query::Query;
use super::tags::{self, Written};
use crate::ProviderError;

/// Held while the zone of a thing of a slot is being chosen.
#[derive(Debug)]
pub(super) struct Placing<'a> {
    of: &'a Ec2,
    slot: Option<SlotId>,
}

impl Drop for Placing<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            self.of.placing.borrow_mut().remove(&slot);
        }
    }
}

impl Ec2 {
    /// With several zones, the things of a slot are placed one after the other: what comes second goes where the
    /// first is, and a machine that found no room in one zone may not go to another while its volume is being made.
    pub(super) fn placing(&self, slot: Option<SlotId>) -> Result<Placing<'_>, ProviderError> {
        let slot = slot.filter(|_| self.spec.zones.len() > 1);
        if let Some(slot) = slot
            && !self.placing.borrow_mut().insert(slot)
        {
            return Err(ProviderError::retry("the zone of its node is being chosen"));
        }
        Ok(Placing { of: self, slot })
    }

    /// Remembers where a thing of a slot was made: it may not be listed yet when the next is.
    pub(super) fn remember(&self, slot: Option<SlotId>, zone: &str) {
        if let Some(slot) = slot {
            self.placed.borrow_mut().insert(slot, zone.to_owned());
        }
    }

    /// The zones of the file, or the first of the region.
    pub(super) async fn zones(&self) -> Result<Vec<String>, ProviderError> {
        if !self.spec.zones.is_empty() {
            return Ok(self.spec.zones.clone());
        }
        let first = self.first_zone.get_or_try_init(async || {
            let query = Query::new(Action::DescribeAvailabilityZones)
                .filter("state", "available")
                .filter("zone-type", "availability-zone");
            let answer = self.client.ask(&query).await?;
            let zones = answer.items("availabilityZoneInfo").map(|zone| zone.text("zoneName").to_owned());
            let first = zones.min().filter(|zone| !zone.is_empty());
            first.ok_or_else(|| ProviderError::retry("no zone of the region is available"))
        });
        Ok(vec![first.await?.clone()])
    }

    /// The zone of a new volume: where its machine is, or its other volumes; else where its machine will be tried
    /// first.
    pub(super) async fn zone_for_volume(&self, slot: Option<SlotId>) -> Result<String, ProviderError> {
        let zones = self.zones().await?;
        let first = |index: u32| {
            let zone = zones.get(index as usize % zones.len().max(1)).cloned();
            zone.ok_or_else(|| ProviderError::refused("no zone is named"))
        };
        let Some(slot) = slot.filter(|_| zones.len() > 1) else { return first(0) };
        if let Some(zone) = self.zone_of_machine(slot).await? {
            return Ok(zone);
        }
        if let Some(zone) = self.zones_of_volumes(slot).await?.into_iter().next() {
            return Ok(zone);
        }
        let known = self.placed.borrow().get(&slot).cloned();
        known.map_or_else(|| first(slot.index), Ok)
    }

    /// The security groups of new machines.
    pub(super) async fn groups(&self) -> Result<Vec<String>, ProviderError> {
        let mut groups = self.spec.security_groups.clone();
        if !self.spec.rules.is_empty() {
            let own = self.own_group.get_or_try_init(|| self.own_group());
            groups.push(own.await?.clone());
        }
        Ok(groups)
    }

    /// The group that has just the rules of the file: found by its name, which says what they are, or made. Machines
    /// that have the group of earlier rules keep it.
    async fn own_group(&self) -> Result<String, ProviderError> {
        let rules: BTreeSet<String> = self.spec.rules.iter().map(text).collect();
        let text = rules.into_iter().collect::<Vec<_>>().join(" ");
        let name = format!("ideal-{}", &blake3::hash(text.as_bytes()).to_hex()[..12]);
        let mut query = Query::new(Action::DescribeSecurityGroups).filter("group-name", &name);
        if let Some(network) = &self.spec.network {
            query = query.filter("vpc-id", network);
        }
        let found = self.client.ask(&query).await?;
        let found = found.items("securityGroupInfo").next().cloned();
        let id = match &found {
            Some(group) => group.text("groupId").to_owned(),
            None => {
                let query = Query::new(Action::CreateSecurityGroup)
                    .with("GroupName", &name)
                    .with("GroupDescription", "What may come in, as the ideal file says")
                    .with_some("VpcId", self.spec.network.as_ref())
                    .tagged(
                        "security-group",
                        &Written::from([(tags::CLOUD.to_owned(), "shared".to_owned())]),
                    );
                self.client.ask(&query).await?.text("groupId").to_owned()
            }
        };
        // Whoever made it may have died before its rules were written.
        if found.is_none_or(|group| group.items("ipPermissions").next().is_none()) {
            let query = Query::new(Action::AuthorizeSecurityGroupIngress).with("GroupId", &id);
            let query = self.spec.rules.iter().enumerate().fold(query, |query, (i, rule)| {
                let at = format!("IpPermissions.{}", i + 1);
                let range =
                    if rule.from.contains(':') { "Ipv6Ranges.1.CidrIpv6" } else { "IpRanges.1.CidrIp" };
                query
                    .with(format!("{at}.IpProtocol"), word(rule.protocol))
                    .with(format!("{at}.FromPort"), rule.port)
                    .with(format!("{at}.ToPort"), rule.to.unwrap_or(rule.port))
                    .with(format!("{at}.{range}"), &rule.from)
            });
            self.client.ask(&query).await?;
        }
        Ok(id)
    }

    /// The key pair of new machines, which is imported when EC2 has none of its name.
    pub(super) async fn key(&self) -> Result<Option<String>, ProviderError> {
        let (Some(name), Some(public)) = (&self.spec.key, &self.spec.public_key) else {
            return Ok(self.spec.key.clone());
        };
        let there = self.own_key.get_or_try_init(async || {
            let query = Query::new(Action::DescribeKeyPairs).filter("key-name", name);
            if self.client.ask(&query).await?.items("keySet").next().is_none() {
                let query = Query::new(Action::ImportKeyPair)
                    .with("KeyName", name)
                    .with("PublicKeyMaterial", BASE64_STANDARD.encode(public));
                self.client.ask(&query).await?;
            }
            Ok::<_, ProviderError>(())
        });
        there.await?;
        Ok(Some(name.clone()))
    }
}

fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

fn text(rule: &Ec2Rule) -> String {
    format!("{} {} {}-{}", word(rule.protocol), rule.from, rule.port, rule.to.unwrap_or(rule.port))
}
