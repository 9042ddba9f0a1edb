//! Each speaker of the client plays what is meant for it.

use crate::harness::client::{Client, Opus, Report};
use crate::harness::host::{Host, Setup};
use crate::harness::turn;

/// Hertz, FL FR C LFE RL RR SL SR; what goes to the subwoofer has to be low.
const TONES: [&str; 8] = ["500", "700", "900", "60", "1100", "1300", "1500", "1700"];
/// GStreamer's bits of their positions.
const POSITIONS: [u32; 8] = [0x1, 0x2, 0x4, 0x8, 0x10, 0x20, 0x400, 0x800];

const SMALL: [&str; 6] = ["--width", "640", "--height", "360", "--fps", "30"];
/// From 15 Mbit/s on a client asks for high quality.
const NORMAL: [&str; 2] = ["--bitrate", "10000"];
const HIGH: [&str; 2] = ["--bitrate", "15000"];

/// One tone for each of the first `channels` speakers.
fn tones(channels: usize) -> String {
    let each = TONES.iter().zip(POSITIONS).take(channels).map(|(tone, position)| {
        format!(
            "audiotestsrc is-live=true wave=sine freq={tone} volume=0.2 samplesperbuffer=240
             ! audio/x-raw,format=S16LE,rate=48000,channels=1,channel-mask=(bitmask){position:#x} ! queue ! speakers. "
        )
    });
    let encode = "interleave name=speakers
        ! audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels={channels},channel-mask=(bitmask){channel_mask}
        ! capssetter caps=audio/x-raw,channel-mask=(bitmask){coded_mask}
        ! opusenc name=encoder audio-type=restricted-lowdelay bitrate-type=cbr bitrate={kbps}000 frame-size={packet_ms}";
    format!("launch = \"\"\"{}{encode}\"\"\"", each.collect::<String>())
}

fn play(client: &Client, channels: usize, more: &[&str]) -> Report {
    let count = channels.to_string();
    let hear = TONES.iter().flat_map(|tone| ["--hear", tone]);
    let arguments: Vec<&str> =
        SMALL.into_iter().chain(["--channels", &count]).chain(more.iter().copied()).chain(hear).collect();
    let is_heard = |report: &Report| report.is_complete() && report.hears_each(&TONES[..channels]);
    client.best_stream(3, &arguments, is_heard)
}

/// Streams, coupled streams, kbit/s.
type Coding = (u32, u32, u32);

/// Plays it in each quality, and to a slow client, whose packets are twice as long.
fn each_speaker_plays_its_own(channels: usize, normal: Coding, high: Coding) {
    let host = Host::with(&Setup {
        arguments: &["--audio", "tones"],
        pipelines: &[("audio/tones.toml", &tones(channels))],
        ..Setup::default()
    });
    let client = Client::paired(&host);
    let slow = [&NORMAL[..], &["--slow-sound"]].concat();
    let ways = [(&NORMAL[..], normal, 5), (&HIGH[..], high, 5), (&slow[..], normal, 10)];
    for (more, (streams, coupled, kbps), packet_ms) in ways {
        let report = play(&client, channels, more);
        println!("{channels} channels, {kbps} kbit/s: {:?}", report.opus);
        assert!(report.hears_each(&TONES[..channels]), "{report:#?}");
        assert_eq!(report.audio_lost, 0, "{report:#?}");
        let opus = report.opus.expect("there was sound");
        let coded = |Opus { channels, samples, streams, coupled, .. }| (channels, samples, streams, coupled);
        assert_eq!(coded(opus), (channels as u32, packet_ms * 48, streams, coupled));
        assert_eq!(report.opus_bytes, [kbps * packet_ms / 8], "parity needs packets of one size");
    }
}

#[test]
fn two_speakers_in_both_qualities() {
    let _turn = turn();
    each_speaker_plays_its_own(2, (1, 1, 96), (1, 1, 512));
}

#[test]
fn six_speakers_in_both_qualities() {
    let _turn = turn();
    each_speaker_plays_its_own(6, (4, 2, 256), (6, 0, 650));
}

#[test]
fn eight_speakers_in_both_qualities() {
    let _turn = turn();
    each_speaker_plays_its_own(8, (5, 3, 450), (8, 0, 650));
}
