//! UDP sockets for both IP versions that know which of our addresses a datagram came to, and can answer from it.

use anyhow::Context;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;

/// Binds `port` for IPv6 and IPv4 at once, or for IPv4 alone where there is no IPv6. Non-blocking.
pub fn bind(port: u16) -> io::Result<UdpSocket> {
    match bind_both(port) {
        // No IPv6 at all, or switched off for every interface.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)) => {
            bind_v4(port)
        }
        bound => bound,
    }
}

fn bind_both(port: u16) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_only_v6(false)?;
    switch_on(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)?;
    finish(socket, (Ipv6Addr::UNSPECIFIED, port).into())
}

fn bind_v4(port: u16) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    switch_on(&socket, libc::IPPROTO_IP, libc::IP_PKTINFO)?;
    finish(socket, (Ipv4Addr::UNSPECIFIED, port).into())
}

fn finish(socket: Socket, address: SocketAddr) -> io::Result<UdpSocket> {
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn switch_on(socket: &Socket, level: libc::c_int, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: both options take an int, which is what pointer and length describe.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            mem::size_of_val(&on) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Asks for buffers of `bytes`. The kernel gives what its limits allow, which is never an error.
pub fn grow_buffers(socket: &UdpSocket, bytes: usize) {
    let socket = socket2::SockRef::from(socket);
    let grown = socket.set_recv_buffer_size(bytes).and_then(|()| socket.set_send_buffer_size(bytes));
    if let Err(error) = grown.context("growing socket buffers") {
        tracing::debug!("{error:#}");
    }
}

/// A datagram that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes in the buffer.
    pub length: usize,
    /// The datagram was longer than the buffer.
    pub cut: bool,
    /// Who sent it; IPv4 is given as IPv4, also on a socket for both.
    pub peer: SocketAddr,
    /// Which of our addresses it was sent to.
    pub local: Option<IpAddr>,
}

/// Room for one `in6_pktinfo` or `in_pktinfo` with its header, aligned for `cmsghdr`.
type ControlBuffer = [u64; 8];

/// Takes one datagram; `WouldBlock` if there is none.
pub fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Received> {
    let mut slice = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control: ControlBuffer = [0; 8];
    // SAFETY: a header of zeros is a valid one without address, data or control buffer.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut slice;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = mem::size_of_val(&control) as _;
    // SAFETY: every pointer in `header` is to a live buffer of the given length, and the kernel sets the length of the
    // address that it writes.
    let (length, peer) = unsafe {
        SockAddr::try_init(|storage, storage_length| {
            header.msg_name = storage.cast();
            header.msg_namelen = *storage_length;
            let length = libc::recvmsg(socket.as_raw_fd(), &raw mut header, 0);
            *storage_length = header.msg_namelen;
            usize::try_from(length).map_err(|_| io::Error::last_os_error())
        })?
    };
    let peer = peer.as_socket().ok_or(io::ErrorKind::InvalidData)?;
    let cut = header.msg_flags & libc::MSG_TRUNC != 0;
    Ok(Received { length, cut, peer: canonical(peer), local: local_address(&header) })
}

/// Our address in the control messages of a received header.
fn local_address(header: &libc::msghdr) -> Option<IpAddr> {
    // SAFETY: `header` and its control buffer were filled by `recvmsg`, and the macros stay inside `msg_controllen`.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while let Some(entry) = message.as_ref() {
            let data = libc::CMSG_DATA(message);
            match (entry.cmsg_level, entry.cmsg_type) {
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                    return Some(IpAddr::from(info.ipi6_addr.s6_addr).to_canonical());
                }
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                    return Some(Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr)).into());
                }
                _ => message = libc::CMSG_NXTHDR(header, message),
            }
        }
    }
    None
}

