//! Decides which datagrams ENet gets to see.
//!
//! ENet has no notion of who may connect, and this host lets a connection move to a new address (a NAT that forgets, a
//! phone that changes networks). So a connect needs the data of an admitted session, and a datagram from a new address
//! needs a message sealed with that session's key, which clients send ten times a second.

use crate::protocol::enet::{self, Datagram};
use crate::protocol::seal::{ControlSeal, ReplayWindow, SealError, Side};
use std::collections::HashMap;
use std::net::SocketAddr;

/// Connects with the right data that may be under way at once; a client makes one.
const MAX_ATTEMPTS: usize = 4;

#[derive(Default)]
pub struct Gate {
    /// Connect data → connects under way.
    waiting: HashMap<u32, Vec<Attempt>>,
    /// Slot → to whom ENet offered it last.
    offered: HashMap<u16, SocketAddr>,
    connected: HashMap<u16, Connected>,
}

#[derive(Clone, Copy, PartialEq)]
struct Attempt {
    connect_id: u32,
    from: SocketAddr,
}

struct Connected {
    address: SocketAddr,
    seal: ControlSeal,
    window: ReplayWindow,
}

/// Why a message of a connected client was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    Seal(SealError),
    Replayed,
}

impl Gate {
    /// Lets in one client that connects with `data`.
    pub fn admit(&mut self, data: u32) {
        self.waiting.insert(data, Vec::new());
    }

    /// No client may connect with `data` any more.
    pub fn dismiss(&mut self, data: u32) {
        self.waiting.remove(&data);
    }

    /// ENet answers a connect from `address`: the handshake in `slot` is that client's alone.
    pub fn offer(&mut self, slot: u16, address: SocketAddr) {
        self.offered.insert(slot, address);
    }

    /// The client in `slot` speaks from `address`, with `seal`.
    pub fn occupy(&mut self, slot: u16, address: SocketAddr, seal: ControlSeal) {
        self.offered.remove(&slot);
        self.connected.insert(slot, Connected { address, seal, window: ReplayWindow::new() });
    }

    /// The connection in `slot` is over.
    pub fn vacate(&mut self, slot: u16) {
        self.offered.remove(&slot);
        self.connected.remove(&slot);
    }

    /// `Err` says what kind of nonsense the datagram is.
    pub fn judge(&mut self, datagram: &[u8], from: SocketAddr) -> Result<(), &'static str> {
        match enet::parse(datagram) {
            None => Err("a datagram that is not ENet's"),
            Some(Datagram::Connect { connect_id, data }) => {
                self.judge_connect(data, Attempt { connect_id, from })
            }
            Some(Datagram::Peer { slot, commands }) => match self.connected.get_mut(&slot) {
                Some(client) if client.address == from => Ok(()),
                Some(client) if commands.messages().any(|message| client.proves(message)) => {
                    tracing::info!(old = %client.address, new = %from, "a control connection moved");
                    client.address = from;
                    Ok(())
                }
                Some(_) => Err("a datagram that claims to be a client, from elsewhere and without proof"),
                // The handshake goes on before the connection is reported.
                None if self.offered.get(&slot) == Some(&from) && attempts(&self.waiting, from) => Ok(()),
                None => Err("a datagram of no connection"),
            },
        }
    }

    fn judge_connect(&mut self, data: u32, attempt: Attempt) -> Result<(), &'static str> {
        let Some(attempts) = self.waiting.get_mut(&data) else {
            return Err("a connect of no session");
        };
        if !attempts.contains(&attempt) {
            if attempts.len() >= MAX_ATTEMPTS {
                return Err("more connects than a client makes");
            }
            attempts.push(attempt);
        }
        Ok(())
    }

    /// Opens a message that ENet delivered from `slot`.
    pub fn open(&mut self, slot: u16, message: &[u8]) -> Result<Vec<u8>, OpenError> {
        let client = self.connected.get_mut(&slot).ok_or(OpenError::Seal(SealError::Forged))?;
        let (sequence, plain) = client.seal.open(Side::Client, message).map_err(OpenError::Seal)?;
        if !client.window.accept(sequence) {
            return Err(OpenError::Replayed);
        }
        Ok(plain)
    }
}

