//! The socket, the way a datagram takes from it, and the system calls that use both.

use super::sender::{MAX_MANY, Transmit};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use std::{
    io::{self, IoSlice},
    mem,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    ptr,
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
        if socket.r#type()? != Type::DGRAM {
            return Err(io::Error::from_raw_os_error(libc::EPROTOTYPE));
        }
        let six = match SockRef::from(&socket).local_addr()?.domain() {
            Domain::IPV6 => true,
            Domain::IPV4 => false,
            _ => return Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
        };
        Ok(Self { socket, six })
    }

    /// Whether the kernel knows UDP_SEGMENT, which came with 4.18.
    pub fn can_segment(&self) -> bool {
        let mut size: libc::c_int = 0;
        let mut length = size_of_val(&size) as libc::socklen_t;
        // SAFETY: the option is an int, whose address and size are given.
        let result = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_UDP,
                libc::UDP_SEGMENT,
                ptr::from_mut(&mut size).cast(),
                &mut length,
            )
        };
        result == 0
    }

    /// Empties the queue of what the network says of earlier datagrams, which otherwise keeps `poll` awake, and clears
    /// the socket's error with it.
    pub fn take_reports(&self, way: Option<&Way>) -> Reports {
        let present = way.and_then(|way| way.address.as_socket());
        let mut reports = Reports::None;
        while let Some(about) = self.take_report() {
            let matches = present
                .zip(about)
                .is_some_and(|(present, about)| (present.ip(), present.port()) == (about.ip(), about.port()));
            reports = if matches || reports == Reports::Present { Reports::Present } else { Reports::Others };
        }
        reports
    }

    /// Where the datagram was sent that the next report is about.
    fn take_report(&self) -> Option<Option<SocketAddr>> {
        // SAFETY: all zeros is a valid msghdr.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        let read = |storage: *mut socket2::SockAddrStorage, length: *mut libc::socklen_t| {
            header.msg_name = storage.cast();
            // SAFETY: both point to what `try_init` made, and the length is that of the storage.
            header.msg_namelen = unsafe { *length };
            // SAFETY: the header points to the storage only, which outlives the call.
            let result = unsafe {
                libc::recvmsg(self.socket.as_raw_fd(), &mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT)
            };
            // SAFETY: as above.
            unsafe { *length = header.msg_namelen };
            if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
        };
        // SAFETY: the kernel writes an address into the storage, or nothing and a length of 0.
        unsafe { SockAddr::try_init(read) }.ok().map(|((), address)| address.as_socket())
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

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What the network said of earlier datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reports {
    None,
    /// Of datagrams to other destinations only.
    Others,
    /// Of datagrams to this destination.
    Present,
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
#[path = "socket_tests.rs"]
mod tests;
