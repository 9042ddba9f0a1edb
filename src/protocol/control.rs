//! Messages of the control channel, in the clear.

use super::feedback::{self, HdrMetadata, TriggerEffect, le16s};
use super::input::{Input, InputError, Sensor};

/// What a client said, or what became of it.
#[derive(Clone, Debug, PartialEq)]
pub enum ControlEvent {
    /// The client's ENet connection is up.
    Connected,
    /// 0x0302: send a key frame.
    IdrRequest,
    /// 0x0307: the client waits for media.
    StartB,
    /// 0x0301: the client lost these frames and drops all that follows until a key frame or a frame that needs none of them.
    Invalidate { first: u32, last: u32 },
    /// 0x5502: how the error correction of one frame went.
    FecStatus(FecStatus),
    /// 0x0201: loss counters of old clients; the body as it came.
    LossStats(Vec<u8>),
    /// 0x0350: a long-term reference frame arrived. Its index is followed by 32 bits that are 0.
    LongTermAck { frame: u32 },
    /// 0x0200: the client is alive, ten times a second.
    Ping,
    /// 0x0206: what the player does.
    Input(Input),
    /// The connection is over: closed by the client, silent for 10 s, or ended by us. Nothing follows.
    Disconnected,
}

/// What a client reports about a frame that needed error correction, or failed in spite of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FecStatus {
    pub frame: u32,
    pub highest_sequence: u16,
    pub next_contiguous_sequence: u16,
    /// Packets missing before the highest one that came.
    pub missing_before_highest: u16,
    pub data_packets: u16,
    pub parity_packets: u16,
    pub received_data: u16,
    pub received_parity: u16,
    pub fec_percentage: u8,
    pub block: u8,
    /// Blocks of the frame, as the client counts them.
    pub blocks: u8,
}

/// What the host says on the control channel.
#[derive(Clone, Debug, PartialEq)]
pub enum HostMessage {
    /// 0x010b: motors of one pad, 0…65535 each.
    Rumble { pad: u16, low: u16, high: u16 },
    /// 0x5500: motors in the triggers.
    TriggerRumble { pad: u16, left: u16, right: u16 },
    /// 0x5501: reports per second wanted from a motion sensor; 0 stops it.
    Motion { pad: u16, hertz: u16, sensor: Sensor },
    /// 0x5502: colour of a pad's light.
    Led { pad: u16, red: u8, green: u8, blue: u8 },
    /// 0x5503: what the triggers of a DualSense do against the fingers; `None` leaves one as it is.
    AdaptiveTriggers { pad: u16, left: Option<TriggerEffect>, right: Option<TriggerEffect> },
    /// 0x010e: the picture is HDR from now on, mastered so; `None`: it is SDR.
    Hdr(Option<HdrMetadata>),
    /// 0x0109: why the stream ends; see [`termination`].
    Terminate(u32),
}

/// Codes of [`HostMessage::Terminate`].
pub mod termination {
    /// The host ended the session on purpose: "quit" on the client's screen.
    pub const GRACEFUL: u32 = 0x8003_0023;
    /// The picture may not be shown (protected content).
    pub const PROTECTED_CONTENT: u32 = 0x800e_9302;
    /// The captured frames could not be converted for the encoder.
    pub const FRAME_CONVERSION: u32 = 0x800e_9403;
}

/// Why a message of a client means nothing to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    #[error("shorter than its own length field")]
    Short,
    #[error("type {0:#06x} with a body of {1} bytes")]
    Body(u16, usize),
    #[error("unknown type {0:#06x}")]
    Unknown(u16),
    #[error(transparent)]
    Input(InputError),
}

/// Reads one decrypted message: u16 LE type, u16 LE length, body.
pub fn parse(message: &[u8]) -> Result<ControlEvent, MessageError> {
    let (header, rest) = message.split_first_chunk::<4>().ok_or(MessageError::Short)?;
    let kind = u16::from_le_bytes([header[0], header[1]]);
    let length = usize::from(u16::from_le_bytes([header[2], header[3]]));
    let body = rest.get(..length).ok_or(MessageError::Short)?;
    let event = match kind {
        0x0200 => Some(ControlEvent::Ping),
        0x0201 => Some(ControlEvent::LossStats(body.to_vec())),
        0x0206 => return Input::parse(body).map(ControlEvent::Input).map_err(MessageError::Input),
        0x0301 => Some(invalidation(body)),
        0x0302 => Some(ControlEvent::IdrRequest),
        0x0307 => Some(ControlEvent::StartB),
        0x0350 => le32(body, 0).map(|frame| ControlEvent::LongTermAck { frame }),
        0x5502 => fec_status(body).map(ControlEvent::FecStatus),
        _ => return Err(MessageError::Unknown(kind)),
    };
    event.ok_or(MessageError::Body(kind, length))
}

