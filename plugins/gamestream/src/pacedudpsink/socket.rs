//! The socket, the way a datagram takes from it, and the system calls that use both.

use super::sender::{MAX_MANY, Transmit};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use std::{
    io::{self, IoSlice},
    mem,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    ptr,
    time::Duration,
};

/// Send buffer asked of the kernel, which may give less: some frames at 4K.
const SEND_BUFFER: usize = 4 << 20;

/// A UDP socket for one or both address families.
pub struct UdpSocket {
    socket: Socket,
    /// An AF_INET6 socket; IPv4 destinations are written as ::ffff:a.b.c.d there.
    six: bool,
}

impl UdpSocket {
    /// A socket of our own for both families, or for IPv4 where there is nothing else. It hears of unreachable peers.
    pub fn open() -> io::Result<Self> {
        let six = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP)).and_then(|socket| {
            socket.set_only_v6(false)?;
            Ok(socket)
        });
        let (socket, six) = match six {
            Ok(socket) => (socket, true),
            Err(_) => (Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?, false),
        };
        // Less buffer and no word of a peer's absence are no reason to send nothing.
        let _ = socket.set_send_buffer_size(SEND_BUFFER);
        let _ = switch_on(&socket, libc::SOL_IP, libc::IP_RECVERR);
        if six {
            let _ = switch_on(&socket, libc::SOL_IPV6, libc::IPV6_RECVERR);
        }
        Ok(Self { socket, six })
    }

    /// A second descriptor of somebody's socket, whose settings stay as they are.
    pub fn share(fd: RawFd) -> io::Result<Self> {
        if fd < 0 {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        // SAFETY: not negative, and borrowed for this call only; the kernel refuses a number that is no descriptor.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        let socket = Socket::from(fd.try_clone_to_owned()?);
        let six = match SockRef::from(&socket).local_addr()?.domain() {
            Domain::IPV6 => true,
            Domain::IPV4 => false,
            _ => return Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
        };
        Ok(Self { socket, six })
    }

    /// Waits until the socket takes something, at most `limit` (rounded up to milliseconds).
    pub fn wait_writable(&self, limit: Duration) {
        let mut poll = libc::pollfd { fd: self.socket.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
        // SAFETY: one valid pollfd.
        unsafe { libc::poll(&mut poll, 1, limit.as_micros().div_ceil(1000) as i32) };
    }

    /// The way to `destination`, from `source` if given, with `dscp` if not negative.
    pub fn way(&self, destination: SocketAddr, source: Option<IpAddr>, dscp: i32) -> io::Result<Way> {
        if source.is_some_and(|source| source.is_ipv4() != destination.is_ipv4()) {
            let what =
                format!("source address {} and destination {destination} differ in family", source.unwrap());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let address = match (destination, self.six) {
            (SocketAddr::V4(four), true) => SocketAddr::new(four.ip().to_ipv6_mapped().into(), four.port()),
            (SocketAddr::V6(_), false) => return Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
            (same, _) => same,
        };
        let mut control = Control::default();
        match source {
            Some(IpAddr::V4(four)) if self.six => control.push_source_six(four.to_ipv6_mapped()),
            Some(IpAddr::V6(six)) => control.push_source_six(six),
            Some(IpAddr::V4(four)) => {
                let info = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr { s_addr: u32::from(four).to_be() },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                control.push(libc::SOL_IP, libc::IP_PKTINFO, info);
            }
            None => {}
        }
        if dscp >= 0 {
            let class: libc::c_int = dscp << 2;
            match destination {
                SocketAddr::V4(_) => control.push(libc::SOL_IP, libc::IP_TOS, class),
                SocketAddr::V6(_) => control.push(libc::SOL_IPV6, libc::IPV6_TCLASS, class),
            }
        }
        Ok(Way { address: address.into(), control })
    }

    /// The socket together with a way, ready to send.
    pub fn along<'a>(&'a self, way: &'a Way) -> Along<'a> {
        Along { fd: self.socket.as_raw_fd(), way }
    }
}

fn switch_on(socket: &Socket, level: libc::c_int, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option takes an int, whose address and size are given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            ptr::from_ref(&on).cast(),
            mem::size_of_val(&on) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A destination and what the kernel is told with each datagram to it. Nothing of it is set on the socket, which
/// others may share.
#[derive(Debug)]
pub struct Way {
    address: SockAddr,
    control: Control,
}

/// Control messages, as `sendmsg` takes them.
#[derive(Clone, Copy, Default)]
struct Control {
    /// Room for a source address, a traffic class and a segment size, aligned as `cmsghdr` is.
    words: [u64; 16],
    used: usize,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.used)
    }
}

impl Control {
    fn push<T: Copy>(&mut self, level: libc::c_int, kind: libc::c_int, value: T) {
        // SAFETY: sizes only.
        let (space, length) = unsafe {
            (libc::CMSG_SPACE(size_of::<T>() as u32) as usize, libc::CMSG_LEN(size_of::<T>() as u32))
        };
        assert!(self.used + space <= size_of_val(&self.words), "room for three control messages");
        // SAFETY: `used` is a multiple of the alignment, since CMSG_SPACE is, and the message fits as asserted.
        unsafe {
            let header = self.words.as_mut_ptr().byte_add(self.used).cast::<libc::cmsghdr>();
            (*header).cmsg_len = length as _;
            (*header).cmsg_level = level;
            (*header).cmsg_type = kind;
            libc::CMSG_DATA(header).cast::<T>().write_unaligned(value);
        }
        self.used += space;
    }

    fn push_source_six(&mut self, source: Ipv6Addr) {
        let info =
            libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: source.octets() }, ipi6_ifindex: 0 };
        self.push(libc::SOL_IPV6, libc::IPV6_PKTINFO, info);
    }
}

