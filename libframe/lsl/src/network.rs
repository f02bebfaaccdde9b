//! Where on the network streams are looked for: what liblsl's configuration file says, or
//! what liblsl does without one.

use std::net::{IpAddr, Ipv4Addr};

use crate::config;

/// The group of IPv6 that liblsl asks, without the scope in front.
const GROUP: &str = "113D:6FDD:2C17:A643:FFE2:1BD1:3CD2";
/// The scopes, each with its hops, its own addresses, and its prefix of IPv6.
const SCOPES: [(&str, u32, &str, &str, &str); 5] = [
    ("machine", 0, "MachineAddresses", "{127.0.0.1}", ""),
    ("link", 1, "LinkAddresses", "{255.255.255.255, 224.0.0.1, 224.0.0.183}", "FF02"),
    ("site", 24, "SiteAddresses", "{239.255.172.215}", "FF05"),
    ("organization", 32, "OrganizationAddresses", "{}", "FF08"),
    ("global", 255, "GlobalAddresses", "{}", "FF0E"),
];

/// How a laboratory's network is to be searched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The port that all outlets listen at for searches.
    pub port: u16,
    /// The ports that each outlet has some of, for those who cannot hear the others.
    pub ports: (u16, u16),
    /// Whom to ask: groups, and single hosts.
    pub groups: Vec<IpAddr>,
    /// How far groups reach.
    pub hops: u32,
    /// Which interfaces to ask over; all if none is named.
    pub interfaces: Vec<IpAddr>,
    /// Hosts to be asked one by one.
    pub peers: Vec<String>,
    /// Streams of others are not ours.
    pub session_id: String,
}

impl Network {
    /// As the user's file says, or liblsl without one.
    pub fn configured() -> Network {
        Network::of(&config::text().unwrap_or_default())
    }

    fn of(config: &str) -> Network {
        let get = |key: &str| value(config, key);
        let number = |key: &str, default: u16| {
            get(key).and_then(|text| text.parse().ok()).unwrap_or(default)
        };
        let base: u16 = number("ports.BasePort", 16572);
        let family = get("ports.IPv6").unwrap_or("allow");
        let scope = get("multicast.ResolveScope").unwrap_or("site");
        let at = SCOPES.iter().position(|(name, ..)| *name == scope).unwrap_or(2);
        let mut groups = Vec::new();
        for (_, _, key, default, prefix) in &SCOPES[..=at] {
            groups.extend(set(get(&format!("multicast.{key}")).unwrap_or(default)));
            let group = get("multicast.IPv6MulticastGroup").unwrap_or(GROUP);
            groups.extend((!prefix.is_empty()).then(|| format!("{prefix}:{group}")));
        }
        let instead: Vec<String> =
            set(get("multicast.AddressesOverride").unwrap_or_default()).collect();
        if !instead.is_empty() {
            groups = instead;
        }
        let allowed = |address: &IpAddr| match address {
            IpAddr::V4(_) => !family.starts_with("force"),
            IpAddr::V6(_) => !family.starts_with("disable"),
        };
        let addresses = |texts: &mut dyn Iterator<Item = String>| -> Vec<IpAddr> {
            texts.filter_map(|text| text.parse().ok()).filter(allowed).collect()
        };
        let hops = get("multicast.TTLOverride").and_then(|text| text.parse().ok());
        Network {
            port: number("ports.MulticastPort", 16571),
            ports: (base, base.saturating_add(number("ports.PortRange", 32))),
            groups: addresses(&mut groups.into_iter()),
            hops: hops.unwrap_or(SCOPES[at].1),
            interfaces: addresses(&mut set(
                get("multicast.Interfaces").unwrap_or_default()
            )),
            peers: set(get("lab.KnownPeers").unwrap_or_default()).collect(),
            session_id: get("lab.SessionID").unwrap_or("default").to_owned(),
        }
    }
}

/// What stands under a key like `lab.SessionID`.
fn value<'a>(config: &'a str, key: &str) -> Option<&'a str> {
    let (section, key) = key.split_once('.')?;
    let mut current = "";
    let mut found = None;
    for line in config.lines().map(str::trim) {
        if line.starts_with([';', '#']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))
        {
            current = name.trim();
        } else if let Some((name, value)) = line.split_once('=')
            && current.eq_ignore_ascii_case(section)
            && name.trim().eq_ignore_ascii_case(key)
        {
            found = Some(value.split([';', '#']).next().unwrap_or_default().trim());
        }
    }
    found.filter(|value| !value.is_empty())
}

/// The words of `{a, b}`.
fn set(text: &str) -> impl Iterator<Item = String> {
    let inner = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let words = inner.unwrap_or_default().split(',').map(|word| word.trim().to_owned());
    words.filter(|word| !word.is_empty())
}

/// Whether all who listen there get what is sent, and not one host alone.
pub(crate) fn is_group(address: &IpAddr) -> bool {
    address.is_multicast() || *address == IpAddr::V4(Ipv4Addr::BROADCAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_file_it_is_what_liblsl_does() {
        let network = Network::of("");
        assert_eq!((network.port, network.ports), (16571, (16572, 16604)));
        let groups: Vec<String> = network.groups.iter().map(|a| a.to_string()).collect();
        let known = [
            "127.0.0.1",
            "255.255.255.255",
            "224.0.0.1",
            "224.0.0.183",
            "ff02:113d:6fdd:2c17:a643:ffe2:1bd1:3cd2",
            "239.255.172.215",
            "ff05:113d:6fdd:2c17:a643:ffe2:1bd1:3cd2",
        ];
        assert_eq!(groups, known);
        assert_eq!((network.hops, network.session_id.as_str()), (24, "default"));
        assert!(network.peers.is_empty() && network.interfaces.is_empty());
    }

    #[test]
    fn a_file_says_otherwise() {
        let network = Network::of(
            "; a comment\n[ports]\nMulticastPort = 18000\nBasePort=18001\nPortRange = 7\n\
             IPv6 = disable\n[multicast]\nResolveScope = link ; why\n\
             LinkAddresses = {224.0.0.9}\nInterfaces = {10.0.0.7}\nTTLOverride = 3\n\
             [lab]\nKnownPeers = {a.lab, 10.0.0.9}\nSessionID = mine\n",
        );
        assert_eq!((network.port, network.ports), (18000, (18001, 18008)));
        let groups: Vec<String> = network.groups.iter().map(|a| a.to_string()).collect();
        assert_eq!(groups, ["127.0.0.1", "224.0.0.9"]);
        assert_eq!(network.interfaces, ["10.0.0.7".parse::<IpAddr>().unwrap()]);
        assert_eq!((network.hops, network.session_id.as_str()), (3, "mine"));
        assert_eq!(network.peers, ["a.lab", "10.0.0.9"]);
        let only = Network::of("[multicast]\nAddressesOverride = {10.1.1.1}\n");
        assert_eq!(only.groups, ["10.1.1.1".parse::<IpAddr>().unwrap()]);
    }
}
