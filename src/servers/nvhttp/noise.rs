//! Nonsense from the network is said once and counted from then on: a flood of it must not fill the log.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a stranger can do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No TLS, or none that the host speaks.
    Tls,
    /// Not HTTP, or too long.
    Http,
    /// No request, or no reading of the answer, in time.
    Slow,
    /// More connections than the host serves at once.
    Crowd,
    /// A request without sense.
    Request,
}

impl Kind {
    const ALL: [Kind; 5] = [Kind::Tls, Kind::Http, Kind::Slow, Kind::Crowd, Kind::Request];

    fn text(self) -> &'static str {
        match self {
            Kind::Tls => "TLS handshake failed",
            Kind::Http => "not a request",
            Kind::Slow => "connection too slow",
            Kind::Crowd => "too many connections",
            Kind::Request => "request refused",
        }
    }
}

/// How often each kind was heard.
#[derive(Default)]
pub struct Noise([AtomicU64; Kind::ALL.len()]);

impl Noise {
    /// The first of a kind is logged at info; then every tenth, hundredth … at debug, with the count.
    pub fn heard(&self, kind: Kind, peer: impl Display, detail: impl Display) {
        let count = self.0[kind as usize].fetch_add(1, Ordering::Relaxed) + 1;
        let what = kind.text();
        if count == 1 {
            tracing::info!(%peer, "{what}: {detail} (more of this is only counted)");
        } else if is_power_of_ten(count) {
            tracing::debug!(%peer, count, "{what}: {detail}");
        }
    }

    #[cfg(test)]
    pub fn count(&self, kind: Kind) -> u64 {
        self.0[kind as usize].load(Ordering::Relaxed)
    }
}

fn is_power_of_ten(n: u64) -> bool {
    n.checked_ilog10().is_some_and(|digits| 10u64.pow(digits) == n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_each_kind() {
        let noise = Noise::default();
        for kind in Kind::ALL {
            noise.heard(kind, "peer", "detail");
        }
        noise.heard(Kind::Crowd, "peer", "detail");
        assert_eq!(Kind::ALL.map(|kind| noise.count(kind)), [1, 1, 1, 2, 1]);
    }

    #[test]
    fn powers_of_ten() {
        let spoken: Vec<u64> = (0..=1000).filter(|n| is_power_of_ten(*n)).collect();
        assert_eq!(spoken, [1, 10, 100, 1000]);
    }
}
