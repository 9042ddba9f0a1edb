//! A TCP port of the host, open to IPv6 and IPv4 alike.

use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Listens on `port` of every address; on a machine without IPv6, of every IPv4 address. Needs a tokio runtime around it.
pub fn listen(port: u16) -> io::Result<tokio::net::TcpListener> {
    match open(Domain::IPV6, (Ipv6Addr::UNSPECIFIED, port).into()) {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            open(Domain::IPV4, (Ipv4Addr::UNSPECIFIED, port).into())
        }
        result => result,
    }
}

fn open(domain: Domain, address: SocketAddr) -> io::Result<tokio::net::TcpListener> {
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(false)?;
    }
    // A host that was just stopped leaves connections in TIME_WAIT; they must not keep the next one from starting.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    tokio::net::TcpListener::from_std(socket.into())
}
