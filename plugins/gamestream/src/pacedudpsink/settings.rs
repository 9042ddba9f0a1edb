//! What the sink is asked to do.

use crate::wire::pacing::{Cap, Path};
use gst::glib;
use gst::prelude::*;
use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
};

const DEFAULT_PORT: i32 = 0;
const DEFAULT_FD: i32 = -1;
const DEFAULT_PACING: bool = true;
const DEFAULT_DSCP: i32 = -1;
const DEFAULT_LINK_RATE: u32 = 0;
const DEFAULT_BITRATE: u32 = 0;
/// 22 KB in full datagrams, which the small buffers of home routers take.
const DEFAULT_BURST_PACKETS: u32 = 16;
const DEFAULT_BURST_BYTES: u32 = 22_528;
const DEFAULT_LOSS_PERCENTAGE: f64 = 0.0;
const DEFAULT_LOSS_BURST: f64 = 1.0;
const DEFAULT_LOSS_SEED: u32 = 0;

#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub to: Destination,
    /// Somebody else's socket, −1 for one of our own.
    pub fd: i32,
    pub pacing: bool,
    /// Datagrams and bytes that may always leave together.
    pub burst: (u32, u32),
    /// 0: the interface's.
    pub link_kbps: u32,
    /// Of the stream; 0: not known.
    pub bitrate_kbps: u32,
    pub loss: LossSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            to: Destination::default(),
            fd: DEFAULT_FD,
            pacing: DEFAULT_PACING,
            burst: (DEFAULT_BURST_PACKETS, DEFAULT_BURST_BYTES),
            link_kbps: DEFAULT_LINK_RATE,
            bitrate_kbps: DEFAULT_BITRATE,
            loss: LossSettings {
                percentage: DEFAULT_LOSS_PERCENTAGE,
                burst: DEFAULT_LOSS_BURST,
                seed: DEFAULT_LOSS_SEED,
            },
        }
    }
}

/// Where datagrams go and how they are marked, as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Destination {
    pub host: Option<String>,
    /// What the host was resolved to, without the port.
    pub resolved: Resolved,
    pub port: u16,
    pub source_address: Option<String>,
    pub dscp: i32,
}

impl Default for Destination {
    fn default() -> Self {
        Self {
            host: None,
            resolved: Ok(None),
            port: DEFAULT_PORT as u16,
            source_address: None,
            dscp: DEFAULT_DSCP,
        }
    }
}

impl Destination {
    /// Where to send; `None` when there is no host or port yet.
    pub fn address(&self) -> io::Result<Option<SocketAddr>> {
        if self.port == 0 {
            return Ok(None);
        }
        let resolved = self.resolved.clone().map_err(|text| io::Error::new(io::ErrorKind::NotFound, text))?;
        Ok(resolved.map(|mut address| {
            address.set_port(self.port);
            address
        }))
    }

    /// The address to send from; `None` leaves it to the kernel.
    pub fn source(&self) -> io::Result<Option<IpAddr>> {
        let Some(text) = self.source_address.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let wrong = |_| io::Error::new(io::ErrorKind::InvalidInput, format!("{text} is no IP address"));
        text.parse().map(Some).map_err(wrong)
    }
}

/// An address, none when there is no host, or why there is none.
pub type Resolved = Result<Option<SocketAddr>, String>;

/// The address of `host`, asked of the resolver if it is a name, which may take seconds.
pub fn resolve(host: Option<&str>) -> Resolved {
    let Some(host) = host.filter(|host| !host.is_empty()) else {
        return Ok(None);
    };
    if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(Some(SocketAddr::new(ip, 0)));
    }
    let mut addresses = (host, 0).to_socket_addrs().map_err(|error| error.to_string())?;
    addresses.next().map(Some).ok_or_else(|| "the name has no address".to_owned())
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossSettings {
    pub percentage: f64,
    pub burst: f64,
    pub seed: u32,
}

