//! Network addresses.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The addresses of this machine by interface, without those that mean the machine itself or one link only.
pub(super) fn addresses() -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in fs::read_to_string("/proc/net/if_inet6").unwrap_or_default().lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [address, _, _, scope, _, interface] = words[..] else { continue };
        // Scope 00 is global.
        if let (Ok(bits), "00") = (u128::from_str_radix(address, 16), scope) {
            all.entry(interface.to_owned()).or_default().push(Ipv6Addr::from_bits(bits).to_string());
        }
    }
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    for (interface, address) in v4(&fs::read_to_string("/proc/net/fib_trie").unwrap_or_default(), &routes) {
        let addresses = all.entry(interface).or_default();
        if !addresses.contains(&address) {
            addresses.insert(0, address);
        }
    }
    all
}

/// Local addresses of the kernel's table, each with the interface whose network it lies in.
fn v4(trie: &str, routes: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut last: Option<Ipv4Addr> = None;
    for line in trie.lines() {
        let line = line.trim_start_matches([' ', '|', '+', '-']);
        if let Ok(address) = line.split(['/', ' ']).next().unwrap_or_default().parse() {
            last = Some(address);
        } else if line.starts_with("/32 host LOCAL")
            && let Some(address) = last.filter(|address| !address.is_loopback())
            && let Some(interface) = interface_of(address, routes)
        {
            found.push((interface, address.to_string()));
        }
    }
    found
}

/// The interface that leads to the network of an address.
fn interface_of(address: Ipv4Addr, routes: &str) -> Option<String> {
    let mut best: Option<(u32, String)> = None;
    for line in routes.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (Some(interface), Some(to), Some(mask)) = (words.first(), words.get(1), words.get(7)) else {
            continue;
        };
        let number = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::swap_bytes);
        let (Some(to), Some(mask)) = (number(to), number(mask)) else { continue };
        if address.to_bits() & mask == to && best.as_ref().is_none_or(|(widest, _)| mask > *widest) {
            best = Some((mask, (*interface).to_owned()));
        }
    }
    best.map(|(_, interface)| interface)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_the_table_of_the_kernel() {
        let trie = "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 10.0.2.0/24 2 0 2\n        |-- 10.0.2.15\n           /32 host LOCAL\n        |-- 10.0.2.255\n           /32 link BROADCAST\n     |-- 127.0.0.1\n        /32 host LOCAL\n";
        let routes = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
            eth0\t00000000\t0202000A\t0003\t0\t0\t0\t00000000\n\
            eth1\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\n";
        assert_eq!(v4(trie, routes), [("eth1".to_owned(), "10.0.2.15".to_owned())]);
    }
}
