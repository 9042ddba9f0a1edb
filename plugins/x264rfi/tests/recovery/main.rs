//! Frames are lost, and no picture after them shows it: decoded with libavcodec and with openh264.
#![cfg(have_x264)]

mod element;
mod stream;

use gstx264rfi::bitstream::Parameters;
use stream::{Encoder, Loss, Played, TINY, Unit, decode, play};

/// libavcodec and openh264. GStreamer's element around libavcodec (1.22) mixes pictures up after a gap of two frames, with one
/// thread and with threads that share a picture, where the library by itself does not.
const DECODERS: [&str; 2] = ["avdec_h264 thread-type=frame max-threads=2", "openh264dec"];

/// Every picture that the client decodes is that of the stream without loss.
fn assert_equal(played: &Played, what: &str) {
    for decoder in DECODERS {
        let expected = decode(decoder, played.size, &played.sent);
        assert_eq!(expected.len(), played.sent.len(), "{decoder}");
        let seen = decode(decoder, played.size, &played.received);
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

/// With the bits that the element adds it comes round after 4096 frames, with 16 pictures kept after 8192: losses that
/// end right before, hold, touch and begin right after that.
fn losses_where_frame_num_comes_round(dpb: usize, round: usize, losses: &[Loss]) {
    for &loss in losses {
        let properties = format!("bitrate=200 speed-preset=ultrafast threads=1 dpb-size={dpb}");
        let mut encoder = Encoder::of_size(TINY, &properties);
        let played = play(&mut encoder, round + 40, &[loss], true);
        assert_eq!(frame_num_comes_round(&played.sent[0]), round);
        assert_eq!((played.handled, played.recoveries(), played.keys()), (1, 1, 1), "{loss:?}");
        assert_equal(&played, &format!("{loss:?} with {dpb} pictures kept"));
    }
}

/// After how many frames, as the parameter set of a key frame says.
fn frame_num_comes_round(unit: &Unit) -> usize {
    let at = unit.bytes.windows(4).position(|w| w[..3] == [0, 0, 1] && w[3] & 0x1f == 7).unwrap();
    1 << Parameters::read(&unit.bytes[at + 3..]).unwrap().frame_num_bits
}

#[test]
fn a_lost_frame_is_made_good_where_frame_num_comes_round_after_minutes() {
    let singles = (4093..=4096).map(|first| loss(first, 1, 0));
    let several = (4092..=4097).step_by(2).map(|first| loss(first, 1, 2));
    let most = [loss(4091, 4, 3)];
    let losses: Vec<Loss> = singles.chain(several).chain(most).collect();
    losses_where_frame_num_comes_round(8, 4096, &losses);
}

#[test]
fn a_lost_frame_is_made_good_where_a_longer_frame_num_comes_round() {
    losses_where_frame_num_comes_round(16, 8192, &[loss(8190, 2, 3), loss(8184, 8, 7)]);
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
        let (expected, seen) =
            (decode(decoder, played.size, &played.sent), decode(decoder, played.size, &played.received));
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

/// What moved since the last good picture has to be coded once more: the longer ago that is, the more it costs. Everything
/// moves in these pictures.
#[test]
fn a_recovery_frame_costs_a_few_average_ones_and_less_than_half_a_key_frame() {
    for (delay, most) in [(0, 2.5), (3, 4.5), (8, 7.5)] {
        let mut encoder = Encoder::new("bitrate=6000 vbv-buf-capacity=0 speed-preset=superfast threads=1");
        let losses: Vec<Loss> = (0..10).map(|n| loss(40 + 24 * n, 1, delay)).collect();
        let Played { sent, .. } = play(&mut encoder, 290, &losses, true);
        let mean = |units: &mut dyn Iterator<Item = &Unit>| {
            let sizes: Vec<usize> = units.map(|unit| unit.bytes.len()).collect();
            sizes.iter().sum::<usize>() as f64 / sizes.len() as f64
        };
        let recovery = mean(&mut sent.iter().filter(|unit| unit.recovery));
        let average = mean(&mut sent.iter().skip(20).filter(|unit| !unit.recovery));
        let key = mean(&mut sent.iter().take(1));
        let said =
            format!("{delay} frames later: average {average:.0}, recovery {recovery:.0}, key {key:.0} bytes");
        println!("{said}");
        assert!(recovery < most * average && recovery < key / 2.0, "{said}");
    }
}
