//! As much of the ENet 1.3 wire format as it takes to tell a stranger's datagram from a client's.
//!
//! ENet itself believes any datagram whose first two bytes fit, and answers to where it came from.

/// `peer` of a datagram that belongs to no connection yet.
const NO_PEER: u16 = 0x0fff;
const FLAG_SENT_TIME: u16 = 0x8000;
const FLAG_COMPRESSED: u16 = 0x4000;
const PEER_MASK: u16 = 0x0fff;
const COMMAND_MASK: u8 = 0x0f;
const CONNECT: u8 = 2;
const VERIFY_CONNECT: u8 = 3;
const CONNECT_BYTES: usize = 48;

/// What a datagram says about itself; nothing of it is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// Asks for a connection.
    Connect { connect_id: u32, data: u32 },
    /// Belongs to the connection in this slot of the host.
    Peer { slot: u16, commands: Commands<'a> },
}

/// Reads a datagram. `None` if ENet could not use it, or no client of ours would send it.
pub fn parse(datagram: &[u8]) -> Option<Datagram<'_>> {
    let head = be16(datagram, 0)?;
    if head & FLAG_COMPRESSED != 0 {
        return None;
    }
    let commands = datagram.get(if head & FLAG_SENT_TIME != 0 { 4 } else { 2 }..)?;
    match head & PEER_MASK {
        NO_PEER => {
            let connects = commands.len() == CONNECT_BYTES && commands[0] & COMMAND_MASK == CONNECT;
            connects
                .then_some(Datagram::Connect { connect_id: be32(commands, 40)?, data: be32(commands, 44)? })
        }
        slot => Some(Datagram::Peer { slot, commands: Commands(commands) }),
    }
}

/// The commands of a datagram, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commands<'a>(&'a [u8]);

impl<'a> Commands<'a> {
    /// The whole messages among them: what was sent reliably, unreliably or unsequenced, without fragments.
    pub fn messages(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            loop {
                let (message, after) = next_command(rest)?;
                rest = after;
                if message.is_some() {
                    return message;
                }
            }
        })
    }
}

/// The slots of the host that a datagram to a client offers: how it answers a connect.
pub fn offered_slots(datagram: &[u8]) -> impl Iterator<Item = u16> {
    let mut rest = match parse(datagram) {
        Some(Datagram::Peer { commands, .. }) => commands.0,
        _ => &[],
    };
    std::iter::from_fn(move || {
        loop {
            let command = rest;
            (_, rest) = next_command(command)?;
            if command[0] & COMMAND_MASK == VERIFY_CONNECT {
                return be16(command, 4);
            }
        }
    })
}

/// The message in the first command, if it holds one, and what follows the command.
fn next_command(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    // Bytes of each command, and where those with data say how much follows.
    let (fixed, length_at, whole) = match bytes.first()? & COMMAND_MASK {
        1 | 4 => (8, None, false),
        CONNECT => (CONNECT_BYTES, None, false),
        VERIFY_CONNECT => (44, None, false),
        5 => (4, None, false),
        6 => (6, Some(4), true),
        7 | 9 => (8, Some(6), true),
        8 | 12 => (24, Some(6), false),
        10 => (12, None, false),
        11 => (16, None, false),
        _ => return None,
    };
    let data = match length_at {
        Some(at) => usize::from(be16(bytes, at)?),
        None => 0,
    };
    let command = bytes.get(..fixed + data)?;
    Some((whole.then(|| &command[fixed..]), &bytes[fixed + data..]))
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_connect_names_its_data() {
        let mut bytes = vec![0x8f, 0xff, 0, 1, 0x82, 0xff, 0, 1];
        bytes.resize(4 + 40, 0);
        bytes.extend([0, 0, 0, 9, 0xde, 0xad, 0xbe, 0xef]);
        assert_eq!(parse(&bytes), Some(Datagram::Connect { connect_id: 9, data: 0xdead_beef }));
        bytes.push(0);
        assert_eq!(parse(&bytes), None, "nothing may follow");
        assert_eq!(parse(&bytes[..20]), None);
    }

    #[test]
    fn messages_are_found_between_other_commands() {
        let acknowledge = [1, 0, 0, 0, 0, 0, 0, 0];
        let reliable = [0x86, 0, 0, 1, 0, 2, b'h', b'i'];
        let ping = [0x85, 0xff, 0, 2];
        let fragment = [[0x88, 0, 0, 3, 0, 3, 0, 1].as_slice(), &[0; 16], b"x"].concat();
        let unreliable = [7, 3, 0, 1, 0, 1, 0, 3, b'y', b'o', b'u'];
        let unsequenced = [0x49, 0, 0, 0, 0, 1, 0, 1, b'!'];
        let commands: Vec<u8> =
            [&[0x30, 5][..], &acknowledge, &reliable, &ping, &fragment, &unreliable, &unsequenced].concat();
        let Some(Datagram::Peer { slot: 5, commands }) = parse(&commands) else { panic!() };
        let messages: Vec<_> = commands.messages().collect();
        assert_eq!(messages, [&b"hi"[..], b"you", b"!"]);
    }

    #[test]
    fn an_answer_to_a_connect_offers_a_slot() {
        let mut verify = vec![0x83, 0xff, 0, 1, 0, 7];
        verify.resize(44, 0);
        let datagram =
            [&[0x80, 0, 0, 1][..], &[1, 0, 0, 0, 0, 0, 0, 0], &verify, &[0x85, 0xff, 0, 2]].concat();
        assert_eq!(offered_slots(&datagram).collect::<Vec<_>>(), [7]);
        assert_eq!(offered_slots(&datagram[..20]).count(), 0);
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(Datagram::Peer { commands, .. }) = parse(&bytes) {
                prop_assert!(commands.messages().count() <= bytes.len());
            }
            prop_assert!(offered_slots(&bytes).count() <= bytes.len());
        }
    }
}
