//! Which streams there are.
//!
//! A question goes to all who may have streams, again and again, and who has one answers.
//! Not by liblsl, although it asks the same: its interface tells all of a stream but where
//! it is, and we connect ourselves.

use std::collections::HashMap;
use std::io;
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs as _, UdpSocket,
};
use std::os::fd::AsFd as _;

use libframe::clock::{Clock, SECOND};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt;

use crate::element::Element;
use crate::info::{Info, InfoError};
use crate::interfaces::Interfaces;
use crate::network::{Network, is_group};

/// How often to ask.
const INTERVAL: i64 = SECOND / 2;
/// The most streams that are known at once.
const MAX_FOUND: usize = 4096;
/// The most questions asked at once.
pub const MAX_QUERIES: usize = 60;

/// A search that goes on as long as it is asked to.
#[derive(Debug)]
pub struct Resolver {
    network: Network,
    sockets: Vec<UdpSocket>,
    interfaces: Interfaces,
    peers: Vec<SocketAddr>,
    queries: Vec<String>,
    /// In front of the number of a query: answers to others' are not ours.
    nonce: u32,
    next: i64,
    clock: Clock,
    found: HashMap<String, Entry>,
    troubles: Vec<String>,
}

#[derive(Debug)]
struct Entry {
    found: Found,
    queries: u64,
}

/// A stream that answered, and where it does.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// What it says of itself in short: without its `desc`.
    pub info: Info,
    /// Where its samples and its full description are.
    pub data: SocketAddr,
    /// Where its clock is.
    pub service: SocketAddr,
    /// When it answered last.
    pub seen: i64,
}

/// Why a stream that answered cannot be used.
#[derive(Debug, thiserror::Error)]
enum FoundError {
    #[error(transparent)]
    Info(#[from] InfoError),
    #[error("stream '{0}' tells no port")]
    Port(String),
    #[error("stream '{0}' has no uid")]
    Uid(String),
}

impl Resolver {
    /// Begins to search: for all streams (`None`), or those of XPath predicates.
    pub fn new(
        network: Network,
        predicates: &[Option<String>],
        clock: &Clock,
    ) -> io::Result<Resolver> {
        let sockets = sockets(&network)?;
        let mut interfaces = Interfaces::list().unwrap_or_default();
        if !network.interfaces.is_empty() {
            interfaces.v4 = network.interfaces.iter().filter_map(v4).collect();
        }
        let peers = network.peers.iter().flat_map(|peer| {
            let found = (peer.as_str(), network.ports.0).to_socket_addrs();
            let hosts = found.into_iter().flatten().map(|address| address.ip());
            let (first, end) = network.ports;
            hosts.flat_map(move |host| (first..end).map(move |port| (host, port).into()))
        });
        let query = |predicate: &Option<String>| {
            let session = format!("session_id='{}'", network.session_id);
            match predicate {
                Some(predicate) => format!("{session} and ({predicate})"),
                None => session,
            }
        };
        Ok(Resolver {
            sockets,
            interfaces,
            peers: peers.collect(),
            queries: predicates.iter().take(MAX_QUERIES).map(query).collect(),
            nonce: (clock.now() as u32) ^ std::process::id(),
            next: clock.now(),
            clock: clock.clone(),
            found: HashMap::new(),
            troubles: Vec::new(),
            network,
        })
    }

    /// Asks when it is time to, and takes answers until `until`.
    pub fn search(&mut self, until: i64) -> io::Result<()> {
        let mut bytes = vec![0; 64 << 10];
        loop {
            let now = self.clock.now();
            if now >= self.next {
                self.next = now + INTERVAL;
                self.ask();
            }
            let left = self.next.min(until) - now;
            if now >= until {
                return Ok(());
            }
            let time = Timespec { tv_sec: left / SECOND, tv_nsec: left % SECOND };
            let fds = self.sockets.iter().map(|socket| socket.as_fd());
            let mut fds: Vec<_> =
                fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
            match poll(&mut fds, Some(&time)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(err) => return Err(err.into()),
            }
            for at in 0..self.sockets.len() {
                // So many and then the clock: nobody can keep us here.
                for _ in 0..256 {
                    let Ok((len, from)) = self.sockets[at].recv_from(&mut bytes) else {
                        break;
                    };
                    self.take(&bytes[..len], from.ip());
                }
            }
        }
    }

