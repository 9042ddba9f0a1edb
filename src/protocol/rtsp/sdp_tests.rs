use super::*;
use crate::protocol::params::Surround;
use proptest::prelude::*;

/// The attributes that moonlight-common-c sends for 1080p60 with everything encrypted, HEVC, stereo.
const ANNOUNCE: &str = "v=0\r\no=android 0 14 IN IPv4 127.0.0.1\r\ns=NVIDIA Streaming Client\r\n\
    a=x-ml-general.featureFlags:3 \r\na=x-ml-video.configuredBitrateKbps:20000 \r\n\
    a=x-ss-general.encryptionEnabled:7 \r\na=x-ss-video[0].chromaSamplingType:0 \r\n\
    a=x-nv-video[0].clientViewportWd:1920 \r\na=x-nv-video[0].clientViewportHt:1080 \r\n\
    a=x-nv-video[0].maxFPS:60 \r\na=x-nv-video[0].packetSize:1360 \r\na=x-nv-video[0].rateControlMode:4 \r\n\
    a=x-nv-video[0].timeoutLengthMs:7000 \r\na=x-nv-video[0].framesWithInvalidRefThreshold:0 \r\n\
    a=x-nv-video[0].initialBitrateKbps:16000 \r\na=x-nv-vqos[0].bw.maximumBitrateKbps:16000 \r\n\
    a=x-nv-vqos[0].fec.enable:1 \r\na=x-nv-vqos[0].fec.minRequiredFecPackets:2 \r\n\
    a=x-nv-general.useReliableUdp:13 \r\na=x-nv-general.featureFlags:167 \r\n\
    a=x-nv-vqos[0].bitStreamFormat:1 \r\na=x-nv-video[0].dynamicRangeMode:0 \r\n\
    a=x-nv-video[0].maxNumReferenceFrames:1 \r\na=x-nv-video[0].clientRefreshRateX100:0 \r\n\
    a=x-nv-audio.surround.numChannels:2 \r\na=x-nv-audio.surround.channelMask:3 \r\n\
    a=x-nv-audio.surround.enable:0 \r\na=x-nv-audio.surround.AudioQuality:0 \r\n\
    a=x-nv-aqos.packetDuration:5 \r\na=x-nv-video[0].encoderCscMode:3 \r\n\
    a=x-nv-video[0].videoEncoderSlicesPerFrame:4 \r\nt=0 0\r\nm=video 47998  \r\n";

/// The header of a client that wants normal quality.
const NORMAL: Option<&str> = Some("0.0.0.0");
const ALL: &[Codec] = &[Codec::H264, Codec::H265, Codec::Av1];

fn with(name: &str, value: &str) -> Result<StreamParams, AnnounceError> {
    parse_announce(&format!("{ANNOUNCE}a={name}:{value} \r\n"), NORMAL, ALL)
}

fn without(name: &str) -> Result<StreamParams, AnnounceError> {
    let kept: Vec<_> = ANNOUNCE.lines().filter(|line| !line.contains(name)).collect();
    parse_announce(&kept.join("\r\n"), NORMAL, ALL)
}

#[test]
fn a_whole_announce() {
    let video = VideoParams {
        codec: Codec::H265,
        width: 1920,
        height: 1080,
        fps: Fps { num: 60, den: 1 },
        packet_size: 1360,
        total_kbps: 20000,
        min_fec_packets: 2,
        encrypt: true,
        color_space: ColorSpace::Bt709,
        full_range: true,
        max_reference_frames: 1,
        slices_per_frame: 4,
    };
    let audio = AudioParams { channels: 2, packet_ms: 5, high_quality: false, encrypt: true };
    assert_eq!(
        parse_announce(ANNOUNCE, NORMAL, ALL),
        Ok(StreamParams { video, audio, control_v2: true, fec_status: true })
    );
}

#[test]
fn what_is_left_out_has_the_meaning_of_old_clients() {
    let params = without("configuredBitrateKbps").unwrap();
    assert_eq!(params.video.total_kbps, 16000);
    assert_eq!(with("x-ml-video.configuredBitrateKbps", "0").unwrap().video.total_kbps, 16000);
    let params = without("encryptionEnabled").unwrap();
    assert!(!params.control_v2 && !params.video.encrypt);
    assert!(params.audio.encrypt, "by feature flag 0x20");
    assert!(!with("x-nv-general.featureFlags", "135").is_ok_and(|p| !p.audio.encrypt), "by bit 4");
    assert_eq!(without("clientViewportWd"), Err(AnnounceError::Missing("x-nv-video[0].clientViewportWd")));
}

