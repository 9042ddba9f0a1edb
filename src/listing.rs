//! What `moonpipe pipelines` and `moonpipe sessions` print.

use moonpipe::pipeline::choose::{Choice, Outcome};
use moonpipe::pipeline::library::Library;
use moonpipe::servers::status::SessionStatus;

/// Every description, whether it works here, and why not: one line each, grouped by kind; refused files last.
pub fn listing(library: &Library, choice: &Choice) -> String {
    let entries = library.entries();
    let width = entries.iter().map(|(_, name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    let mut last = "";
    for (kind, name, obstacle) in entries {
        if kind != last {
            text += &format!("{kind}\n");
            last = kind;
        }
        let state = match (kind, obstacle) {
            (_, Some(why)) => format!("cannot work here because {why}"),
            ("encode", None) => encoder_state(choice, name),
            (_, None) => "works".to_owned(),
        };
        text += &format!("  {name:width$}  {state}\n");
    }
    if let Some(pixels) = choice.pixels_per_second() {
        text += &format!(
            "the encoders bear {} million pixels in a second, of all players together\n",
            pixels / 1_000_000
        );
    }
    for refused in &library.refused {
        text += &format!("refused  {refused}\n");
    }
    text
}

fn encoder_state(choice: &Choice, name: &str) -> String {
    let Some(verdict) = choice.verdicts.iter().find(|verdict| verdict.name == name) else {
        return "was not tried".to_owned();
    };
    let codec = verdict.codec;
    match &verdict.outcome {
        Outcome::Works { report, .. } => {
            let chosen = choice.encoder(codec).is_some_and(|best| best.common.name == name);
            let rank = if chosen { format!("chosen for {codec}") } else { format!("spare for {codec}") };
            let without = if report.answers_invalidation { ", goes on without lost frames" } else { "" };
            format!("works, {rank} (rank {}, ten frames in {} ms{without})", verdict.rank, report.millis)
        }
        Outcome::CannotWork(why) => format!("cannot work here because {why}"),
        Outcome::Failed(why) => format!("does not encode here: {why}"),
    }
}

/// A few lines for each session: who plays what, how it goes, and how it ended.
pub fn sessions(sessions: &[SessionStatus]) -> String {
    sessions.iter().map(session).collect()
}

fn session(status: &SessionStatus) -> String {
    let SessionStatus { session, client, seconds, frames, packets, .. } = status;
    let state = match &status.ended {
        Some(why) => format!("ended after {seconds} s: {why}"),
        None => format!("for {seconds} s"),
    };
    let mut text = format!("{session}  {client}  {state}\n");
    if status.stream.is_empty() {
        return text;
    }
    let (kbps, parity) = (status.encoder_kbps, status.fec_percentage);
    let SessionStatus { stream, source, encoder, .. } = status;
    text += &format!("   {source} as {stream} by {encoder}, {kbps} kbit/s and {parity} % parity\n");
    text += &format!(
        "   {} frames ({} key, {} repeated, {} dropped), {} packets ({} given up)\n",
        frames.sent, frames.key, frames.repeated, frames.dropped, packets.sent, packets.dropped
    );
    if let Some(network) = &status.network {
        let percent = |share: f64| (share * 1000.0).round() / 10.0;
        let (before, after) = (percent(network.loss_before), percent(network.loss_after));
        text += &format!(
            "   {before} % of packets lost, {after} % of blocks beyond parity, {} packets rebuilt; parity raised {} times, lowered {}; rate raised {}, lowered {}\n",
            network.recovered_packets,
            network.parity_raised,
            network.parity_lowered,
            network.rate_raised,
            network.rate_lowered
        );
    }
    if status.source_rebuilds + status.encoder_replacements > 0 {
        text += &format!(
            "   source built again {} times, encoder replaced {} times\n",
            status.source_rebuilds, status.encoder_replacements
        );
    }
    let mut healed: Vec<String> =
        status.key_frames.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    if status.unasked_key_frames > 0 {
        healed.push(format!("{} of the encoder's own", status.unasked_key_frames));
    }
    if status.invalidations > 0 {
        healed.push(format!("{} lost frames did without", status.invalidations));
    }
    if !healed.is_empty() {
        text += &format!("   key frames: {}\n", healed.join(", "));
    }
    text
}
