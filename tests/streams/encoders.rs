//! Encoders that die while they encode: what the client gets is one stream.

use crate::faulty;
use crate::session::{Frame, Session, TURN, counter, init, log, wait_until};
use moonpipe::pipeline::StreamEvent;
use moonpipe::pipeline::description::EncodeDescription;
use moonpipe::pipeline::library::Library;

/// Frames of the wire that each stream is looked at for.
const FRAMES: usize = 80;

fn encoder(name: &str) -> EncodeDescription {
    init();
    Library::load(None).encode[name].clone()
}

/// x264 under another name, and `launch` behind it.
fn x264(name: &str, launch: &str) -> EncodeDescription {
    let mut encode = encoder("h264-x264");
    encode.common.name = name.into();
    encode.common.launch += launch;
    encode
}

fn faulty(name: &str, fault: &str, after: u32) -> EncodeDescription {
    x264(name, &format!(" ! faulty fault={fault} after={after}"))
}

/// What the session was told, but for frames that were dropped because the machine stood still.
fn told(session: &mut Session) -> Vec<StreamEvent> {
    let events = std::iter::from_fn(|| session.events.try_recv().ok());
    events.filter(|event| *event != StreamEvent::KeyFrameNeeded).collect()
}

/// No packet is missing, no index but those of frames that were dropped because the machine stood still, and the clock
/// goes forward. Of `keys` replacements every one begins with a key frame, unless that was just the one dropped, and
/// nothing else does: nobody here asks for another.
fn look(session: &mut Session, count: usize, keys: usize) {
    let frames: Vec<Frame> = (0..count).map(|_| session.next_frame()).collect();
    let mut missing = 0u64;
    for pair in frames.windows(2) {
        assert!(pair[1].index > pair[0].index, "{pair:?}");
        missing += u64::from(pair[1].index - pair[0].index - 1);
        let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        // A thirtieth of a second less what the pacer shifts its ticks by, or many of them.
        assert!((2000..90_000 * 20).contains(&step), "{pair:?}");
    }
    let dropped = counter(&session.stream.stats().packetize, "frames-skipped");
    assert!(missing <= dropped, "{missing} indices are missing, {dropped} frames were dropped");
    // Besides those that the stream begins with: the encoder's own, and the one asked for, which may be put off.
    let found: Vec<&Frame> = frames.iter().filter(|frame| frame.is_key && frame.index > 5).collect();
    let fewest = keys.saturating_sub(missing as usize);
    assert!((fewest..=keys).contains(&found.len()), "{fewest} to {keys}: {found:?}");
}

async fn end(session: Session, attached: moonpipe::pipeline::frames::Attached) {
    drop(attached);
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_is_opened_again() {
    let _turn = TURN.lock().await;
    for (fault, reason) in [("error", "Failed as it was told"), ("end", "it ended the stream")] {
        faulty::expect(1);
        let mut session = Session::of(&[faulty("first", fault, 30)], "ball", 2000).await;
        let attached = session.play().await;
        look(&mut session, FRAMES, 1);
        let told = told(&mut session);
        let [StreamEvent::EncoderReplaced(change)] = &told[..] else { panic!("{told:?}") };
        assert!(
            change.starts_with("the encoder first died (") && change.ends_with(") and is opened again"),
            "{change}"
        );
        assert!(change.contains(reason), "{change}");
        let stats = session.stream.stats().encode;
        assert_eq!((stats.encoder.as_str(), stats.replacements), ("first", 1), "{stats:?}");
        assert!(stats.frames >= stats.units && stats.units >= FRAMES as u64, "{stats:?}");
        end(session, attached).await;
    }
}

/// The first dies twice, the second does not even open, the third never delivers anything.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_in_rank_takes_the_place_of_one_that_goes_on_failing() {
    let _turn = TURN.lock().await;
    faulty::expect(3);
    let no_file = x264("second", "\nfilesrc location=/nonexistent ! fakesink");
    let chain =
        [faulty("first", "error", 30), no_file, faulty("third", "error", 0), encoder("h264-openh264")];
    let mut session = Session::of(&chain, "ball", 2000).await;
    let attached = session.play().await;
    look(&mut session, FRAMES, 2);
    let changes: Vec<String> = told(&mut session)
        .into_iter()
        .map(|event| match event {
            StreamEvent::EncoderReplaced(change) => change,
            event => panic!("{event:?}"),
        })
        .collect();
    let names = ["first", "third", "h264-openh264"];
    assert_eq!(changes.len(), names.len(), "{changes:#?}");
    assert!(changes[0].ends_with("is opened again"), "{changes:#?}");
    assert!(
        changes[1].starts_with("the encoder second died (") && changes[1].ends_with("third takes its place"),
        "{changes:#?}"
    );
    assert!(changes[2].ends_with("h264-openh264 takes its place"), "{changes:#?}");
    let stats = session.stream.stats().encode;
    assert_eq!((stats.encoder.as_str(), stats.replacements), ("h264-openh264", 3), "{stats:?}");
    end(session, attached).await;
}

