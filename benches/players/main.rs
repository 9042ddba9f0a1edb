//! How many players this machine bears at 1280x720 and 60 fps, each with a display of their own, and what limits it.
//!
//! A real host, real clients and the apps share the machine, so that what is found is the least that a host bears whose
//! players are elsewhere. One player comes after the other, until somebody's stream is not what it is to be.

#[path = "../../plugins/gamestream/benches/common/mod.rs"]
mod common;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../tests/system/harness/mod.rs"]
mod harness;
mod launches;
mod machine;
mod party;

use common::{Options, Table, number, print_machine};
use party::{Content, Figures, Party};
use std::time::Duration;

/// Less than that in a second is not 60.
const LEAST_FRAMES: f64 = 58.0;
const LEAST_NEW: f64 = 55.0;

fn main() {
    let Options { quick, .. } = Options::from_args();
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let (most, seconds, launches) = if quick { (2, 3, 2) } else { (8 * cores, 15, 10) };
    print_machine(
        "Players",
        format!(
            "1280x720 at 60 fps, 10 Mbit/s, x264 ultrafast, sealed, with sound and a display each; clients and apps run \
             on the same cores. {seconds} s for each number of players."
        ),
    );
    for content in [Content::Still, Content::Moving] {
        play(content, most, Duration::from_secs(seconds));
    }
    launches::measure(launches);
}

/// More and more, `most` at most.
fn play(content: Content, most: usize, time: Duration) {
    let mut table = Table::new(&[
        "players",
        "frames/s",
        "worst",
        "new ones/s",
        "worst",
        "lost",
        "% of a core for each: host",
        "app",
        "client",
        "all cores: idle %",
        "away %",
    ]);
    let mut party = Party::new(content);
    let mut limit = None;
    for players in 1..=most {
        eprintln!("{content:?}: {players} players");
        party.invite();
        let figures = party.measure(time);
        table.row(row(players, &figures));
        if !is_borne(content, &figures) {
            limit = Some((players - 1, figures));
            break;
        }
    }
    party.end();
    table.print(match content {
        Content::Still => "Nothing moves",
        Content::Moving => "Everything moves",
    });
    match limit {
        None => println!("\nAt least {most}: no more were tried."),
        Some((borne, Figures { fps, new, shares, .. })) => println!(
            "\nIt bears {borne}. With one more the worst gets {} frames a second, {} of them new, and the cores are idle \
             for {} % of the time.",
            number(worst(&fps)),
            number(worst(&new)),
            number(shares.idle)
        ),
    }
}

fn is_borne(content: Content, Figures { fps, new, .. }: &Figures) -> bool {
    worst(fps) >= LEAST_FRAMES && (content == Content::Still || worst(new) >= LEAST_NEW)
}

fn row(players: usize, Figures { fps, new, lost, shares }: &Figures) -> Vec<String> {
    let each = |share: f64| number(share / players as f64);
    vec![
        players.to_string(),
        number(mean(fps)),
        number(worst(fps)),
        number(mean(new)),
        number(worst(new)),
        lost.to_string(),
        each(shares.host),
        each(shares.apps),
        each(shares.clients),
        number(shares.idle),
        number(shares.stolen),
    ]
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn worst(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}
