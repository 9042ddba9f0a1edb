//! What each request means. One step, no state: a session may be set up in any order, and what the order decides is
//! decided by the session.

use crate::protocol::params::StreamParams;
use crate::protocol::rtsp::message::{Request, Response};
use crate::protocol::rtsp::{RtspOffer, RtspRefusal, sdp};

/// What to do about a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Answer, nothing else.
    Answer(Response),
    /// Start what ANNOUNCE settled, then answer.
    Announce(StreamParams),
    /// Let the media go, then answer.
    Play,
}

/// Decides about `request` of the session that `offer` belongs to.
pub fn step(request: &Request, offer: &RtspOffer) -> Step {
    match request.method.as_str() {
        "OPTIONS" => Step::Answer(Response::ok().with("Public", "OPTIONS, DESCRIBE, SETUP, ANNOUNCE, PLAY")),
        "DESCRIBE" => {
            let body = sdp::describe(offer);
            Step::Answer(Response::ok().with("Content-Type", "application/sdp").with_body(body))
        }
        "SETUP" => Step::Answer(setup(&request.target, offer)),
        "ANNOUNCE" => match sdp::parse_announce(&request.body, request.header("Host"), &offer.codecs) {
            Ok(params) => Step::Announce(params),
            Err(error) => Step::Answer(Response::refuse(400, &error.to_string())),
        },
        "PLAY" => Step::Play,
        _ => Step::Answer(Response::refuse(501, "Not Implemented")),
    }
}

/// The answer to ANNOUNCE or PLAY once the session did its part.
pub fn conclude(done: Result<(), RtspRefusal>) -> Response {
    match done {
        Ok(()) => Response::ok(),
        Err(refusal) => Response::refuse(refusal.status, &refusal.reason),
    }
}

/// Targets are `streamid=audio/0/0`, `streamid=video/0/0` and `streamid=control/13/0`, alone or at the end of a URL.
fn setup(target: &str, offer: &RtspOffer) -> Response {
    let stream = target.split_once("streamid=").map_or("", |(_, rest)| rest);
    let (port, extra) = match stream.split('/').next() {
        Some("audio") => (offer.audio_port, ("X-SS-Ping-Payload", text(&offer.audio_ping))),
        Some("video") => (offer.video_port, ("X-SS-Ping-Payload", text(&offer.video_ping))),
        Some("control") => (offer.control_port, ("X-SS-Connect-Data", offer.connect_data.to_string())),
        _ => return Response::refuse(404, "No such stream"),
    };
    Response::ok()
        .with("Session", format!("{};timeout = 90", offer.session))
        .with("Transport", format!("server_port={port}"))
        .with(extra.0, extra.1)
}

fn text(ping: &[u8; 16]) -> String {
    ping.iter().map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::params::Codec;

    fn offer() -> RtspOffer {
        RtspOffer {
            session: "S1".into(),
            codecs: vec![Codec::H264],
            video_port: 47998,
            control_port: 47999,
            audio_port: 48000,
            video_ping: *b"0123456789ABCDEF",
            audio_ping: *b"FEDCBA9876543210",
            connect_data: 0xdead_beef,
            rfi: false,
            controller_sensors: false,
            surround: Vec::new(),
        }
    }

    fn ask(head: &str) -> Step {
        let text = format!("{head} RTSP/1.0\r\nCSeq: 1\r\nX-GS-ClientVersion: 14\r\nHost: 0.0.0.0\r\n\r\n");
        step(&Request::parse(text.as_bytes()).unwrap().unwrap(), &offer())
    }

    fn answer(head: &str) -> Response {
        match ask(head) {
            Step::Answer(response) => response,
            other => panic!("{other:?}"),
        }
    }

    /// Requests in the order and wording of moonlight-common-c.
    #[test]
    fn the_conversation_of_a_client() {
        assert_eq!(answer("OPTIONS rtsp://0.0.0.0:48010").status, 200);
        assert!(answer("DESCRIBE rtsp://0.0.0.0:48010").body().contains("encryptionSupported"));
        let audio = answer("SETUP streamid=audio/0/0");
        assert_eq!(audio.header("Session"), Some("S1;timeout = 90"));
        assert_eq!(audio.header("Transport"), Some("server_port=48000"));
        assert_eq!(audio.header("X-SS-Ping-Payload"), Some("FEDCBA9876543210"));
        let video = answer("SETUP streamid=video/0/0");
        assert_eq!(video.header("Transport"), Some("server_port=47998"));
        assert_eq!(video.header("X-SS-Ping-Payload"), Some("0123456789ABCDEF"));
        let control = answer("SETUP streamid=control/13/0");
        assert_eq!(control.header("Transport"), Some("server_port=47999"));
        assert_eq!(control.header("X-SS-Connect-Data"), Some("3735928559"));
        assert_eq!(ask("PLAY /"), Step::Play);
    }

    #[test]
    fn what_cannot_be_met_has_a_status_and_a_reason() {
        assert_eq!(answer("SETUP streamid=telepathy/0/0").status, 404);
        assert_eq!(answer("SETUP /").status, 404);
        assert_eq!(answer("TEARDOWN /").status, 501);
        let refused = answer("ANNOUNCE streamid=control/13/0");
        assert_eq!((refused.status, &*refused.reason), (400, "x-nv-video[0].clientViewportWd is missing"));
        let done = conclude(Err(RtspRefusal::new(503, "no capture")));
        assert_eq!((done.status, &*done.reason), (503, "no capture"));
    }
}
