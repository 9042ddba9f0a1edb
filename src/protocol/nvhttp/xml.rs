//! What the host answers.

use super::{APP_VERSION, GFE_VERSION};
use crate::protocol::params::Codec;
use quick_xml::escape::escape;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The answer to `/serverinfo`.
#[derive(Clone, Copy, Debug)]
pub struct ServerInfo<'a> {
    pub name: &'a str,
    pub unique_id: &'a str,
    pub http_port: u16,
    pub https_port: u16,
    /// The address of this host that the client used.
    pub local: IpAddr,
    pub paired: bool,
    /// 0 for none.
    pub running_app: u32,
    pub codecs: &'a [Codec],
}

/// An answer in the making; fields stand in the order in which they are added.
pub struct Answer(String);

impl Answer {
    pub fn ok() -> Self {
        Self(r#"<?xml version="1.0" encoding="utf-8"?><root status_code="200">"#.into())
    }

    /// Clients show the message. 401 makes them pair anew.
    pub fn failed(status_code: u16, message: &str) -> Self {
        Self(format!(
            r#"<?xml version="1.0" encoding="utf-8"?><root status_code="{status_code}" status_message="{}">"#,
            text(message)
        ))
    }

    pub fn field(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        let value = value.to_string();
        write!(self.0, "<{name}>{}</{name}>", text(&value)).expect("a string takes everything");
        self
    }

    pub fn finish(mut self) -> String {
        self.0.push_str("</root>");
        self.0
    }
}

impl ServerInfo<'_> {
    pub fn write(&self) -> String {
        // Clients ignore the loopback address: there is no field for an IPv6 one.
        let local =
            Some(self.local.to_canonical()).filter(IpAddr::is_ipv4).unwrap_or(Ipv4Addr::LOCALHOST.into());
        // Luma samples of an 8K picture with room to spare; 0 would switch H.265 off.
        let hevc_luma = if self.codecs.contains(&Codec::H265) { 1_869_449_984 } else { 0 };
        // The client looks at the end of it, and takes `MJOLNIR` for GeForce Experience.
        let state = if self.running_app == 0 { "SUNSHINE_SERVER_FREE" } else { "SUNSHINE_SERVER_BUSY" };
        Answer::ok()
            .field("hostname", self.name)
            .field("appversion", APP_VERSION)
            .field("GfeVersion", GFE_VERSION)
            .field("uniqueid", self.unique_id)
            .field("HttpsPort", self.https_port)
            .field("ExternalPort", self.http_port)
            .field("mac", "00:00:00:00:00:00")
            .field("LocalIP", local)
            .field("MaxLumaPixelsHEVC", hevc_luma)
            .field("ServerCodecModeSupport", codec_bits(self.codecs))
            .field("PairStatus", u8::from(self.paired))
            .field("currentgame", self.running_app)
            .field("state", state)
            .finish()
    }
}

/// 8 bits, 4:2:0 of each codec.
fn codec_bits(codecs: &[Codec]) -> u32 {
    codecs.iter().fold(0, |bits, codec| {
        bits | match codec {
            Codec::H264 => 0x1,
            Codec::H265 => 0x100,
            Codec::Av1 => 0x1_0000,
        }
    })
}

/// The answer to `/applist`: id and title of each.
pub fn app_list<'a>(apps: impl Iterator<Item = (u32, &'a str)>) -> String {
    let mut answer = Answer::ok();
    for (id, title) in apps {
        answer.0.push_str("<App>");
        answer = answer.field("IsHdrSupported", 0).field("AppTitle", title).field("ID", id);
        answer.0.push_str("</App>");
    }
    answer.finish()
}

/// Where the client goes on; it takes what stands behind the last colon for the port.
pub fn session_url(encrypted: bool, local: IpAddr, rtsp_port: u16) -> String {
    let scheme = if encrypted { "rtspenc" } else { "rtsp" };
    format!("{scheme}://{}", SocketAddr::new(local.to_canonical(), rtsp_port))
}

