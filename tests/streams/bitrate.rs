//! A bitrate and a share of parity that change while the stream runs, in pictures that no encoder can make small.

use crate::session::{FEC, Session, TURN, Whole, init, video_params};
use moonpipe::pipeline::StreamEvent;
use moonpipe::pipeline::description::EncodeDescription;
use moonpipe::pipeline::library::Library;
use moonpipe::protocol::params::{AudioParams, Codec};
use moonpipe::session::budget;

/// Frames that rate control takes to come to a new bitrate.
const SETTLING: usize = 10;
const MEASURED: usize = 20;

fn encoder(name: &str, live: bool, obeys_key_requests: bool) -> EncodeDescription {
    init();
    let mut encode = Library::load(None).encode[name].clone();
    encode.bitrate.live = live;
    encode.obeys_key_requests = obeys_key_requests;
    encode
}

fn mean(frames: &[Whole], bytes: impl Fn(&Whole) -> usize) -> f64 {
    frames.iter().map(bytes).sum::<usize>() as f64 / frames.len() as f64
}

fn keys(frames: &[Whole]) -> usize {
    frames.iter().filter(|whole| whole.frame.is_key).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_bitrate_changes_without_a_key_frame() {
    let _turn = TURN.lock().await;
    let mut session = Session::with(&encoder("h264-x264", true, true), "snow", 600).await;
    let attached = session.play().await;
    session.next_whole(SETTLING);
    let before = session.next_whole(MEASURED);
    session.stream.set_bitrate(3000);
    let settling = session.next_whole(SETTLING);
    let after = session.next_whole(MEASURED);
    assert_eq!(keys(&[before.clone(), settling, after.clone()].concat()), 0);
    let [before, after] = [before, after].map(|frames| mean(&frames, |whole| whole.data_bytes));
    println!("x264: {before} bytes in a frame, then {after}");
    assert!(after > 3.0 * before, "{before} bytes in a frame, then {after}");
    assert!(session.events.try_recv().is_err(), "nothing failed");
    drop(attached);
    session.stop().await;
}

/// Each is opened anew: its next frame is a key frame, and no packet and no frame index is missing.
#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_that_is_not_live_is_opened_anew() {
    let _turn = TURN.lock().await;
    // libaom gets no request for a key frame: it was opened anew for the first one, and waits some seconds with the next.
    for (name, obeys) in [("h264-x264", true), ("h265-x265", true), ("av1-aom", false)] {
        let mut session = Session::with(&encoder(name, false, obeys), "snow", 700).await;
        let attached = session.play().await;
        let first = session.next_whole(SETTLING);
        assert_eq!(first[0].frame, (1, true));
        // Not worth a key frame.
        session.stream.set_bitrate(750);
        let before = session.next_whole(MEASURED);
        assert_eq!(keys(&before), 0, "{name}");
        session.stream.set_bitrate(6000);
        let key = (0..200).map(|_| session.next_frame()).find(|frame| frame.is_key);
        assert!(key.is_some(), "{name} is not opened anew");
        session.next_whole(SETTLING);
        let after = session.next_whole(MEASURED);
        let [less, more] = [&before, &after].map(|frames| mean(frames, |whole| whole.data_bytes));
        println!("{name}: {less} bytes in a frame, then {more}");
        assert!(more > 1.5 * less, "{name}: {less} bytes in a frame, then {more}");
        // A machine that stood still may have cost a frame.
        while let Ok(event) = session.events.try_recv() {
            assert_eq!(event, StreamEvent::KeyFrameNeeded, "nothing failed");
        }
        drop(attached);
        session.stop().await;
    }
}

/// Whatever the share of parity, what leaves is what the client granted.
#[tokio::test(flavor = "multi_thread")]
async fn more_parity_takes_from_the_encoder() {
    let _turn = TURN.lock().await;
    let video = video_params(Codec::H264);
    let audio = AudioParams { channels: 2, packet_ms: 5, high_quality: false, encrypt: false };
    let granted = f64::from((video.total_kbps - budget::audio_wire_kbps(&audio)) * 1000 / 30 / 8);
    let kbps = |fec| budget::encoder_kbps(&video, &audio, fec);
    let mut session = Session::with(&encoder("h264-x264", true, true), "snow", kbps(FEC)).await;
    let attached = session.play().await;
    for fec in [FEC, 100, 0, 50] {
        session.stream.set_redundancy(fec, kbps(fec));
        session.next_whole(SETTLING);
        let frames = session.next_whole(MEASURED);
        assert_eq!(keys(&frames), 0);
        let wire = mean(&frames, |whole| whole.wire_bytes);
        println!("{fec} %: {} kbit/s encoded, {wire} of {granted} bytes in a frame", kbps(fec));
        assert!(wire <= granted * 1.05, "{fec} %: {wire} of {granted} bytes in a frame");
        assert!(wire >= granted * 0.75, "{fec} %: {wire} of {granted} bytes in a frame");
        // Small frames get more than the share, for the sake of the client's minimum.
        assert!(
            frames
                .iter()
                .all(|whole| whole.fec_percentage >= fec && (whole.fec_percentage == 0) == (fec == 0))
        );
    }
    drop(attached);
    session.stop().await;
}