pub fn properties() -> Vec<glib::ParamSpec> {
    vec![
        glib::ParamSpecString::builder("host")
            .nick("Host")
            .blurb("Address or name of the receiver; without it buffers are dropped and counted")
            .mutable_playing()
            .build(),
        glib::ParamSpecInt::builder("port")
            .nick("Port")
            .blurb("UDP port of the receiver; 0 = none yet, buffers are dropped and counted")
            .minimum(0)
            .maximum(65_535)
            .default_value(DEFAULT_PORT)
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("source-address")
            .nick("Source address")
            .blurb("Address of this machine to send from, of the same family as the host; empty = the kernel chooses")
            .mutable_playing()
            .build(),
        glib::ParamSpecInt::builder("fd")
            .nick("File descriptor")
            .blurb("Bound UDP socket to send from, duplicated when the element starts and never changed; -1 = a new one")
            .minimum(-1)
            .maximum(i32::MAX)
            .default_value(DEFAULT_FD)
            .mutable_ready()
            .build(),
        glib::ParamSpecBoolean::builder("pacing")
            .nick("Pacing")
            .blurb("Spread the datagrams of a frame over time, as the rates allow; otherwise send them at once")
            .default_value(DEFAULT_PACING)
            .mutable_playing()
            .build(),
        glib::ParamSpecInt::builder("dscp")
            .nick("DSCP")
            .blurb("Differentiated services code point of the datagrams (46 = expedited forwarding); -1 = not set")
            .minimum(-1)
            .maximum(63)
            .default_value(DEFAULT_DSCP)
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt::builder("link-rate")
            .nick("Link rate")
            .blurb(
                "Rate in kbit/s of the narrowest link to the receiver, at which frames leave; 0 = eight times the bitrate, \
                 as far as the interface has a speed that allows it",
            )
            .default_value(DEFAULT_LINK_RATE)
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt::builder("bitrate")
            .nick("Bitrate")
            .blurb(
                "Rate in kbit/s of the stream on average, parity included, by which large frames are told from others; \
                 0 = unknown",
            )
            .default_value(DEFAULT_BITRATE)
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt::builder("burst-packets")
            .nick("Burst packets")
            .blurb("Datagrams that may always leave together: a frame of no more is not spread")
            .minimum(1)
            .default_value(DEFAULT_BURST_PACKETS)
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt::builder("burst-bytes")
            .nick("Burst bytes")
            .blurb("Bytes that may always leave together, where they are more datagrams than burst-packets")
            .default_value(DEFAULT_BURST_BYTES)
            .mutable_playing()
            .build(),
        glib::ParamSpecDouble::builder("loss-percentage")
            .nick("Loss percentage")
            .blurb("For tests: percentage of the datagrams that are lost on purpose")
            .minimum(0.0)
            .maximum(100.0)
            .default_value(DEFAULT_LOSS_PERCENTAGE)
            .mutable_playing()
            .build(),
        glib::ParamSpecDouble::builder("loss-burst")
            .nick("Loss burst")
            .blurb("For tests: mean number of datagrams lost in a row; 1 = each is lost independently of the others")
            .minimum(1.0)
            .maximum(1_000_000.0)
            .default_value(DEFAULT_LOSS_BURST)
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt::builder("loss-seed")
            .nick("Loss seed")
            .blurb("For tests: the same seed loses the same datagrams of a stream")
            .default_value(DEFAULT_LOSS_SEED)
            .mutable_playing()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
            .nick("Statistics")
            .blurb(
                "Counts since the start (application/x-pacedudpsink-stats): frames, packets, bytes, dropped (without \
                 destination, or not taken by the network), lost (on purpose), send-calls, waits (between bursts), \
                 sleeps, spin-time (at the end of waits, in ns), errors (refused sends), call (the system call in use) \
                 and stages (where the time of frames goes, in ns)",
            )
            .read_only()
            .build(),
    ]
}

impl Settings {
    /// Takes the value of a property of [`properties`], `host` apart.
    pub fn set(&mut self, name: &str, value: &glib::Value) {
        const CHECKED: &str = "type checked upstream";
        match name {
            "port" => self.to.port = value.get::<i32>().expect(CHECKED) as u16,
            "source-address" => self.to.source_address = value.get().expect(CHECKED),
            "dscp" => self.to.dscp = value.get().expect(CHECKED),
            "fd" => self.fd = value.get().expect(CHECKED),
            "pacing" => self.pacing = value.get().expect(CHECKED),
            "link-rate" => self.link_kbps = value.get().expect(CHECKED),
            "bitrate" => self.bitrate_kbps = value.get().expect(CHECKED),
            "burst-packets" => self.burst.0 = value.get().expect(CHECKED),
            "burst-bytes" => self.burst.1 = value.get().expect(CHECKED),
            "loss-percentage" => self.loss.percentage = value.get().expect(CHECKED),
            "loss-burst" => self.loss.burst = value.get().expect(CHECKED),
            "loss-seed" => self.loss.seed = value.get().expect(CHECKED),
            _ => unimplemented!(),
        }
    }

    /// What is known of the way through an interface of this speed.
    pub fn path(&self, interface_kbps: Option<u32>) -> Path {
        let known = |kbps: u32| (kbps > 0).then_some(kbps);
        Path { link: known(self.link_kbps), interface: interface_kbps, bitrate: known(self.bitrate_kbps) }
    }

    pub fn cap(&self) -> Cap {
        let (packets, bytes) = self.burst;
        if self.pacing { Cap { packets: packets as usize, bytes: bytes as usize } } else { Cap::NONE }
    }

    pub fn set_host(&mut self, host: Option<String>, resolved: Resolved) {
        (self.to.host, self.to.resolved) = (host, resolved);
    }

    /// The value of a property of [`properties`], `stats` apart.
    pub fn value(&self, name: &str) -> glib::Value {
        match name {
            "host" => self.to.host.to_value(),
            "port" => i32::from(self.to.port).to_value(),
            "source-address" => self.to.source_address.to_value(),
            "dscp" => self.to.dscp.to_value(),
            "fd" => self.fd.to_value(),
            "pacing" => self.pacing.to_value(),
            "link-rate" => self.link_kbps.to_value(),
            "bitrate" => self.bitrate_kbps.to_value(),
            "burst-packets" => self.burst.0.to_value(),
            "burst-bytes" => self.burst.1.to_value(),
            "loss-percentage" => self.loss.percentage.to_value(),
            "loss-burst" => self.loss.burst.to_value(),
            "loss-seed" => self.loss.seed.to_value(),
            _ => unimplemented!(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_addresses_or_names() {
        for (host, ip) in [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("[::1]", "::1")] {
            assert_eq!(resolve(Some(host)), Ok(Some(SocketAddr::new(ip.parse().unwrap(), 0))));
        }
        assert!(resolve(Some("localhost")).unwrap().unwrap().ip().is_loopback());
        assert_eq!((resolve(None), resolve(Some(""))), (Ok(None), Ok(None)));
        assert!(resolve(Some("no name")).is_err());
    }

    #[test]
    fn an_address_has_a_port() {
        let mut to = Destination { resolved: resolve(Some("127.0.0.1")), ..Destination::default() };
        assert_eq!(to.address().unwrap(), None);
        to.port = 5;
        assert_eq!(to.address().unwrap(), Some("127.0.0.1:5".parse().unwrap()));
        to.resolved = Err("no such name".to_owned());
        assert!(to.address().is_err());
    }
}
