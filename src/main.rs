//! The `moonpipe` program: reads the command line and hands over to the library.

mod cli;
mod listing;

use anyhow::Context;
use clap::Parser;
use cli::{Cli, ClientsAction, Command, Common};
use moonpipe::config::{self, ConfigError, Places, Settings};
use moonpipe::host;
use moonpipe::identity::{Clients, Permissions};
use moonpipe::memory;
use moonpipe::pipeline::probe;
use moonpipe::pipeline::{self, library::Library, library::UnknownDescription};
use moonpipe::servers::admin::{self, Reply, Request};
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The command line or the configuration makes no sense.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::ProbeEncoder { arguments } = &cli.command {
        return probe::run_child(arguments);
    }
    if let Err(reason) = start_log(&cli.common.log) {
        eprintln!("moonpipe: {reason}");
        return ExitCode::from(USAGE);
    }
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("moonpipe: {error:#}");
            let usage = error.is::<ConfigError>() || error.is::<Usage>() || error.is::<UnknownDescription>();
            ExitCode::from(if usage { USAGE } else { 1 })
        }
    }
}

/// A value on the command line that clap cannot judge.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let named = cli.common.config.is_some();
    let Common { config, state_dir, .. } = cli.common;
    let places = Places::find(config, state_dir)?;
    let settings = config::load(&places.config_file, named)?;
    match cli.command {
        Command::Serve { port, source, audio } => {
            serve(places, overridden(settings, port, source, audio)?).map(|()| ExitCode::SUCCESS)
        }
        Command::Pair { name, pin } => pair(&places, pin, name),
        Command::Clients { action: None } => list_clients(&places).map(|()| ExitCode::SUCCESS),
        Command::Clients { action: Some(ClientsAction::Remove { name }) } => remove_client(&places, &name),
        Command::Clients { action: Some(ClientsAction::Permit { name, may }) } => permit(&places, &name, may),
        Command::Sessions { json } => list_sessions(&places, json),
        Command::Switch { source } => switch(&places, source),
        Command::Pipelines => list_pipelines(&places),
        Command::ProbeEncoder { .. } => unreachable!("handled before the log starts"),
    }
}

fn overridden(
    mut settings: Settings,
    port: Option<u16>,
    source: Option<String>,
    audio: Option<String>,
) -> Result<Settings, Usage> {
    if let Some(port) = port {
        settings.ports = config::ports(port).map_err(|reason| Usage(format!("--port: {reason}")))?;
    }
    settings.source = source.unwrap_or(settings.source);
    settings.audio = audio.unwrap_or(settings.audio);
    Ok(settings)
}

fn serve(places: Places, settings: Settings) -> anyhow::Result<()> {
    memory::share_heap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("moonpipe-async")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(host::serve(places, settings));
    // An encoder may still be tried, for a host that ends before it was ready: nobody waits for the outcome.
    runtime.shutdown_timeout(Duration::from_millis(500));
    result
}

fn pair(places: &Places, pin: String, name: Option<String>) -> anyhow::Result<ExitCode> {
    match ask(places, &Request::Pair { pin, name })? {
        Reply::Told { name, address, others } => {
            println!("told the client at {address}: it is paired as {name} if the PIN is right");
            if others > 0 {
                println!("{others} more wait for a PIN");
            }
            Ok(ExitCode::SUCCESS)
        }
        Reply::NobodyWaits => {
            anyhow::bail!(
                "no client waits for a PIN: choose this host in Moonlight first, then type the PIN that it shows"
            )
        }
        other => not_answered(other),
    }
}

fn list_sessions(places: &Places, json: bool) -> anyhow::Result<ExitCode> {
    match ask(places, &Request::Sessions)? {
        Reply::Sessions(sessions) if json => println!("{}", serde_json::to_string_pretty(&sessions)?),
        Reply::Sessions(sessions) if sessions.is_empty() => eprintln!("nobody has played yet"),
        Reply::Sessions(sessions) => print!("{}", listing::sessions(&sessions)),
        other => return not_answered(other),
    }
    Ok(ExitCode::SUCCESS)
}

fn switch(places: &Places, source: String) -> anyhow::Result<ExitCode> {
    match ask(places, &Request::Switch { source: source.clone() })? {
        Reply::Switched { players: 0 } => println!("nobody plays; the next session sees {source}"),
        Reply::Switched { players: 1 } => println!("the one who plays sees {source} now"),
        Reply::Switched { players } => println!("all {players} who play see {source} now"),
        Reply::ShownAlready => println!("{source} is what is shown already"),
        other => return not_answered(other),
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks the host that runs with this state folder.
fn ask(places: &Places, request: &Request) -> anyhow::Result<Reply> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(admin::ask(&places.state_dir, request))
}

fn not_answered(reply: Reply) -> anyhow::Result<ExitCode> {
    match reply {
        Reply::Refused { reason } => anyhow::bail!("the host refused: {reason}"),
        other => anyhow::bail!("the host answers something else: {other:?}"),
    }
}

fn list_clients(places: &Places) -> anyhow::Result<()> {
    let clients = Clients::load(&places.state_dir)?.list();
    for client in &clients {
        let may = if client.may.is_everything() { String::new() } else { format!("  may do {}", client.may) };
        println!("{}  {}{may}", client.name, client.fingerprint);
    }
    if clients.is_empty() {
        eprintln!("no client is paired");
    }
    Ok(())
}

fn remove_client(places: &Places, name: &str) -> anyhow::Result<ExitCode> {
    let clients = Clients::load(&places.state_dir)?;
    if clients.remove(name)? {
        println!("removed {name}");
        return Ok(ExitCode::SUCCESS);
    }
    Err(no_such_client(&clients, name))
}

fn permit(places: &Places, name: &str, may: Permissions) -> anyhow::Result<ExitCode> {
    let clients = Clients::load(&places.state_dir)?;
    if clients.permit(name, may)? {
        println!("{name} may do {may}, from its next launch on");
        return Ok(ExitCode::SUCCESS);
    }
    Err(no_such_client(&clients, name))
}

fn no_such_client(clients: &Clients, name: &str) -> anyhow::Error {
    let known: Vec<_> = clients.list().into_iter().map(|client| client.name).collect();
    anyhow::anyhow!("no client is named {name}; paired are: {}", known.join(", "))
}

fn list_pipelines(places: &Places) -> anyhow::Result<ExitCode> {
    pipeline::init()?;
    let library = Library::load(Some(&places.pipelines_dir()));
    let choice = pipeline::choose::choose(&library, &places.cache_dir);
    print!("{}", listing::listing(&library, &choice));
    Ok(ExitCode::SUCCESS)
}

fn start_log(level: &str) -> Result<(), String> {
    // `Targets` takes a bare word for a target, which silences everything else.
    let sound = level.split(',').all(|part| part.contains('=') || part.parse::<LevelFilter>().is_ok());
    let filter: Targets =
        level.parse().ok().filter(|_| sound).ok_or_else(|| {
            format!("--log {level}: choose error, warn, info, debug, trace, or target=level")
        })?;
    // It warns of every answer to a call that its caller has not awaited; ashpd makes such calls.
    let filter = match level.contains("zbus") {
        true => filter,
        false => filter.with_target("zbus", LevelFilter::ERROR),
    };
    // What it calls errors are its clients'.
    let filter = match level.contains("smithay") {
        true => filter,
        false => filter.with_target("smithay", LevelFilter::OFF),
    };
    let colour = std::io::stderr().is_terminal();
    let output = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colour);
    tracing_subscriber::registry().with(output).with(filter).init();
    Ok(())
}