/// Without what XML cannot hold.
fn text(value: &str) -> String {
    let allowed = |c: &char| !c.is_control() && !matches!(*c, '\u{fffe}' | '\u{ffff}');
    escape(value.chars().filter(allowed).collect::<String>()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(codecs: &[Codec]) -> ServerInfo<'_> {
        ServerInfo {
            name: "den",
            unique_id: "ID",
            http_port: 47989,
            https_port: 47984,
            local: "192.0.2.1".parse().unwrap(),
            paired: false,
            running_app: 0,
            codecs,
        }
    }

    #[test]
    fn server_info_of_a_free_host() {
        let xml = info(&[Codec::H264]).write();
        let expected = "<?xml version=\"1.0\" encoding=\"utf-8\"?><root status_code=\"200\"><hostname>den</hostname>\
            <appversion>7.1.431.-1</appversion><GfeVersion>3.23.0.74</GfeVersion><uniqueid>ID</uniqueid>\
            <HttpsPort>47984</HttpsPort><ExternalPort>47989</ExternalPort><mac>00:00:00:00:00:00</mac>\
            <LocalIP>192.0.2.1</LocalIP><MaxLumaPixelsHEVC>0</MaxLumaPixelsHEVC>\
            <ServerCodecModeSupport>1</ServerCodecModeSupport><PairStatus>0</PairStatus><currentgame>0</currentgame>\
            <state>SUNSHINE_SERVER_FREE</state></root>";
        assert_eq!(xml, expected);
    }

    #[test]
    fn only_the_offered_codecs() {
        let bits = |codecs: &[Codec]| {
            let xml = info(codecs).write();
            let hevc = !xml.contains("<MaxLumaPixelsHEVC>0<");
            let bits =
                xml.split("<ServerCodecModeSupport>").nth(1).unwrap().split('<').next().unwrap().to_owned();
            (bits, hevc)
        };
        assert_eq!(bits(&[Codec::H264, Codec::H265, Codec::Av1]), ("65793".into(), true));
        assert_eq!(bits(&[Codec::H264, Codec::Av1]), ("65537".into(), false));
        assert_eq!(bits(&[Codec::H265]), ("256".into(), true));
    }

    #[test]
    fn busy_for_the_client_that_plays() {
        let xml = ServerInfo { running_app: 7, paired: true, ..info(&[Codec::H264]) }.write();
        assert!(xml.contains("<currentgame>7</currentgame><state>SUNSHINE_SERVER_BUSY</state>"), "{xml}");
        assert!(xml.contains("<PairStatus>1</PairStatus>"));
    }

    #[test]
    fn addresses() {
        let local = |ip: &str| ServerInfo { local: ip.parse().unwrap(), ..info(&[Codec::H264]) }.write();
        assert!(local("2001:db8::1").contains("<LocalIP>127.0.0.1</LocalIP>"));
        assert!(local("::ffff:192.0.2.7").contains("<LocalIP>192.0.2.7</LocalIP>"));
        let url = |ip: &str, encrypted| session_url(encrypted, ip.parse().unwrap(), 48010);
        assert_eq!(url("192.0.2.7", true), "rtspenc://192.0.2.7:48010");
        assert_eq!(url("::ffff:192.0.2.7", false), "rtsp://192.0.2.7:48010");
        assert_eq!(url("2001:db8::1", true), "rtspenc://[2001:db8::1]:48010");
    }

    #[test]
    fn names_cannot_break_out() {
        let xml = ServerInfo { name: "a<b>&\"'\u{0}\u{1b}ü\n", ..info(&[Codec::H264]) }.write();
        assert!(xml.contains("<hostname>a&lt;b&gt;&amp;&quot;&apos;ü</hostname>"), "{xml}");
        let refused = Answer::failed(503, "no \"encoder\"\n<here>").finish();
        assert!(refused.contains("status_message=\"no &quot;encoder&quot;&lt;here&gt;\">"), "{refused}");
    }

    #[test]
    fn apps_with_title_and_number() {
        let xml = app_list([(1, "Desktop"), (2, "Tom & Jerry")].into_iter());
        assert!(xml.ends_with(
            "<App><IsHdrSupported>0</IsHdrSupported><AppTitle>Desktop</AppTitle><ID>1</ID></App>\
             <App><IsHdrSupported>0</IsHdrSupported><AppTitle>Tom &amp; Jerry</AppTitle><ID>2</ID></App></root>"
        ));
    }
}
