//! The command line.

use clap::{Args, Parser, Subcommand};
use moonpipe::identity::Permissions;
use std::path::PathBuf;

/// Play this machine from any Moonlight client.
///
/// Start with `moonpipe serve`, open Moonlight, choose this machine, and type the PIN that it shows:
/// `moonpipe pair PIN`.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Args)]
pub struct Common {
    /// Configuration file [default: $XDG_CONFIG_HOME/moonpipe/config.toml]
    ///
    /// Everything in it is optional. Pipeline descriptions of your own lie in the folder `pipelines` beside it.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Folder for certificate, key and paired clients [default: $XDG_STATE_HOME/moonpipe]
    ///
    /// Two hosts on one machine need a folder and a port each.
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// How much to tell on stderr: error, warn, info, debug, trace, or a list such as info,moonpipe::servers=debug
    #[arg(long, global = true, value_name = "LEVEL", default_value = "info")]
    pub log: String,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the host until Ctrl-C or SIGTERM
    ///
    /// When every port answers, one line goes to stdout:
    /// `ready http=47989 https=47984 rtsp=48010 video=47998 control=47999 audio=48000`
    Serve {
        /// Port that Moonlight is told; all others move with it [default: 47989]
        #[arg(long)]
        port: Option<u16>,

        /// Where the picture comes from: a capture description, see `moonpipe pipelines` [default: test]
        #[arg(long, value_name = "NAME")]
        source: Option<String>,

        /// Where the sound comes from: an audio description, see `moonpipe pipelines` [default: test]
        #[arg(long, value_name = "NAME")]
        audio: Option<String>,
    },

    /// Tell the client that waits the longest the PIN that it shows
    Pair {
        /// What to call it [default: client- and 8 digits of its certificate]
        #[arg(long)]
        name: Option<String>,

        /// The four digits on the client's screen
        #[arg(value_parser = pin)]
        pin: String,
    },

    /// List the clients that may play and what they may do, change that, or remove one
    Clients {
        #[command(subcommand)]
        action: Option<ClientsAction>,
    },

    /// Show who plays, how it goes, and how earlier sessions ended
    ///
    /// Asks the host that runs with this state folder.
    Sessions {
        /// Everything that is known, as JSON
        #[arg(long)]
        json: bool,
    },

    /// Show another source to everybody who plays, and to those who come later, until the host ends
    ///
    /// Nobody reconnects. The new source is started first; when it does not show anything, everything stays as it is.
    Switch {
        /// A capture description, see `moonpipe pipelines`
        source: String,
    },

    /// List the pipeline descriptions, with what works on this machine and why the rest does not
    Pipelines,

    /// Encode ten frames and say how it went (run by the host itself)
    #[command(hide = true)]
    ProbeEncoder {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum ClientsAction {
    /// Take a client's permission to play
    Remove { name: String },

    /// Say what a client may do besides watching, from its next launch on
    ///
    /// A client that may not launch sees the desktop that all see, or the display of another player that is shared
    /// (`others = "share"`), and starts nothing.
    Permit {
        name: String,
        /// launch, everything, or nothing
        may: Permissions,
    },
}

fn pin(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.len() <= 16 && text.bytes().all(|b| b.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err("a PIN is made of digits, as Moonlight shows it".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_stand_before_or_behind_the_command() {
        for words in [
            ["moonpipe", "--state-dir", "/x", "pair", "1234"],
            ["moonpipe", "pair", "1234", "--state-dir", "/x"],
        ] {
            let cli = Cli::try_parse_from(words).unwrap();
            assert_eq!(cli.common.state_dir, Some("/x".into()));
            assert!(matches!(cli.command, Command::Pair { pin, name: None } if pin == "1234"));
        }
    }

    #[test]
    fn a_pin_is_digits() {
        assert!(Cli::try_parse_from(["moonpipe", "pair", "12a4"]).is_err());
    }
}