/// A connect from there is under way.
fn attempts(waiting: &HashMap<u32, Vec<Attempt>>, from: SocketAddr) -> bool {
    waiting.values().flatten().any(|attempt| attempt.from == from)
}

impl Connected {
    /// The message is sealed with this client's key, and has not been delivered.
    fn proves(&self, message: &[u8]) -> bool {
        self.seal.open(Side::Client, message).is_ok_and(|(sequence, _)| self.window.is_new(sequence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::params::SessionKey;

    fn from(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn connect(connect_id: u8, data: u8) -> Vec<u8> {
        let mut bytes = vec![0x0f, 0xff, 0x82];
        bytes.resize(2 + 40, 0);
        bytes.extend([0, 0, 0, connect_id, 0, 0, 0, data]);
        bytes
    }

    fn reliable(slot: u8, message: &[u8]) -> Vec<u8> {
        [&[0, slot, 0x86, 0, 0, 1, 0, message.len() as u8][..], message].concat()
    }

    #[test]
    fn a_connect_needs_the_data_of_a_session() {
        let mut gate = Gate::default();
        assert!(gate.judge(&connect(1, 5), from(1)).is_err());
        gate.admit(5);
        assert_eq!(gate.judge(&connect(1, 5), from(1)), Ok(()));
        assert!(gate.judge(&reliable(0, b""), from(1)).is_err(), "ENet has not answered");
        gate.offer(0, from(1));
        assert_eq!(gate.judge(&reliable(0, b""), from(1)), Ok(()), "the rest of the handshake");
        assert!(gate.judge(&reliable(0, b""), from(2)).is_err());
        for connect_id in 2..=4 {
            assert_eq!(gate.judge(&connect(connect_id, 5), from(1)), Ok(()));
        }
        assert!(gate.judge(&connect(5, 5), from(1)).is_err(), "a flood does not fill the slots");
        assert_eq!(gate.judge(&connect(1, 5), from(1)), Ok(()), "sent again");
        gate.dismiss(5);
        assert!(gate.judge(&connect(1, 5), from(1)).is_err());
    }

    #[test]
    fn nobody_takes_part_in_the_handshake_of_another() {
        let mut gate = Gate::default();
        for (data, port) in [(5, 1), (6, 2)] {
            gate.admit(data.into());
            assert_eq!(gate.judge(&connect(1, data), from(port)), Ok(()));
            gate.offer(port - 1, from(port));
        }
        assert_eq!(gate.judge(&reliable(0, b""), from(1)), Ok(()));
        assert_eq!(gate.judge(&reliable(1, b""), from(2)), Ok(()));
        assert!(gate.judge(&reliable(0, b""), from(2)).is_err());
        assert!(gate.judge(&reliable(1, b""), from(1)).is_err());
        gate.dismiss(5);
        assert!(gate.judge(&reliable(0, b""), from(1)).is_err(), "its session is gone");
    }

    #[test]
    fn a_connection_moves_with_proof_alone() {
        let key = SessionKey([3; 16]);
        let seal = ControlSeal::new(&key, true);
        let mut gate = Gate::default();
        gate.occupy(2, from(1), seal.clone());
        assert_eq!(gate.judge(&reliable(2, b"anything"), from(1)), Ok(()));
        let disconnect = [0, 2, 0x84, 0xff, 0, 1, 0, 0, 0, 0];
        assert!(gate.judge(&disconnect, from(9)).is_err(), "nobody else may end it");
        let old = seal.seal(Side::Client, 0, b"ping");
        assert_eq!(gate.open(2, &old), Ok(b"ping".to_vec()));
        assert_eq!(gate.open(2, &old), Err(OpenError::Replayed));
        assert!(gate.judge(&reliable(2, &old), from(9)).is_err(), "recorded earlier");
        let foreign = ControlSeal::new(&SessionKey([4; 16]), true).seal(Side::Client, 1, b"ping");
        assert!(gate.judge(&reliable(2, &foreign), from(9)).is_err());
        let new = seal.seal(Side::Client, 1, b"ping");
        assert_eq!(gate.judge(&reliable(2, &new), from(3)), Ok(()));
        assert_eq!(gate.judge(&disconnect, from(3)), Ok(()));
        assert!(gate.judge(&disconnect, from(1)).is_err(), "the old address is nobody's");
    }
}
