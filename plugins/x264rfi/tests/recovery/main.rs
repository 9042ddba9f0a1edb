//! Frames are lost, and no picture after them shows it: decoded with libavcodec and with openh264.
#![cfg(have_x264)]

mod element;
mod stream;

use stream::{Encoder, Loss, Played, decode, play};

/// libavcodec with as many threads as it likes, and openh264.
const DECODERS: [&str; 2] = ["avdec_h264", "openh264dec"];

/// Every picture that the client decodes is that of the stream without loss.
fn assert_equal(played: &Played, what: &str) {
    for decoder in DECODERS {
        let expected = decode(decoder, &played.sent);
        assert_eq!(expected.len(), played.sent.len(), "{decoder}");
        let seen = decode(decoder, &played.received);
        let missing: Vec<_> =
            played.received.iter().map(|unit| unit.number).filter(|n| !seen.contains_key(n)).collect();
        assert_eq!(missing, [0; 0], "{what}, {decoder}: no picture of these");
        let wrong: Vec<_> =
            seen.iter().filter(|(n, picture)| expected[n] != **picture).map(|(n, _)| n).collect();
        assert_eq!(wrong, [&0; 0], "{what}, {decoder}: other pictures");
    }
}

fn loss(first: usize, count: usize, delay: usize) -> Loss {
    Loss { first, count, delay }
}

/// libx264 counts frames from 0 to 15 with 8 pictures kept, to 31 with 16: both come round at 32.
#[test]
fn a_lost_frame_is_made_good_wherever_frame_num_is() {
    for first in 28..=36 {
        for (count, dpb) in [(1, 8), (3, 16)] {
            let mut encoder = Encoder::new(&format!("bitrate=2000 speed-preset=ultrafast dpb-size={dpb}"));
            let played = play(&mut encoder, 70, &[loss(first, count, 2)], true);
            assert_eq!((played.handled, played.recoveries(), played.keys()), (1, 1, 1), "{first}");
            assert_equal(&played, &format!("{count} from {first} with {dpb} pictures kept"));
        }
    }
}

/// Whatever came between the loss and the report, nothing more comes before what makes it good.
#[test]
fn the_frame_behind_the_report_makes_it_good() {
    for delay in 0..12 {
        let mut encoder = Encoder::new("bitrate=2000 speed-preset=ultrafast");
        encoder.encode_many(20);
        encoder.encode_many(delay);
        assert!(encoder.invalidate(19, 19));
        let next = encoder.encode();
        assert!(next.recovery && !next.key, "{delay} frames after the loss");
    }
}

#[test]
fn many_bursts_need_no_key_frame() {
    for preset in ["ultrafast", "superfast threads=2", "veryfast slices=3", "medium"] {
        let mut encoder = Encoder::new(&format!("bitrate=3000 speed-preset={preset}"));
        let losses: Vec<Loss> = (0..12).map(|n| loss(5 + 11 * n, 1 + n % 4, n % 5)).collect();
        let played = play(&mut encoder, 150, &losses, true);
        assert_eq!((played.handled, played.recoveries(), played.keys()), (12, 12, 1), "{preset}");
        assert_equal(&played, preset);
    }
}

/// So that the tests above mean something.
#[test]
fn without_the_event_the_picture_stays_broken() {
    let mut encoder = Encoder::new("bitrate=2000 speed-preset=ultrafast dpb-size=8");
    let played = play(&mut encoder, 70, &[loss(30, 2, 3)], false);
    assert_eq!(played.received.len(), 68, "the client decodes all that arrives");
    for decoder in DECODERS {
        let (expected, seen) = (decode(decoder, &played.sent), decode(decoder, &played.received));
        assert_eq!(expected.len(), 70, "{decoder}");
        assert!(seen.range(32..).all(|(n, picture)| expected[n] != *picture), "{decoder}");
    }
}

#[test]
fn too_late_becomes_a_key_frame() {
    for (dpb, count, delay) in [(4, 1, 8), (1, 1, 0), (16, 20, 3)] {
        let mut encoder = Encoder::new(&format!("bitrate=2000 speed-preset=ultrafast dpb-size={dpb}"));
        let played = play(&mut encoder, 70, &[loss(30, count, delay)], true);
        assert_eq!((played.handled, played.recoveries(), played.keys()), (1, 0, 2), "{dpb}");
        assert_equal(&played, &format!("{dpb} pictures kept"));
    }
}

/// A client tells of a loss with each frame that it drops, until it sees the one that makes it good.
#[test]
fn a_loss_that_is_told_again_is_made_good_once() {
    let mut encoder = Encoder::new("bitrate=2000 speed-preset=ultrafast");
    let mut sent = encoder.encode_many(20);
    for last in 15..20 {
        assert!(encoder.invalidate(15, last));
        sent.push(encoder.encode());
    }
    let recoveries: Vec<usize> = sent.iter().filter(|unit| unit.recovery).map(|unit| unit.number).collect();
    assert_eq!(recoveries, [20]);
    assert!(encoder.invalidate(15, 20));
    assert!(encoder.encode().recovery, "that one was lost as well");
}

#[test]
fn a_lost_key_frame_is_sent_anew() {
    let mut encoder = Encoder::new("bitrate=2000 speed-preset=ultrafast");
    let mut sent = encoder.encode_many(3);
    assert!(encoder.invalidate(0, 0));
    sent.push(encoder.encode());
    assert_eq!(sent.iter().map(|unit| unit.key).collect::<Vec<_>>(), [true, false, false, true]);
}

/// A recovery frame costs less than a key frame.
#[test]
fn a_recovery_frame_is_smaller_than_a_key_frame() {
    let mut encoder = Encoder::new("bitrate=6000 vbv-buf-capacity=0 speed-preset=superfast");
    let played = play(&mut encoder, 60, &[loss(40, 1, 3)], true);
    let size = |unit: &stream::Unit| unit.bytes.len();
    let key = size(&played.sent[0]);
    let recovery = played.sent.iter().find(|unit| unit.recovery).map(size).unwrap();
    let average = played.sent[20..40].iter().map(size).sum::<usize>() / 20;
    println!("average {average}, recovery {recovery}, key {key} bytes");
    assert!(recovery < key, "average {average}, recovery {recovery}, key {key}");
}
