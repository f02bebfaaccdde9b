//! The network interfaces of this host: a search has to go out over each.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ptr;

/// Interfaces that are up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interfaces {
    /// Those of IPv4, by their addresses.
    pub(crate) v4: Vec<Ipv4Addr>,
    /// Those of IPv6, by their numbers.
    pub(crate) v6: Vec<u32>,
}

impl Interfaces {
    /// Asks the system.
    #[allow(unsafe_code, reason = "std and rustix have no getifaddrs")]
    pub(crate) fn list() -> io::Result<Interfaces> {
        let mut first: *mut libc::ifaddrs = ptr::null_mut();
        // SAFETY: the pointer is to a variable of ours, which the call sets.
        if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let mut all = Interfaces::default();
        let mut next = first;
        // SAFETY: the list is the kernel's, linked and ended by null, and stays until it is
        // freed below. An address of family AF_INET or AF_INET6 is a structure of that kind.
        unsafe {
            while let Some(one) = next.as_ref() {
                let is_up = one.ifa_flags & libc::IFF_UP as libc::c_uint != 0;
                if let Some(address) = one.ifa_addr.as_ref().filter(|_| is_up) {
                    match i32::from(address.sa_family) {
                        libc::AF_INET => {
                            let address = one.ifa_addr.cast::<libc::sockaddr_in>();
                            let bits = address.read_unaligned().sin_addr.s_addr;
                            all.v4.push(Ipv4Addr::from(bits.to_ne_bytes()));
                        }
                        libc::AF_INET6 => {
                            let address = one.ifa_addr.cast::<libc::sockaddr_in6>();
                            let address = address.read_unaligned();
                            all.add_v6(address.sin6_addr.s6_addr, address.sin6_scope_id);
                        }
                        _ => {}
                    }
                }
                next = one.ifa_next;
            }
            libc::freeifaddrs(first);
        }
        Ok(all)
    }

    /// Link-local addresses, which each interface of IPv6 has, tell its number.
    fn add_v6(&mut self, address: [u8; 16], number: u32) {
        let is_local = Ipv6Addr::from(address).is_unicast_link_local();
        if is_local && number != 0 && !self.v6.contains(&number) {
            self.v6.push(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_its_loopback() {
        assert!(Interfaces::list().unwrap().v4.contains(&Ipv4Addr::LOCALHOST));
    }
}