/// It opens, and what it makes is not what the stream is of: the stream goes on with the one behind it.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_be_linked_is_passed_over() {
    let _turn = TURN.lock().await;
    faulty::expect(2);
    let mut other = encoder("h265-x265");
    other.common.name = "other".into();
    other.codec = moonpipe::protocol::params::Codec::H264;
    let chain = [faulty("first", "error", 30), other, encoder("h264-openh264")];
    let mut session = Session::of(&chain, "ball", 2000).await;
    let attached = session.play().await;
    look(&mut session, FRAMES, 2);
    let told = told(&mut session);
    let Some(StreamEvent::EncoderReplaced(change)) = told.last() else { panic!("{told:?}") };
    assert!(
        change.starts_with("the encoder other died (it cannot be linked")
            && change.ends_with("h264-openh264 takes its place"),
        "{told:#?}"
    );
    assert_eq!(session.stream.stats().encode.encoder, "h264-openh264");
    end(session, attached).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_goes_silent_is_replaced() {
    let _turn = TURN.lock().await;
    faulty::expect(1);
    let mut session = Session::of(&[faulty("first", "silence", 30)], "ball", 2000).await;
    let attached = session.play().await;
    look(&mut session, FRAMES, 1);
    let told = told(&mut session);
    let [StreamEvent::EncoderReplaced(change)] = &told[..] else { panic!("{told:?}") };
    assert!(change.contains("died (nothing came out for "), "{change}");
    end(session, attached).await;
}

/// Its thread hangs in a call that never returns; everything else goes on and ends.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_is_left_to_itself() {
    let _turn = TURN.lock().await;
    faulty::expect(1);
    let mut session =
        Session::of(&[faulty("first", "hang", 30), encoder("h264-openh264")], "ball", 2000).await;
    let attached = session.play().await;
    look(&mut session, FRAMES, 1);
    assert_eq!(faulty::hanging(), 1);
    end(session, attached).await;
    assert_eq!(faulty::hanging(), 1, "the stream has ended before it");
    assert!(log().contains("1 encoders do not close and are left to themselves"));
    faulty::let_go();
}

/// The client waits for the next one, and for nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_while_it_opens_is_passed_over() {
    let _turn = TURN.lock().await;
    faulty::expect(1);
    let chain = [faulty("first", "stuck", 0), encoder("h264-openh264")];
    let mut session = Session::of(&chain, "ball", 2000).await;
    let attached = session.play().await;
    look(&mut session, 10, 0);
    assert_eq!(faulty::hanging(), 1);
    let told = told(&mut session);
    let [StreamEvent::EncoderReplaced(change)] = &told[..] else { panic!("{told:?}") };
    assert!(change.starts_with("the encoder first died (it does not open in "), "{change}");
    // Stopped while the other hangs.
    end(session, attached).await;
    faulty::let_go();
}

#[tokio::test(flavor = "multi_thread")]
async fn with_no_encoder_left_the_stream_fails_and_says_why() {
    let _turn = TURN.lock().await;
    faulty::expect(4);
    let chain = [faulty("first", "error", 5), faulty("second", "end", 5)];
    let mut session = Session::of(&chain, "ball", 2000).await;
    let attached = session.play().await;
    let mut told = Vec::new();
    wait_until(|| {
        told.extend(session.events.try_recv().ok());
        matches!(told.last(), Some(StreamEvent::Failed(_)))
    });
    let Some(StreamEvent::Failed(reason)) = told.last() else { unreachable!() };
    assert!(reason.starts_with("no encoder is left: first: "), "{reason}");
    assert_eq!(reason.matches("Failed as it was told").count(), 2, "{reason}");
    assert_eq!(reason.matches("second: it ended the stream").count(), 2, "{reason}");
    let replaced = told.iter().filter(|event| matches!(event, StreamEvent::EncoderReplaced(_))).count();
    assert_eq!(replaced, 3, "{told:?}");
    end(session, attached).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_none_opens_the_stream_does_not_start() {
    let _turn = TURN.lock().await;
    let chain = ["first", "second"].map(|name| x264(name, "\nfilesrc location=/nonexistent ! fakesink"));
    let session = Session::of(&chain, "ball", 2000).await;
    let error = format!("{:#}", session.stream.start().await.unwrap_err());
    assert!(error.starts_with("no encoder is left: first: ") && error.contains("; second: "), "{error}");
    session.stop().await;
}

/// One picture was ever shown, in a format that the next encoder does not take.
#[tokio::test(flavor = "multi_thread")]
async fn a_still_picture_is_converted_for_the_next_encoder() {
    let _turn = TURN.lock().await;
    faulty::expect(2);
    let mut first = faulty("first", "error", 30);
    first.common.launch = format!("video/x-raw,format=NV12 ! {}", first.common.launch.trim());
    let mut session = Session::of(&[first, encoder("h264-openh264")], "ball", 2000).await;
    session.stream.start().await.expect("it starts");
    session.stream.source().push_sample(&session.stream.black_sample().unwrap()).unwrap();
    session.open();
    look(&mut session, FRAMES, 2);
    assert_eq!(session.stream.stats().encode.encoder, "h264-openh264");
    session.stop().await;
}

/// The bitrate is that of the stream now, not the one it began with.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wished_holds_for_the_next_encoder() {
    let _turn = TURN.lock().await;
    faulty::expect(1);
    let session = Session::of(&[faulty("first", "error", 40)], "snow", 600).await;
    let attached = session.play().await;
    session.stream.set_bitrate(3000);
    wait_until(|| session.stream.stats().encode.replacements == 1);
    // What was packetized, since nobody receives.
    let count = |name| counter(&session.stream.stats().packetize, name);
    let after = |frames: u64| {
        let begin = count("frames");
        wait_until(|| count("frames") >= begin + frames);
        (count("frames"), count("bytes"))
    };
    let (from, to) = (after(10), after(20));
    let bytes = (to.1 - from.1) / (to.0 - from.0);
    // Packets with headers and parity; 600 kbit/s are 2500 bytes of bitstream in a frame, 3000 are 12500.
    assert!(bytes > 9000, "{bytes} bytes in a frame");
    end(session, attached).await;
}
