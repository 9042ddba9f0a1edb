//! What the sink is asked to do.

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
const DEFAULT_LOSS_PERCENTAGE: f64 = 0.0;
const DEFAULT_LOSS_BURST: f64 = 1.0;
const DEFAULT_LOSS_SEED: u32 = 0;

#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub to: Destination,
    /// Somebody else's socket, −1 for one of our own.
    pub fd: i32,
    pub pacing: bool,
    pub link_kbps: u32,
    pub loss: LossSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            to: Destination::default(),
            fd: DEFAULT_FD,
            pacing: DEFAULT_PACING,
            link_kbps: DEFAULT_LINK_RATE,
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
    pub port: u16,
    pub source_address: Option<String>,
    pub dscp: i32,
}

impl Default for Destination {
    fn default() -> Self {
        Self { host: None, port: DEFAULT_PORT as u16, source_address: None, dscp: DEFAULT_DSCP }
    }
}

impl Destination {
    /// The address of the host, asked of the resolver if it is a name; `None` when there is none yet.
    pub fn address(&self) -> io::Result<Option<SocketAddr>> {
        let Some(host) = self.host.as_deref().filter(|host| !host.is_empty() && self.port != 0) else {
            return Ok(None);
        };
        if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(Some(SocketAddr::new(ip, self.port)));
        }
        let nothing = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        (host, self.port).to_socket_addrs()?.next().map(Some).ok_or_else(nothing)
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
            .blurb("Spread the datagrams of a frame over three quarters of its duration; otherwise send them at once")
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
            .blurb("Rate of the link to the receiver in kbit/s: frames that it carries sooner are sent sooner; 0 = unknown")
            .default_value(DEFAULT_LINK_RATE)
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
            .blurb("What was sent, dropped and lost since the element started (application/x-pacedudpsink-stats)")
            .read_only()
            .build(),
    ]
}

impl Settings {
    /// Takes the value of a property of [`properties`].
    pub fn set(&mut self, name: &str, value: &glib::Value) {
        const CHECKED: &str = "type checked upstream";
        match name {
            "host" => self.to.host = value.get().expect(CHECKED),
            "port" => self.to.port = value.get::<i32>().expect(CHECKED) as u16,
            "source-address" => self.to.source_address = value.get().expect(CHECKED),
            "dscp" => self.to.dscp = value.get().expect(CHECKED),
            "fd" => self.fd = value.get().expect(CHECKED),
            "pacing" => self.pacing = value.get().expect(CHECKED),
            "link-rate" => self.link_kbps = value.get().expect(CHECKED),
            "loss-percentage" => self.loss.percentage = value.get().expect(CHECKED),
            "loss-burst" => self.loss.burst = value.get().expect(CHECKED),
            "loss-seed" => self.loss.seed = value.get().expect(CHECKED),
            _ => unimplemented!(),
        }
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
            "loss-percentage" => self.loss.percentage.to_value(),
            "loss-burst" => self.loss.burst.to_value(),
            "loss-seed" => self.loss.seed.to_value(),
            _ => unimplemented!(),
        }
    }
}
