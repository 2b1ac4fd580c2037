//! What machines are made with: zones, a security group for the rules of the file, a key pair.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ideal_core::id::SlotId;
use ideal_core::ideal::{Ec2Rule, Protocol};

use super::Ec2;
use super::actions::Action;
use super::element::Element;
use super::query::Query;
use super::tags::{self, Written};
use crate::ProviderError;

/// Our tag on what every cluster of the account may use.
const SHARED: &str = "shared";

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

    /// Asks, whatever the file says, and refuses by name a zone of the file that cannot be used.
    pub(super) async fn zones_are_there(&self, region: &str) -> Result<(), ProviderError> {
        let query = Query::new(Action::DescribeAvailabilityZones).filter("state", "available");
        let answer = self.client.ask(&query).await?;
        let there: BTreeSet<&str> =
            answer.items("availabilityZoneInfo").map(|zone| zone.text("zoneName")).collect();
        let missing: Vec<&str> =
            self.spec.zones.iter().map(String::as_str).filter(|zone| !there.contains(zone)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let (missing, there) = (missing.join(" and "), Vec::from_iter(there).join(", "));
        Err(ProviderError::refused(format!(
            "the zone {missing} is not in {region} or cannot be used: there are {there}"
        )))
    }

    /// The zone of a new volume: where its machine is, or its other volumes; else where its machine will be tried
    /// first.
    pub(super) async fn zone_for_volume(&self, slot: Option<SlotId>) -> Result<String, ProviderError> {
        let zones = self.zones().await?;
        let first = |index: u32| {
            let zone = zones.get(index as usize % zones.len().max(1)).cloned();
            zone.ok_or_else(|| ProviderError::refused("no zone is named"))
        };
        // With one zone in the file too: its machine may be of a time when the file said another.
        let Some(slot) = slot else { return first(0) };
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

    /// The group that has just the rules of the file: found by its name, which says what they are and in which network,
    /// or made. Machines that have the group of earlier rules keep it.
    async fn own_group(&self) -> Result<String, ProviderError> {
        let rules: BTreeSet<String> = self.spec.rules.iter().map(text).collect();
        let network = self.spec.network.as_deref().unwrap_or_default();
        let all = format!("{network}\n{}", Vec::from_iter(rules.iter().map(String::as_str)).join(" "));
        let name = format!("ideal-{}", &blake3::hash(all.as_bytes()).to_hex()[..12]);
        let mut query = Query::new(Action::DescribeSecurityGroups)
            .filter("group-name", &name)
            .filter(&format!("tag:{}", tags::CLOUD), SHARED);
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
                    .tagged("security-group", &Written::from([(tags::CLOUD.to_owned(), SHARED.to_owned())]));
                self.client.ask(&query).await?.text("groupId").to_owned()
            }
        };
        let present = found.map(|group| present(&group)).unwrap_or_default();
        if !present.is_empty() && present != rules {
            let present = Vec::from_iter(present).join(", ");
            return Err(ProviderError::refused(format!(
                "somebody changed the security group {id} ({name}), which lets in {present}: give it the rules of \
                 the file again, or delete it when no machine has it any more"
            )));
        }
        // Whoever made it may have died before its rules were written.
        if present.is_empty() {
            let query = self.ingress(&id);
            match self.client.ask(&query).await {
                Ok(_) => {}
                // They were written already, which EC2 did not show yet.
                Err(failure) if failure.is("InvalidPermission.Duplicate") => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        Ok(id)
    }

    /// Gives a group the rules of the file.
    pub(super) fn ingress(&self, group: &str) -> Query {
        let query = Query::new(Action::AuthorizeSecurityGroupIngress).with("GroupId", group);
        self.spec.rules.iter().enumerate().fold(query, |query, (i, rule)| {
            let at = format!("IpPermissions.{}", i + 1);
            let range = if rule.from.contains(':') { "Ipv6Ranges.1.CidrIpv6" } else { "IpRanges.1.CidrIp" };
            query
                .with(format!("{at}.IpProtocol"), word(rule.protocol))
                .with(format!("{at}.FromPort"), rule.port)
                .with(format!("{at}.ToPort"), rule.to.unwrap_or(rule.port))
                .with(format!("{at}.{range}"), &rule.from)
        })
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
    let (from, to) = (range(&rule.from), rule.to.unwrap_or(rule.port));
    format!("{} {from} {}-{to}", word(rule.protocol), rule.port)
}

/// The rules that a group has, as [`text`] has them. One that the file could not say is a text as well, and none of
/// those.
fn present(group: &Element) -> BTreeSet<String> {
    let mut rules = BTreeSet::new();
    for one in group.items("ipPermissions") {
        let (protocol, from, to) = (one.text("ipProtocol"), one.text("fromPort"), one.text("toPort"));
        let sources = [
            ("ipRanges", "cidrIp"),
            ("ipv6Ranges", "cidrIpv6"),
            ("groups", "groupId"),
            ("prefixListIds", "prefixListId"),
        ];
        for (list, field) in sources {
            let sources = one.items(list).map(|item| range(item.text(field)));
            rules.extend(sources.map(|source| format!("{protocol} {source} {from}-{to}")));
        }
    }
    rules
}

/// A range of addresses as EC2 shows it: without what its length leaves out.
fn range(text: &str) -> String {
    let parts = text
        .split_once('/')
        .and_then(|(address, length)| Some((address.parse::<IpAddr>().ok()?, length.parse::<u32>().ok()?)));
    match parts {
        Some((IpAddr::V4(address), length)) if length <= 32 => {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or_default();
            format!("{}/{length}", Ipv4Addr::from_bits(address.to_bits() & mask))
        }
        Some((IpAddr::V6(address), length)) if length <= 128 => {
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or_default();
            format!("{}/{length}", Ipv6Addr::from_bits(address.to_bits() & mask))
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_compared_as_ec2_shows_them() {
        for (said, shown) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("192.0.2.7/32", "192.0.2.7/32"),
            ("2001:0DB8::1/32", "2001:db8::/32"),
            ("::/0", "::/0"),
            ("pl-1234", "pl-1234"),
            ("1.2.3.4/33", "1.2.3.4/33"),
        ] {
            assert_eq!(range(said), shown);
        }
    }

    #[test]
    fn the_rules_of_a_group_are_read() {
        let rule = Ec2Rule { from: "10.0.0.1/8".to_owned(), port: 22, to: None, protocol: Protocol::Tcp };
        let group = |more: &str| {
            let xml = format!(
                "<a><ipPermissions><item><ipProtocol>tcp</ipProtocol><fromPort>22</fromPort><toPort>22</toPort>\
                 <ipRanges><item><cidrIp>10.0.0.0/8</cidrIp></item></ipRanges>{more}</item></ipPermissions></a>"
            );
            present(&Element::read(xml.as_bytes()).unwrap())
        };
        assert_eq!(group(""), BTreeSet::from([text(&rule)]));
        for more in [
            "<ipv6Ranges><item><cidrIpv6>::/0</cidrIpv6></item></ipv6Ranges>",
            "<groups><item><groupId>sg-1</groupId></item></groups>",
            "<prefixListIds><item><prefixListId>pl-1</prefixListId></item></prefixListIds>",
        ] {
            assert_eq!(group(more).len(), 2, "{more}");
        }
    }
}
