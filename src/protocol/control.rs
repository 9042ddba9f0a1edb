//! Messages of the control channel, in the clear.

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
    /// 0x0350: a long-term reference frame arrived.
    LongTermAck { frame: u32 },
    /// 0x0200: the client is alive, ten times a second.
    Ping,
    /// 0x0206: input; first a big-endian size, then the event.
    Input(Vec<u8>),
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
    /// 0x5501: reports per second wanted from a motion sensor (1 accelerometer, 2 gyroscope); 0 stops it.
    Motion { pad: u16, hertz: u16, sensor: u8 },
    /// 0x5502: colour of a pad's light.
    Led { pad: u16, red: u8, green: u8, blue: u8 },
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