#[test]
fn a_value_out_of_range_is_refused_with_a_reason() {
    let refused = |name, value| with(name, value).unwrap_err().to_string();
    assert_eq!(refused("x-nv-video[0].maxFPS", "241"), "x-nv-video[0].maxFPS is 241, not 1 to 240");
    assert_eq!(refused("x-nv-video[0].maxFPS", "0"), "x-nv-video[0].maxFPS is 0, not 1 to 240");
    assert_eq!(refused("x-nv-video[0].maxFPS", "-1"), "x-nv-video[0].maxFPS is no number");
    assert_eq!(refused("x-nv-video[0].clientViewportWd", "1919"), "1919x1080: width and height must be even");
    assert_eq!(refused("x-nv-video[0].packetSize", "64"), "x-nv-video[0].packetSize is 64, not 128 to 4096");
    assert_eq!(refused("x-nv-audio.surround.numChannels", "7"), "7 audio channels, not 2, 6 or 8");
    assert_eq!(refused("x-nv-aqos.packetDuration", "20"), "audio packets of 20 ms, not 5 or 10");
    assert_eq!(
        parse_announce(ANNOUNCE, NORMAL, &[Codec::H264]).unwrap_err().to_string(),
        "H.265 does not encode on this host"
    );
}

#[test]
fn no_client_gets_more_parity_than_there_is() {
    let packets =
        |asked| with("x-nv-vqos[0].fec.minRequiredFecPackets", asked).unwrap().video.min_fec_packets;
    assert_eq!(["0", "40", "41", "255", "4294967295"].map(packets), [0, 40, 40, 40, 40]);
}

#[test]
fn the_element_takes_what_a_client_may_ask() {
    gst::init().unwrap();
    gstgamestream::plugin_register_static().unwrap();
    let element = gst::ElementFactory::make("gamestreamvideopay").build().unwrap();
    let range = |name: &str| {
        use gst::prelude::ObjectExt;
        let property = element.find_property(name).expect("it has the property");
        let property = property.downcast::<gst::glib::ParamSpecUInt>().expect("a uint");
        (property.minimum(), property.maximum())
    };
    let (least, most) = range("packet-size");
    assert!(least <= *PACKET_SIZES.start() && *PACKET_SIZES.end() <= most);
    assert_eq!(range("min-fec-packets"), (0, MOST_MIN_FEC_PACKETS));
}

#[test]
fn odd_rates_stay_exact() {
    let table = [
        (60, 0, 60, 1),
        (60, 6000, 60, 1),
        (60, 5994, 60000, 1001),
        (60, 14400, 60, 1),
        (60, 5900, 60, 1),
        (60, 5940, 297, 5),
        (24, 2397, 24000, 1001),
        (24, 2398, 24000, 1001),
        (30, 2997, 30000, 1001),
        (120, 11988, 120000, 1001),
        (144, 14385, 144000, 1001),
        (144, 14386, 144000, 1001),
        (240, 23976, 240000, 1001),
        (60, 6001, 6001, 100),
        (60, 6050, 121, 2),
        (1, 100, 1, 1),
        // A hundred times this is a little more than 2³².
        (60, 42_955_673, 60, 1),
        (60, u32::MAX, 60, 1),
    ];
    for (whole, refresh, num, den) in table {
        assert_eq!(exact_fps(whole, refresh), Fps { num, den }, "{whole} fps, {refresh} / 100 Hz");
    }
}

fn surround_of_opusenc() -> Vec<Surround> {
    let layout =
        |streams, coupled, mapping: &[u8]| OpusLayout { streams, coupled, mapping: mapping.to_vec() };
    vec![
        Surround { normal: layout(4, 2, &[0, 1, 4, 5, 2, 3]), high: layout(6, 0, &[0, 1, 2, 3, 4, 5]) },
        Surround {
            normal: layout(5, 3, &[0, 1, 4, 5, 6, 7, 2, 3]),
            high: layout(8, 0, &[0, 1, 2, 3, 4, 5, 6, 7]),
        },
    ]
}

