//! ENet's socket: both IP versions, answers from the address that was asked, nothing past the gate.

use crate::protocol::enet;
use crate::servers::control::gate::Gate;
use crate::servers::noise::Noise;
use crate::servers::udp;
use rusty_enet::{MTU_MAX, PacketReceived};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

/// Refused datagrams in a row after which ENet gets its turn again, so that a flood delays nobody.
const MAX_REFUSED: usize = 64;

/// Where a client is, and which of our addresses it speaks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    pub peer: SocketAddr,
    pub local: Option<IpAddr>,
}

impl rusty_enet::Address for Route {
    fn same_host(&self, other: &Self) -> bool {
        self.peer.ip() == other.peer.ip()
    }

    /// A connection is found by its slot and session number, and may move: the gate checks who moves it.
    fn same(&self, _other: &Self) -> bool {
        true
    }

    fn is_broadcast(&self) -> bool {
        false
    }
}

pub struct ControlSocket {
    pub socket: Arc<UdpSocket>,
    pub gate: Gate,
    pub noise: Arc<Noise>,
}

impl rusty_enet::Socket for ControlSocket {
    type Address = Route;
    type Error = io::Error;

    /// An error would end the service of everybody: what concerns one client is left to its timeout.
    fn send(&mut self, route: Route, datagram: &[u8]) -> Result<usize, io::Error> {
        enet::offered_slots(datagram).for_each(|slot| self.gate.offer(slot, route.peer));
        Ok(udp::send(&self.socket, datagram, route.peer, route.local).unwrap_or_else(|error| {
            tracing::debug!(peer = %route.peer, "sending control: {error}");
            0
        }))
    }

    fn receive(&mut self, buffer: &mut [u8; MTU_MAX]) -> Result<Option<(Route, PacketReceived)>, io::Error> {
        for _ in 0..MAX_REFUSED {
            let received = match udp::receive(&self.socket, buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => {
                    tracing::debug!("receiving control: {error}");
                    return Ok(None);
                }
            };
            match self.gate.judge(&buffer[..received.length], received.peer) {
                Ok(()) if !received.cut => {
                    let route = Route { peer: received.peer, local: received.local };
                    return Ok(Some((route, PacketReceived::Complete(received.length))));
                }
                Ok(()) => self.noise.hear("a datagram longer than ENet's", received.peer),
                Err(kind) => self.noise.hear(kind, received.peer),
            }
        }
        Ok(None)
    }
}