    /// The streams that answered since then, each with the numbers of the predicates that it
    /// answered to, as bits.
    pub fn found(&mut self, since: i64) -> impl Iterator<Item = (&Found, u64)> {
        self.found.retain(|_, entry| entry.found.seen >= since);
        self.found.values().map(|entry| (&entry.found, entry.queries))
    }

    /// What was wrong with answers since this was asked last.
    pub fn troubles(&mut self) -> Vec<String> {
        std::mem::take(&mut self.troubles)
    }

    fn take(&mut self, bytes: &[u8], from: IpAddr) {
        let text = String::from_utf8_lossy(bytes);
        let Some((head, xml)) = text.split_once('\n') else { return };
        let number = head.trim().strip_prefix(&format!("{}0", self.nonce));
        let query: Option<usize> = number.and_then(|number| number.parse().ok());
        let Some(query) = query.filter(|query| *query < self.queries.len()) else {
            return;
        };
        let found = match Found::read(xml, from) {
            Ok(found) => found,
            Err(err) => {
                if self.troubles.len() < MAX_QUERIES {
                    self.troubles.push(format!("{from}: {err}"));
                }
                return;
            }
        };
        let is_ours = found.info.session_id == self.network.session_id;
        let is_room = self.found.len() < MAX_FOUND;
        let uid = found.info.uid.clone();
        if !is_ours || !is_room && !self.found.contains_key(&uid) {
            return;
        }
        // The first to come took the fastest way.
        let entry = self.found.entry(uid).or_insert(Entry { found, queries: 0 });
        entry.found.seen = self.clock.now();
        entry.queries |= 1 << query;
    }

    /// Sends all questions to all who may answer. Ways that cannot be gone are left out:
    /// there is always some interface without a network.
    fn ask(&self) {
        for socket in &self.sockets {
            let Ok(local) = socket.local_addr() else { continue };
            for (number, query) in self.queries.iter().enumerate() {
                let (port, nonce) = (local.port(), self.nonce);
                let text =
                    format!("LSL:shortinfo\r\n{query}\r\n{port} {nonce}0{number}\r\n");
                self.send(socket, local.is_ipv4(), text.as_bytes());
            }
        }
    }

    fn send(&self, socket: &UdpSocket, is_v4: bool, text: &[u8]) {
        let send = |to: SocketAddr| drop(socket.send_to(text, to));
        let port = self.network.port;
        let groups = self.network.groups.iter().filter(|group| group.is_ipv4() == is_v4);
        for group in groups {
            match group {
                group if !is_group(group) => send((*group, port).into()),
                IpAddr::V4(group) => {
                    for interface in &self.interfaces.v4 {
                        if sockopt::set_ip_multicast_if(socket, interface).is_ok() {
                            send((*group, port).into());
                        }
                    }
                }
                IpAddr::V6(group) => {
                    for number in &self.interfaces.v6 {
                        send(SocketAddrV6::new(*group, port, 0, *number).into());
                    }
                }
            }
        }
        self.peers
            .iter()
            .filter(|peer| peer.is_ipv4() == is_v4)
            .for_each(|peer| send(*peer));
    }
}

fn v4(address: &IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(*address),
        IpAddr::V6(_) => None,
    }
}