fn offer(codecs: &[Codec], rfi: bool) -> RtspOffer {
    RtspOffer {
        session: "1".into(),
        codecs: codecs.to_vec(),
        video_port: 1,
        control_port: 2,
        audio_port: 3,
        video_ping: [b'v'; 16],
        audio_ping: [b'a'; 16],
        connect_data: 4,
        rfi,
        controller_sensors: false,
        surround: surround_of_opusenc(),
    }
}

#[test]
fn what_is_felt_is_described() {
    let plain = offer(ALL, true);
    assert!(describe(&plain).contains("x-ss-general.featureFlags:1\r\n"));
    let felt = RtspOffer { controller_sensors: true, ..plain };
    assert!(describe(&felt).contains("x-ss-general.featureFlags:3\r\n"));
}

#[test]
fn only_what_encodes_is_described() {
    let all = describe(&offer(ALL, true));
    let marks = ["AV1/90000", "sprop-parameter-sets=AAAAAU", "x-nv-video[0].refPicInvalidation"];
    assert!(marks.iter().all(|mark| all.contains(mark)), "{all}");
    let least = describe(&offer(&[Codec::H264], false));
    assert!(!marks.iter().any(|mark| least.contains(mark)), "{least}");
    assert!(least.contains("a=x-ss-general.encryptionSupported:7\r\n"));
    assert!(least.contains("a=x-ss-general.encryptionRequested:1\r\n"));
}

#[test]
fn how_good_the_sound_is_says_the_body_or_the_host() {
    let quality = |channels: &str, quality: &str, host| {
        let wishes = format!(
            "{ANNOUNCE}a=x-nv-audio.surround.numChannels:{channels} \r\na=x-nv-audio.surround.AudioQuality:{quality} \r\n"
        );
        parse_announce(&wishes, host, ALL).unwrap().audio.high_quality
    };
    for channels in ["6", "8"] {
        assert!(!quality(channels, "0", NORMAL) && !quality(channels, "0", Some("192.0.2.1")));
        assert!(quality(channels, "1", NORMAL) && quality(channels, "1", Some("192.0.2.1")));
    }
    assert!(quality("2", "0", Some("192.0.2.1")) && quality("2", "0", Some("[2001:db8::1]:48010")));
    assert!(!quality("2", "0", NORMAL) && !quality("2", "0", Some("0.0.0.0:48010")));
    assert!(!quality("2", "0", None), "of a client that says nothing");
}

/// What moonlight-common-c decodes with: for normal quality it takes the first
/// line of a channel count and moves its last entry, for high quality the second as it is.
fn as_a_client_reads(description: &str, channels: u8, high_quality: bool) -> OpusLayout {
    let prefix = format!("a=fmtp:97 surround-params={channels}");
    let lines: Vec<_> = description.lines().filter_map(|line| line.strip_prefix(&prefix)).collect();
    assert_eq!(lines.len(), 2, "{description}");
    let digits: Vec<u8> = lines[usize::from(high_quality)].bytes().map(|digit| digit - b'0').collect();
    let mut mapping = digits[2..].to_vec();
    assert_eq!(mapping.len(), usize::from(channels));
    if !high_quality {
        let last = mapping.pop().unwrap();
        mapping.insert(3, last);
    }
    OpusLayout { streams: digits[0], coupled: digits[1], mapping }
}

#[test]
fn surround_is_read_as_it_is_coded() {
    let offered = offer(ALL, false);
    let description = describe(&offered);
    for Surround { normal, high } in offered.surround {
        let channels = normal.mapping.len() as u8;
        assert_eq!(as_a_client_reads(&description, channels, false), normal);
        assert_eq!(as_a_client_reads(&description, channels, true), high);
    }
}

proptest! {
    #[test]
    fn random_lines_never_panic(body in "(a=[ -~]{0,20}:[ -~]{0,12}\r?\n?){0,10}") {
        let _ = parse_announce(&body, NORMAL, ALL);
    }

    #[test]
    fn random_numbers_give_values_in_range(
        index in 0usize..20,
        value in prop_oneof![any::<u32>(), 0u32..10_000],
    ) {
        let name = ANNOUNCE.lines().filter_map(|l| l.strip_prefix("a=")?.split(':').next()).nth(index).unwrap();
        if let Ok(params) = with(name, &value.to_string()) {
            let v = params.video;
            prop_assert!(v.width % 2 == 0 && v.height % 2 == 0 && (1..=16).contains(&v.slices_per_frame));
            prop_assert!(v.fps.num > 0 && v.fps.interval_ns() >= 1_000_000_000 / 243);
        }
    }
}
