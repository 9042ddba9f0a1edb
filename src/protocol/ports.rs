//! Where each service listens: fixed offsets from one base, as GameStream has them.

/// The port that a Moonlight client is told; all others follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    base: u16,
}

impl Ports {
    /// The base that Moonlight tries when a person types no port.
    pub const DEFAULT_BASE: u16 = 47989;
    /// Lowest base whose HTTPS port is still above the privileged ones, and highest whose RTSP port exists.
    pub const RANGE: std::ops::RangeInclusive<u16> = 1029..=65514;

    /// `None` if one of the ports would fall outside 1024…65535.
    pub fn from_base(base: u16) -> Option<Self> {
        Self::RANGE.contains(&base).then_some(Self { base })
    }

    pub fn http(self) -> u16 {
        self.base
    }

    pub fn https(self) -> u16 {
        self.base - 5
    }

    pub fn rtsp(self) -> u16 {
        self.base + 21
    }

    pub fn video(self) -> u16 {
        self.base + 9
    }

    pub fn control(self) -> u16 {
        self.base + 10
    }

    pub fn audio(self) -> u16 {
        self.base + 11
    }
}
