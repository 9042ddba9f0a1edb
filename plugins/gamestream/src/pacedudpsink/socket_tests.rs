use super::*;
use std::{
    net::{Ipv4Addr, UdpSocket as StdSocket},
    time::Duration,
};

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
        let way = socket.way(receiver.local_addr().unwrap(), Some(Ipv4Addr::LOCALHOST.into()), 34).unwrap();
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
    for (address, level, receive_option) in
        [("127.0.0.1:0", libc::SOL_IP, libc::IP_RECVTOS), ("[::1]:0", libc::SOL_IPV6, libc::IPV6_RECVTCLASS)]
    {
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
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(UdpSocket::share(tcp.as_raw_fd()).is_err());
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

#[test]
fn reports_say_which_destination_they_are_about() {
    for (gone, other) in [("127.0.0.1:0", "127.0.0.1:9"), ("[::1]:0", "[::1]:9")] {
        let gone = StdSocket::bind(gone).unwrap().local_addr().unwrap();
        let socket = UdpSocket::open().unwrap();
        let way = socket.way(gone, None, -1).unwrap();
        let other = socket.way(other.parse().unwrap(), None, -1).unwrap();
        assert_eq!(socket.take_reports(Some(&way)), Reports::None);
        for (present, expected) in
            [(Some(&way), Reports::Present), (Some(&other), Reports::Others), (None, Reports::Others)]
        {
            while socket.along(&way).single(&IoSlice::new(b"x")).is_ok() {}
            // The refused send took the error, and nothing was sent; the queue still has the report.
            assert_eq!(socket.take_reports(present), expected);
            assert_eq!(socket.take_reports(present), Reports::None);
            assert!(socket.along(&other).single(&IoSlice::new(b"x")).is_ok());
            socket.take_reports(None);
        }
    }
}

#[test]
fn this_kernel_can_segment() {
    assert!(UdpSocket::open().unwrap().can_segment());
}