/// A socket for each family that is to be asked.
fn sockets(network: &Network) -> io::Result<Vec<UdpSocket>> {
    let mut sockets = Vec::new();
    if network.groups.iter().any(IpAddr::is_ipv4) || !network.peers.is_empty() {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.set_broadcast(true)?;
        socket.set_multicast_ttl_v4(network.hops)?;
        sockets.push(socket);
    }
    if network.groups.iter().any(IpAddr::is_ipv6)
        // A kernel without it is no reason not to use the other.
        && let Ok(socket) = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))
    {
        sockopt::set_ipv6_multicast_hops(&socket, network.hops)?;
        sockets.push(socket);
    }
    sockets.iter().try_for_each(|socket| socket.set_nonblocking(true))?;
    Ok(sockets)
}

impl Found {
    /// Reads a stream's short description, and from where it came.
    fn read(xml: &str, from: IpAddr) -> Result<Found, FoundError> {
        let info = Info::from_xml(xml)?;
        let root = Element::parse(xml).map_err(InfoError::from)?;
        let family = if from.is_ipv4() { "v4" } else { "v6" };
        let address = |what: &str| {
            let port = root.text_at(&format!("{family}{what}_port"))?.parse().ok();
            Some(SocketAddr::new(from, port.filter(|port| *port != 0)?))
        };
        let refuse = || FoundError::Port(info.name.clone());
        let data = address("data").ok_or_else(refuse)?;
        let service = address("service").ok_or_else(refuse)?;
        match info.uid.is_empty() {
            true => Err(FoundError::Uid(info.name)),
            false => Ok(Found { info, data, service, seen: 0 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const XML: &str = "<info><name>n</name><channel_count>1</channel_count>\
        <channel_format>int8</channel_format><uid>u</uid><session_id>mine</session_id>\
        <v4data_port>16572</v4data_port><v4service_port>16573</v4service_port>\
        <v6data_port>0</v6data_port></info>";
    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn resolver(session: &str) -> Resolver {
        let network = Network {
            port: 9,
            ports: (0, 0),
            groups: vec![HERE],
            hops: 0,
            interfaces: Vec::new(),
            peers: Vec::new(),
            session_id: session.into(),
        };
        Resolver::new(network, &[None, Some("type='x'".into())], &Clock::system())
            .unwrap()
    }

    #[test]
    fn a_stream_is_where_its_answer_came_from() {
        let found = Found::read(XML, HERE).unwrap();
        assert_eq!(found.data.to_string(), "127.0.0.1:16572");
        assert_eq!(found.service.to_string(), "127.0.0.1:16573");
        let six = Found::read(XML, IpAddr::V6(Ipv6Addr::LOCALHOST));
        assert!(matches!(six, Err(FoundError::Port(_))));
        let none = XML.replace("<uid>u</uid>", "");
        assert!(matches!(Found::read(&none, HERE), Err(FoundError::Uid(_))));
        assert!(matches!(Found::read("<info", HERE), Err(FoundError::Info(_))));
    }

    #[test]
    fn only_answers_to_own_questions_of_the_own_session_count() {
        let mut resolver = resolver("mine");
        let nonce = resolver.nonce;
        assert_eq!(resolver.queries[1], "session_id='mine' and (type='x')");
        let count = |resolver: &mut Resolver| resolver.found(0).count();
        for head in [format!("{}0\r\n", nonce), format!("{nonce}02\r\n"), "7\r\n".into()]
        {
            resolver.take(format!("{head}{XML}").as_bytes(), HERE);
        }
        assert_eq!(count(&mut resolver), 0);
        resolver
            .take(format!("{nonce}01\r\n{}", XML.replace("mine", "x")).as_bytes(), HERE);
        assert_eq!(count(&mut resolver), 0);
        resolver.take(format!("{nonce}01\r\n{XML}").as_bytes(), HERE);
        resolver.take(format!("{nonce}00\r\n{XML}").as_bytes(), HERE);
        assert_eq!(resolver.found(0).next().unwrap().1, 0b11);
        resolver.take(format!("{nonce}00\r\n<html/>").as_bytes(), HERE);
        assert_eq!(resolver.troubles().len(), 1);
        assert_eq!(resolver.found(i64::MAX).count(), 0);
    }
}
