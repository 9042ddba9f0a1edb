//! What `moonpipe pipelines` prints: every description, whether it works here, and why not.

use moonpipe::pipeline::choose::{Choice, Outcome};
use moonpipe::pipeline::library::Library;

/// One line per description, grouped by kind; refused files last.
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
            format!("works, {rank} (rank {}, ten frames in {} ms)", verdict.rank, report.millis)
        }
        Outcome::CannotWork(why) => format!("cannot work here because {why}"),
        Outcome::Failed(why) => format!("does not encode here: {why}"),
    }
}