/// Sends one datagram, from `local` if given.
pub fn send(
    socket: &UdpSocket,
    datagram: &[u8],
    peer: SocketAddr,
    local: Option<IpAddr>,
) -> io::Result<usize> {
    let for_both = socket.local_addr()?.is_ipv6();
    let name = SockAddr::from(if for_both { mapped(peer) } else { peer });
    let mut slice = libc::iovec { iov_base: datagram.as_ptr().cast_mut().cast(), iov_len: datagram.len() };
    let mut control: ControlBuffer = [0; 8];
    // SAFETY: a header of zeros is a valid one without address, data or control buffer.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_name = name.as_ptr().cast_mut().cast();
    header.msg_namelen = name.len();
    header.msg_iov = &raw mut slice;
    header.msg_iovlen = 1;
    if let Some(local) = local {
        put_source(&mut header, &mut control, local, for_both);
    }
    // SAFETY: every pointer in `header` is to a live buffer of the given length; `sendmsg` only reads them.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_NOSIGNAL) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Writes the control message that chooses the source address. A socket for both takes IPv4 as mapped IPv6.
fn put_source(header: &mut libc::msghdr, control: &mut ControlBuffer, local: IpAddr, for_both: bool) {
    header.msg_control = control.as_mut_ptr().cast();
    match local {
        IpAddr::V4(address) if !for_both => {
            // SAFETY: zeros are a valid `in_pktinfo`.
            let mut info: libc::in_pktinfo = unsafe { mem::zeroed() };
            info.ipi_spec_dst.s_addr = u32::from(address).to_be();
            put_message(header, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
        }
        _ => {
            // SAFETY: zeros are a valid `in6_pktinfo`.
            let mut info: libc::in6_pktinfo = unsafe { mem::zeroed() };
            info.ipi6_addr.s6_addr = match local {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                IpAddr::V6(address) => address.octets(),
            };
            put_message(header, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
        }
    }
}

fn put_message<T>(header: &mut libc::msghdr, level: libc::c_int, kind: libc::c_int, data: T) {
    let bytes = mem::size_of::<T>() as libc::c_uint;
    // SAFETY: `msg_control` is a `ControlBuffer`, which has room for the larger of the two structures, and is aligned.
    unsafe {
        header.msg_controllen = libc::CMSG_SPACE(bytes) as _;
        let message = libc::CMSG_FIRSTHDR(header);
        (*message).cmsg_level = level;
        (*message).cmsg_type = kind;
        (*message).cmsg_len = libc::CMSG_LEN(bytes) as _;
        libc::CMSG_DATA(message).cast::<T>().write_unaligned(data);
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => (ip, address.port()).into(),
        IpAddr::V6(_) => address,
    }
}

fn mapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into(),
        SocketAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits for one datagram.
    fn wait(socket: &UdpSocket, buffer: &mut [u8]) -> Received {
        socket.set_nonblocking(false).unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        receive(socket, buffer).unwrap()
    }

    fn there_and_back(host: &UdpSocket, client: &str, host_address: &str) {
        let client = UdpSocket::bind(client).unwrap();
        client.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        let host_address = SocketAddr::new(host_address.parse().unwrap(), host.local_addr().unwrap().port());
        client.send_to(b"ping", host_address).unwrap();
        let mut buffer = [0; 3];
        let came = wait(host, &mut buffer);
        assert_eq!((came.peer, came.local), (client.local_addr().unwrap(), Some(host_address.ip())));
        assert_eq!((came.length, came.cut, &buffer), (3, true, b"pin"));
        assert_eq!(send(host, b"pong", came.peer, came.local).unwrap(), 4);
        let mut buffer = [0; 10];
        let (length, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from), (&b"pong"[..], host_address));
    }

    #[test]
    fn answers_leave_from_the_address_that_was_asked() {
        let both = bind(0).unwrap();
        there_and_back(&both, "127.0.0.1:0", "127.0.0.1");
        there_and_back(&both, "127.0.0.1:0", "127.0.0.5");
        there_and_back(&both, "[::1]:0", "::1");
        let v4 = bind_v4(0).unwrap();
        there_and_back(&v4, "127.0.0.1:0", "127.0.0.9");
    }

    #[test]
    fn nothing_there_would_block() {
        let error = receive(&bind(0).unwrap(), &mut [0; 10]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
