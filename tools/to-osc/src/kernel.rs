//! What of the kernel has no safe wrapper: many datagrams in one call (UDP_SEGMENT), the
//! MTU of a route, and what of a TCP stream was not acknowledged. All of it may be absent;
//! then the caller does without.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// Linux has had it since 4.18; the libc crate names it for some targets only.
const UDP_SEGMENT: libc::c_int = 103;

/// Bytes of a control message that holds a u16, with room to align it.
const CONTROL: usize = 32;

/// Sends one buffer as datagrams of `each` bytes, the last of which may be shorter.
#[allow(unsafe_code, reason = "rustix has no control message for UDP_SEGMENT")]
pub(crate) fn send_segments(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    each: u16,
) -> io::Result<()> {
    #[repr(align(8))]
    struct Control([u8; CONTROL]);
    let mut control = Control([0; CONTROL]);
    let mut part =
        libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: `msghdr` is plain numbers and pointers, for which zero is a value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    // SAFETY: both only compute with sizes.
    let (space, len) = unsafe { (libc::CMSG_SPACE(2), libc::CMSG_LEN(2)) };
    message.msg_controllen = space as _;
    // SAFETY: the control buffer is aligned and longer than CMSG_SPACE(2), so it holds a
    // header and a u16; nothing else refers to it.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_UDP;
        (*header).cmsg_type = UDP_SEGMENT;
        (*header).cmsg_len = len as _;
        libc::CMSG_DATA(header).cast::<u16>().write_unaligned(each);
    }
    // SAFETY: the message points to buffers that live until the call returns, and which the
    // kernel only reads.
    let sent = unsafe {
        libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The MTU of the route that a connected socket takes, headers included.
#[allow(unsafe_code, reason = "rustix does not know IP_MTU")]
pub(crate) fn route_mtu(socket: BorrowedFd<'_>, is_v6: bool) -> Option<usize> {
    let (level, name) = match is_v6 {
        true => (libc::IPPROTO_IPV6, libc::IPV6_MTU),
        false => (libc::IPPROTO_IP, libc::IP_MTU),
    };
    let mut mtu: libc::c_int = 0;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to `mtu`, which has as many.
    let status = unsafe {
        let to = (&raw mut mtu).cast();
        libc::getsockopt(socket.as_raw_fd(), level, name, to, &raw mut len)
    };
    (status == 0).then_some(usize::try_from(mtu).ok()?)
}

/// Bytes of a TCP stream that the peer has not acknowledged.
#[allow(unsafe_code, reason = "rustix does not know SIOCOUTQ")]
pub(crate) fn unacknowledged(socket: BorrowedFd<'_>) -> u64 {
    let mut bytes: libc::c_int = 0;
    // SAFETY: SIOCOUTQ, which is TIOCOUTQ on sockets, writes one int to `bytes`.
    let status =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if status == 0 { u64::try_from(bytes).unwrap_or(0) } else { 0 }
}
