//! What the controller decides, and why.

use super::rate::Move;
use std::fmt;

/// What to send from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub fec_percentage: u32,
    /// Parity packets of the smallest block.
    pub min_parity: u32,
    /// The whole stream on the wire.
    pub kbps: u32,
    pub reason: Reason,
}

/// Why a decision was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    MoreLoss,
    LessLoss,
    Congestion,
    Trial,
    NotTheRate,
    Probe,
    ProbeFailed,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MoreLoss => "more is lost",
            Self::LessLoss => "less is lost",
            Self::Congestion => "the network is full",
            Self::Trial => "less, to see whether less is lost",
            Self::NotTheRate => "as much is lost with less",
            Self::Probe => "the network may carry more",
            Self::ProbeFailed => "that was too much",
        })
    }
}

impl From<Move> for Reason {
    fn from(what: Move) -> Self {
        match what {
            Move::Cut => Self::Congestion,
            Move::Trial => Self::Trial,
            Move::Acquitted => Self::NotTheRate,
            Move::Probe => Self::Probe,
            Move::Reverted => Self::ProbeFailed,
        }
    }
}
