//! Packets that do not arrive.

use crate::harness::client::Client;
use crate::harness::host::{Host, Setup};
use crate::harness::relay::{AllThatFecCanBear, Relay};
use crate::harness::turn;

/// A picture that no encoder can make small: the stream really is as wide as it was asked for.
const NOISE: (&str, &str) = (
    "capture/noise.toml",
    r#"rank = 1
needs = ["videotestsrc"]
launch = "videotestsrc is-live=true pattern=snow ! video/x-raw,format=I420,width={width},height={height},framerate={fps}"
"#,
);

#[test]
fn three_percent_at_40_mbit_is_recovered() {
    let _turn = turn();
    let config = "[send]\nloss-percentage = 3.0\nloss-seed = 7\nfec-percentage = 20\n";
    let host = Host::with(&Setup {
        config,
        pipelines: &[NOISE],
        arguments: &["--source", "noise"],
        ..Setup::default()
    });
    let report = Client::paired(&host).stream(10, &["--bitrate", "40000"]);
    println!("{report:#?}");
    assert_eq!(report.lost, 0, "{report:#?}");
    assert_eq!((report.unrecoverable, report.corrupt_recoveries), (0, 0), "{report:#?}");
    assert!(report.fec_recovered > 100, "{report:#?}");
    assert!(report.mbps > 20.0, "the stream is as wide as it was asked for: {report:#?}");
    report.assert_rate(60.0);
}

#[test]
fn as_many_as_there_is_parity_are_recovered_at_any_rate() {
    let _turn = turn();
    let host =
        Host::with(&Setup { pipelines: &[NOISE], arguments: &["--source", "noise"], ..Setup::default() });
    let client = Client::paired(&host);
    for kbps in ["2000", "10000", "40000", "80000"] {
        let mut fec = AllThatFecCanBear::seeded(kbps.parse().expect("a number"));
        let relay = Relay::start(host.port("video"), move |packet| fec.loses(packet));
        let port = relay.port.to_string();
        let report =
            client.stream(3, &["--bitrate", kbps, "--encrypt", "none", "--video-port", &port, "--decode"]);
        println!(
            "{kbps} kbit/s: {} passed, {} lost, {} recovered",
            relay.passed(),
            relay.lost(),
            report.fec_recovered
        );
        assert!(
            relay.lost() * 8 > relay.passed(),
            "the relay loses a sixth: {} of {}",
            relay.lost(),
            relay.passed()
        );
        assert_eq!(report.lost, 0, "{kbps} kbit/s: {report:#?}");
        assert_eq!((report.unrecoverable, report.corrupt_recoveries), (0, 0), "{report:#?}");
        assert_eq!(report.decode_errors, 0, "{report:#?}");
        assert!(report.fec_recovered > 0, "{report:#?}");
    }
}