/// The system calls of a socket along a way. None of them blocks.
pub struct Along<'a> {
    fd: RawFd,
    way: &'a Way,
}

impl Along<'_> {
    /// A message header for `datagrams`, which the kernel only reads.
    fn header(&self, datagrams: &[IoSlice<'_>], control: &Control) -> libc::msghdr {
        // SAFETY: all zeros is a valid msghdr; its fields differ between libcs, so it cannot be written out.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_name = self.way.address.as_ptr().cast_mut().cast();
        header.msg_namelen = self.way.address.len();
        // IoSlice is guaranteed to have the layout of iovec.
        header.msg_iov = datagrams.as_ptr().cast_mut().cast();
        header.msg_iovlen = datagrams.len() as _;
        if control.used > 0 {
            header.msg_control = control.words.as_ptr().cast_mut().cast();
            header.msg_controllen = control.used as _;
        }
        header
    }

    fn send(&self, datagrams: &[IoSlice<'_>], control: &Control) -> io::Result<()> {
        let header = self.header(datagrams, control);
        // SAFETY: the header points to an address, slices and control messages that outlive the call.
        let sent = unsafe { libc::sendmsg(self.fd, &header, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl Transmit for Along<'_> {
    fn segmented(&self, datagrams: &[IoSlice<'_>]) -> io::Result<()> {
        let mut control = self.way.control;
        control.push(libc::SOL_UDP, libc::UDP_SEGMENT, datagrams[0].len() as u16);
        self.send(datagrams, &control)
    }

    fn many(&self, datagrams: &[IoSlice<'_>]) -> io::Result<usize> {
        let count = datagrams.len().min(MAX_MANY);
        // SAFETY: all zeros is a valid mmsghdr.
        let mut headers: [libc::mmsghdr; MAX_MANY] = unsafe { mem::zeroed() };
        for (header, datagram) in headers.iter_mut().zip(datagrams.chunks(1)) {
            header.msg_hdr = self.header(datagram, &self.way.control);
        }
        // SAFETY: `count` headers are filled, and what they point to outlives the call.
        let sent = unsafe {
            libc::sendmmsg(
                self.fd,
                headers.as_mut_ptr(),
                count as libc::c_uint,
                (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
            )
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
    }

    fn single(&self, datagram: &IoSlice<'_>) -> io::Result<()> {
        self.send(std::slice::from_ref(datagram), &self.way.control)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, UdpSocket as StdSocket};

    const LIMIT: Duration = Duration::from_secs(5);

    fn receiver(address: &str) -> StdSocket {
        let socket = StdSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        socket
    }

    fn receive(socket: &StdSocket) -> (Vec<u8>, SocketAddr) {
        let mut bytes = [0; 2000];
        let (count, from) = socket.recv_from(&mut bytes).unwrap();
        (bytes[..count].to_vec(), from)
    }

    fn sockets() -> Vec<UdpSocket> {
        let four = StdSocket::bind("127.0.0.1:0").unwrap();
        let any = StdSocket::bind("0.0.0.0:0").unwrap();
        let six = StdSocket::bind("[::]:0").unwrap();
        let shared = |socket: &StdSocket| UdpSocket::share(socket.as_raw_fd()).unwrap();
        vec![UdpSocket::open().unwrap(), shared(&four), shared(&any), shared(&six)]
    }

    #[test]
    fn every_call_reaches_ipv4_from_every_socket() {
        for socket in sockets() {
            let receiver = receiver("127.0.0.1:0");
            let way =
                socket.way(receiver.local_addr().unwrap(), Some(Ipv4Addr::LOCALHOST.into()), 34).unwrap();
            let datagrams = [IoSlice::new(b"one"), IoSlice::new(b"two"), IoSlice::new(b"3")];
            socket.along(&way).segmented(&datagrams).unwrap();
            assert_eq!(socket.along(&way).many(&datagrams).unwrap(), 3);
            socket.along(&way).single(&datagrams[0]).unwrap();
            for expected in [b"one", b"two", &b"3"[..], b"one", b"two", b"3", b"one"] {
                let (bytes, from) = receive(&receiver);
                assert_eq!(bytes, expected);
                assert_eq!(from.ip(), Ipv4Addr::LOCALHOST);
            }
        }
    }

    #[test]
    fn every_call_reaches_ipv6() {
        let socket = UdpSocket::open().unwrap();
        let receiver = receiver("[::1]:0");
        let way = socket.way(receiver.local_addr().unwrap(), Some(Ipv6Addr::LOCALHOST.into()), 46).unwrap();
        let datagrams = [IoSlice::new(b"one"), IoSlice::new(b"two")];
        socket.along(&way).segmented(&datagrams).unwrap();
        assert_eq!(socket.along(&way).many(&datagrams).unwrap(), 2);
        for expected in [b"one", b"two", b"one", b"two"] {
            assert_eq!(receive(&receiver).0, expected);
        }
    }

    #[test]
    fn the_source_address_is_the_one_asked_for() {
        let receiver = receiver("127.0.0.1:0");
        let any = StdSocket::bind("[::]:0").unwrap();
        for socket in [UdpSocket::open().unwrap(), UdpSocket::share(any.as_raw_fd()).unwrap()] {
            let source = Ipv4Addr::new(127, 0, 0, 77);
            let way = socket.way(receiver.local_addr().unwrap(), Some(source.into()), -1).unwrap();
            socket.along(&way).segmented(&[IoSlice::new(b"ab"), IoSlice::new(b"cd")]).unwrap();
            assert_eq!(receive(&receiver).1.ip(), source);
            assert_eq!(receive(&receiver).1.ip(), source);
        }
    }

    #[test]
    fn the_traffic_class_travels_with_the_datagram() {
        for (address, level, receive_option) in [
            ("127.0.0.1:0", libc::SOL_IP, libc::IP_RECVTOS),
            ("[::1]:0", libc::SOL_IPV6, libc::IPV6_RECVTCLASS),
        ] {
            let receiver = Socket::from(receiver(address));
            switch_on(&receiver, level, receive_option).unwrap();
            let socket = UdpSocket::open().unwrap();
            let to = receiver.local_addr().unwrap().as_socket().unwrap();
            let way = socket.way(to, None, 40).unwrap();
            socket.along(&way).single(&IoSlice::new(b"x")).unwrap();
            assert_eq!(received_class(&receiver), 40 << 2);
        }
    }

    /// The traffic class of the next datagram.
    fn received_class(socket: &Socket) -> u8 {
        let mut control = [0u64; 16];
        let mut byte = 0u8;
        let mut slice = libc::iovec { iov_base: ptr::from_mut(&mut byte).cast(), iov_len: 1 };
        // SAFETY: all zeros is a valid msghdr, and everything it is made to point to outlives the call.
        unsafe {
            let mut header: libc::msghdr = mem::zeroed();
            header.msg_iov = &mut slice;
            header.msg_iovlen = 1;
            header.msg_control = control.as_mut_ptr().cast();
            header.msg_controllen = size_of_val(&control) as _;
            assert_eq!(libc::recvmsg(socket.as_raw_fd(), &mut header, 0), 1);
            *libc::CMSG_DATA(libc::CMSG_FIRSTHDR(&header))
        }
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let four = StdSocket::bind("127.0.0.1:0").unwrap();
        let four = UdpSocket::share(four.as_raw_fd()).unwrap();
        assert!(four.way("[::1]:9".parse().unwrap(), None, -1).is_err(), "no IPv6 from an IPv4 socket");
        let own = UdpSocket::open().unwrap();
        assert!(own.way("127.0.0.1:9".parse().unwrap(), Some(Ipv6Addr::LOCALHOST.into()), -1).is_err());
        assert!(UdpSocket::share(-1).is_err());
        assert!(UdpSocket::share(1_000_000).is_err());
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(UdpSocket::share(file.as_raw_fd()).is_err());
    }

    #[test]
    fn an_absent_peer_is_noticed() {
        let gone = StdSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let socket = UdpSocket::open().unwrap();
        let way = socket.way(gone, None, -1).unwrap();
        let datagram = IoSlice::new(b"x");
        let first = (0..100).find_map(|_| socket.along(&way).single(&datagram).err());
        assert_eq!(first.and_then(|error| error.raw_os_error()), Some(libc::ECONNREFUSED));
    }
}