/// A range that says nothing asks for a key frame: it heals whatever was meant.
fn invalidation(body: &[u8]) -> ControlEvent {
    match (le32(body, 0), le32(body, 8)) {
        (Some(first), Some(last)) if first <= last => ControlEvent::Invalidate { first, last },
        _ => ControlEvent::IdrRequest,
    }
}

fn le32(body: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*body.get(at..)?.first_chunk()?))
}

/// The one message of a client whose numbers are big-endian.
fn fec_status(body: &[u8]) -> Option<FecStatus> {
    let body: &[u8; 21] = body.first_chunk()?;
    let u16_at = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    Some(FecStatus {
        frame: u32::from_be_bytes([body[0], body[1], body[2], body[3]]),
        highest_sequence: u16_at(4),
        next_contiguous_sequence: u16_at(6),
        missing_before_highest: u16_at(8),
        data_packets: u16_at(10),
        parity_packets: u16_at(12),
        received_data: u16_at(14),
        received_parity: u16_at(16),
        fec_percentage: body[18],
        block: body[19],
        blocks: body[20],
    })
}

impl HostMessage {
    /// The message in the clear: u16 LE type, u16 LE length, body.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, body): (u16, Vec<u8>) = match *self {
            Self::Rumble { pad, low, high } => (0x010b, feedback::rumble(pad, low, high)),
            Self::TriggerRumble { pad, left, right } => (0x5500, feedback::trigger_rumble(pad, left, right)),
            Self::Motion { pad, hertz, sensor } => (0x5501, feedback::motion(pad, hertz, sensor)),
            Self::Led { pad, red, green, blue } => (0x5502, feedback::led(pad, red, green, blue)),
            Self::AdaptiveTriggers { pad, left, right } => {
                (0x5503, feedback::adaptive_triggers(pad, left, right))
            }
            Self::Hdr(metadata) => (0x010e, feedback::hdr(metadata)),
            Self::Terminate(code) => (0x0109, code.to_be_bytes().to_vec()),
        };
        let length = u16::try_from(body.len()).expect("bodies are a few bytes");
        [le16s(&[kind, length]), body].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::feedback::Chromaticity;
    use proptest::prelude::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        [le16s(&[kind, body.len() as u16]), body.to_vec()].concat()
    }

    #[test]
    fn what_a_client_says_at_the_start() {
        assert_eq!(parse(&message(0x0302, &[0, 0])), Ok(ControlEvent::IdrRequest));
        assert_eq!(parse(&message(0x0307, &[0])), Ok(ControlEvent::StartB));
        assert_eq!(parse(&message(0x0200, &[4, 0, 0, 0, 0, 0, 0, 0])), Ok(ControlEvent::Ping));
        let wiggle = [0, 0, 0, 8, 7, 0, 0, 0, 0, 1, 0, 1];
        let motion = Input::RelativeMotion { dx: 1, dy: 1 };
        assert_eq!(parse(&message(0x0206, &wiggle)), Ok(ControlEvent::Input(motion)));
    }

    #[test]
    fn input_that_is_refused_says_why() {
        let refused = |body: &[u8]| match parse(&message(0x0206, body)) {
            Err(error @ MessageError::Input(_)) => error.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(&[0, 0, 0, 6, 7, 0, 0, 0, 0, 1]), "relative motion needs 4 bytes and has 2");
        assert_eq!(refused(&[0, 0, 0, 4, 0x99, 0, 0, 0x55]), "input of the unknown kind 0x55000099");
    }

    #[test]
    fn invalidation_carries_a_range_or_asks_for_a_key_frame() {
        let mut body = [0; 24];
        body[..4].copy_from_slice(&7u32.to_le_bytes());
        body[8..12].copy_from_slice(&9u32.to_le_bytes());
        assert_eq!(parse(&message(0x0301, &body)), Ok(ControlEvent::Invalidate { first: 7, last: 9 }));
        body[..4].copy_from_slice(&10u32.to_le_bytes());
        assert_eq!(parse(&message(0x0301, &body)), Ok(ControlEvent::IdrRequest));
        assert_eq!(parse(&message(0x0301, &body[..6])), Ok(ControlEvent::IdrRequest));
    }

    #[test]
    fn an_acknowledgement_names_a_frame() {
        let body = [0x44, 0x33, 0x22, 0x11, 0, 0, 0, 0];
        let named = Ok(ControlEvent::LongTermAck { frame: 0x1122_3344 });
        assert_eq!(parse(&message(0x0350, &body)), named);
        assert_eq!(parse(&message(0x0350, &body[..4])), named, "the rest says nothing");
        assert_eq!(parse(&message(0x0350, &body[..3])), Err(MessageError::Body(0x0350, 3)));
    }

    #[test]
    fn fec_status_is_big_endian() {
        let body: Vec<u8> = (1..=21).collect();
        let Ok(ControlEvent::FecStatus(status)) = parse(&message(0x5502, &body)) else { panic!() };
        assert_eq!(
            (status.frame, status.highest_sequence, status.received_parity),
            (0x01020304, 0x0506, 0x1112)
        );
        assert_eq!((status.fec_percentage, status.block, status.blocks), (19, 20, 21));
        assert_eq!(parse(&message(0x5502, &body[..20])), Err(MessageError::Body(0x5502, 20)));
    }

    #[test]
    fn host_messages_have_the_clients_layout() {
        let encoded = |m: HostMessage| hex::encode(m.encode());
        assert_eq!(encoded(HostMessage::Terminate(termination::GRACEFUL)), "0901040080030023");
        assert_eq!(
            encoded(HostMessage::Rumble { pad: 1, low: 2, high: 0x304 }),
            "0b010a0000000000010002000403"
        );
        assert_eq!(
            encoded(HostMessage::Motion { pad: 1, hertz: 100, sensor: Sensor::Gyroscope }),
            "015505000100640002"
        );
        assert_eq!(encoded(HostMessage::Led { pad: 0, red: 1, green: 2, blue: 3 }), "025505000000010203");
        assert_eq!(encoded(HostMessage::TriggerRumble { pad: 0, left: 1, right: 2 }), "00550600000001000200");
    }

    #[test]
    fn adaptive_triggers_name_those_that_change() {
        let encoded = |m: HostMessage| hex::encode(m.encode());
        let left = TriggerEffect { mode: 0x21, parameters: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] };
        let right = TriggerEffect { mode: 0x26, parameters: [0xf0; 10] };
        assert_eq!(
            encoded(HostMessage::AdaptiveTriggers { pad: 3, left: Some(left), right: Some(right) }),
            "0355190003000c21260102030405060708090af0f0f0f0f0f0f0f0f0f0"
        );
        assert_eq!(
            encoded(HostMessage::AdaptiveTriggers { pad: 3, left: None, right: Some(right) }),
            "03551900030004002600000000000000000000f0f0f0f0f0f0f0f0f0f0"
        );
        assert_eq!(
            encoded(HostMessage::AdaptiveTriggers { pad: 3, left: Some(left), right: None }),
            "0355190003000821000102030405060708090a00000000000000000000"
        );
    }

    #[test]
    fn hdr_says_how_the_picture_was_mastered() {
        // BT.2020 and D65 on a display of 1000 cd/m².
        let metadata = HdrMetadata {
            red: Chromaticity { x: 35400, y: 14600 },
            green: Chromaticity { x: 8500, y: 39850 },
            blue: Chromaticity { x: 6550, y: 2300 },
            white: Chromaticity { x: 15635, y: 16450 },
            max_luminance: 1000,
            min_luminance: 50,
            max_content_light: 800,
            max_frame_average_light: 400,
            max_full_frame_luminance: 600,
        };
        assert_eq!(
            hex::encode(HostMessage::Hdr(Some(metadata)).encode()),
            "0e011b0001488a08393421aa9b9619fc08133d4240e8033200200390015802"
        );
        assert_eq!(hex::encode(HostMessage::Hdr(None).encode()), format!("0e011b00{}", "00".repeat(27)));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn known_types_with_random_bodies_never_panic(
            kind in proptest::sample::select(vec![0x200u16, 0x201, 0x206, 0x301, 0x302, 0x307, 0x350, 0x5502]),
            body in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let _ = parse(&message(kind, &body));
        }
    }
}
