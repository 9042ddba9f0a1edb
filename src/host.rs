//! Puts the parts together: start reading here.

use crate::config::{Places, Settings};
use crate::desktop::apps::catalog::Catalog;
use crate::desktop::defaults;
use crate::files;
use crate::identity::{Clients, Identity};
use crate::pipeline::choose::{self, Choice};
use crate::pipeline::description::{AudioDescription, CaptureDescription, SendDescription};
use crate::pipeline::library::{self, Library};
use crate::pipeline::surround;
use crate::protocol::params::Surround;
use crate::protocol::ports::Ports;
use crate::servers::admin::{AdminSocket, Desk};
use crate::servers::control::ControlServer;
use crate::servers::discovery::Discovery;
use crate::servers::media::{MediaKind, MediaSocket};
use crate::servers::nvhttp::{self, HostOffer, Listeners, NvHttp, PairingDesk};
use crate::servers::{rtsp, tcp, udp};
use crate::session::{Apps, Captures, Equipment, Hush, Sessions};
use anyhow::{Context, bail};
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Runs the host until a signal ends it. Takes the runtime's threads only for what never blocks.
pub async fn serve(places: Places, settings: Settings) -> anyhow::Result<()> {
    allow_many_descriptors();
    // Before anything that takes time, so that a signal during the start ends it cleanly too.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let host = tokio::select! {
        host = Host::start(&places, &settings) => host?,
        signal = either(&mut terminate, &mut interrupt) => {
            tracing::info!("{signal} before the host was ready");
            return Ok(());
        }
    };
    host.announce(&places);
    let signal = either(&mut terminate, &mut interrupt).await;
    tracing::info!("{signal}: telling the clients and ending");
    tokio::select! {
        () = host.end() => Ok(()),
        signal = either(&mut terminate, &mut interrupt) => bail!("a second {signal}: ended at once"),
    }
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "Ctrl-C",
    }
}

/// A host that is up.
struct Host {
    name: String,
    ports: Ports,
    sessions: Sessions,
    servers: JoinSet<()>,
    stop: CancellationToken,
    media: [Arc<MediaSocket>; 2],
    _discovery: Option<Discovery>,
    _lock: StateLock,
}

impl Host {
    async fn start(places: &Places, settings: &Settings) -> anyhow::Result<Self> {
        let lock = StateLock::take(&places.state_dir)?;
        match files::sweep(&places.state_dir) {
            Ok(0) => {}
            Ok(count) => tracing::info!("{count} half-written files of a host that was killed are gone"),
            Err(error) => tracing::warn!("cannot tidy {}: {error}", places.state_dir.display()),
        }
        let sockets = Sockets::bind(settings.ports)?;
        let identity = Arc::new(Identity::load_or_create(&places.state_dir)?);
        let clients = Clients::load(&places.state_dir)?;
        let apps = Apps::new(Catalog::open(places.apps_file())?, &identity.unique_id);
        apps.sweep().await;
        defaults::restore_left(&places.state_dir).await;
        let (descriptions, choice) = pipelines(places, settings).await?;
        let name = settings
            .name
            .clone()
            .unwrap_or_else(|| gethostname::gethostname().to_string_lossy().into_owned());
        let offer =
            Arc::new(HostOffer { name: name.clone(), codecs: choice.codecs(), ports: settings.ports });
        let media = [sockets.video.clone(), sockets.audio.clone()];
        let (listeners, rtsp_listener, equipment) =
            sockets.equip(places, settings, clients.clone(), apps, descriptions, choice)?;
        let sessions = Sessions::new(equipment);
        let desk = PairingDesk::new(identity.clone(), clients.clone());
        let admin = AdminSocket::bind(&places.state_dir)?;
        let stop = CancellationToken::new();
        let mut servers = JoinSet::new();
        let pairing = desk.clone();
        let nvhttp = NvHttp { identity, clients, sessions: Arc::new(sessions.clone()), offer, pairing };
        servers.spawn(nvhttp::serve(listeners, nvhttp, stop.clone()));
        servers.spawn(rtsp::serve(rtsp_listener, Arc::new(sessions.clone()), stop.clone()));
        let desk =
            Desk { pairing: desk, sessions: Arc::new(sessions.clone()), sources: Arc::new(sessions.clone()) };
        servers.spawn(admin.serve(desk, stop.clone()));
        let discovery = Discovery::start(&name, settings.ports.http())
            .inspect_err(|error| tracing::warn!("Moonlight must be told this host's address: {error:#}"))
            .ok();
        let ports = settings.ports;
        Ok(Self { name, ports, sessions, servers, stop, media, _discovery: discovery, _lock: lock })
    }

    /// Says on stdout that every port answers, and on stderr what to do next.
    fn announce(&self, places: &Places) {
        let p = self.ports;
        eprintln!("{}", self.next_steps(places));
        println!(
            "ready http={} https={} rtsp={} video={} control={} audio={}",
            p.http(),
            p.https(),
            p.rtsp(),
            p.video(),
            p.control(),
            p.audio()
        );
    }

    fn next_steps(&self, places: &Places) -> String {
        let binary = std::env::current_exe().map(|p| p.display().to_string()).unwrap_or("moonpipe".into());
        let addresses = addresses();
        let port = match self.ports.http() {
            Ports::DEFAULT_BASE => String::new(),
            port => format!(":{port}"),
        };
        let options = Places::find(None, None)
            .ok()
            .filter(|default| default.state_dir == places.state_dir)
            .map_or_else(|| format!(" --state-dir {}", places.state_dir.display()), |_| String::new());
        let shown = addresses.iter().map(|a| format!("{a}{port}")).collect::<Vec<_>>().join(", ");
        format!(
            "\n  {} is ready on {shown}\n  Open Moonlight, choose {} (or add {}{port} by hand), then type:\n\n      {binary}{options} pair PIN\n",
            self.name,
            self.name,
            addresses.first().map_or("127.0.0.1", |a| a.as_str()),
        )
    }

    /// Clients are told, then every server ends.
    async fn end(mut self) {
        self.sessions.close().await;
        self.stop.cancel();
        while let Some(ended) = self.servers.join_next().await {
            if let Err(panic) = ended {
                tracing::error!("a server failed: {panic}");
            }
        }
        for socket in &self.media {
            socket.stop();
        }
    }
}

/// All ports of the host, bound before anything else is promised.
struct Sockets {
    nvhttp: Listeners,
    rtsp: TcpListener,
    video: Arc<MediaSocket>,
    audio: Arc<MediaSocket>,
    control: std::net::UdpSocket,
}

impl Sockets {
    fn bind(ports: Ports) -> anyhow::Result<Self> {
        let taken = |what: &str, port: u16| {
            format!(
                "cannot listen on the {what} port {port}: does another host run? Choose another --port, or end that one"
            )
        };
        let listen = |what, port| tcp::listen(port).with_context(|| taken(what, port));
        Ok(Self {
            nvhttp: Listeners { http: listen("HTTP", ports.http())?, https: listen("HTTPS", ports.https())? },
            rtsp: listen("RTSP", ports.rtsp())?,
            video: MediaSocket::bind(MediaKind::Video, ports.video())
                .with_context(|| taken("video", ports.video()))?,
            audio: MediaSocket::bind(MediaKind::Audio, ports.audio())
                .with_context(|| taken("audio", ports.audio()))?,
            control: udp::bind(ports.control()).with_context(|| taken("control", ports.control()))?,
        })
    }

    fn equip(
        self,
        places: &Places,
        settings: &Settings,
        clients: Clients,
        apps: Apps,
        descriptions: Descriptions,
        choice: Choice,
    ) -> anyhow::Result<(Listeners, TcpListener, Equipment)> {
        let equipment = Equipment {
            ports: settings.ports,
            clients,
            choice,
            surround: descriptions.surround,
            apps,
            captures: Captures::new(descriptions.captures, &descriptions.source, places.state_dir.clone())?,
            audio_description: descriptions.audio,
            hush: Hush::new(places.state_dir.clone()),
            send_video: descriptions.send_video,
            send_audio: descriptions.send_audio,
            send: settings.send.clone(),
            displays: settings.displays,
            players: settings.players,
            input: settings.input.clone(),
            control: ControlServer::start(self.control)?,
            video_socket: self.video,
            audio_socket: self.audio,
        };
        Ok((self.nvhttp, self.rtsp, equipment))
    }
}

/// What the settings choose from the library.
struct Descriptions {
    captures: BTreeMap<String, CaptureDescription>,
    source: String,
    audio: AudioDescription,
    surround: Vec<Surround>,
    send_video: SendDescription,
    send_audio: SendDescription,
}

impl Descriptions {
    fn choose(library: &Library, settings: &Settings) -> anyhow::Result<Self> {
        library::named(&library.capture, &settings.source, "source")?;
        let audio = library::named(&library.audio, &settings.audio, "audio")?;
        Ok(Self {
            captures: library.capture.clone(),
            source: settings.source.clone(),
            surround: surround::find_out(audio.codes_apart()),
            audio,
            send_video: library::named(&library.send, "video", "send")?,
            send_audio: library::named(&library.send, "audio", "send")?,
        })
    }
}

/// Reads the descriptions and finds out what encodes here. Takes a second or more the first time.
async fn pipelines(places: &Places, settings: &Settings) -> anyhow::Result<(Descriptions, Choice)> {
    let (user, cache, settings) = (places.pipelines_dir(), places.cache_dir.clone(), settings.clone());
    let (descriptions, choice) = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
        crate::pipeline::init()?;
        let library = Library::load(Some(&user));
        for refused in &library.refused {
            tracing::warn!("{refused}");
        }
        let descriptions = Descriptions::choose(&library, &settings)?;
        Ok((descriptions, choose::choose(&library, &cache)))
    })
    .await??;
    choice.log();
    if choice.codecs().is_empty() {
        bail!("no encoder works on this machine: `moonpipe pipelines` says why");
    }
    Ok((descriptions, choice))
}

/// Keeps a second host out of the state folder; a host that is killed lets go of it.
pub struct StateLock {
    _file: File,
}

impl StateLock {
    fn take(state_dir: &Path) -> anyhow::Result<Self> {
        files::create_private_folder(state_dir)
            .with_context(|| format!("cannot make the state folder {}", state_dir.display()))?;
        let path = state_dir.join("host.lock");
        let file = files::open_lock(&path).with_context(|| format!("cannot write {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => bail!(
                "another host uses the state folder {}: give this one its own with --state-dir",
                state_dir.display()
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }
}

/// Clients hold connections, and every stream holds descriptors: the usual limit of 1024 is the soft one only.
fn allow_many_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!("the limit of descriptors stays: {error}");
    }
}

/// Addresses of this machine that a client may be told, IPv4 first.
fn addresses() -> Vec<String> {
    let mut interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    interfaces.retain(|i| !i.is_loopback() && !i.is_link_local());
    interfaces.sort_by_key(|i| i.ip().is_ipv6());
    interfaces
        .iter()
        .map(|i| match i.ip() {
            std::net::IpAddr::V4(ip) => ip.to_string(),
            std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_folder_serves_one_host() {
        let folder = tempfile::tempdir().unwrap();
        let first = StateLock::take(folder.path()).unwrap();
        let said = StateLock::take(folder.path()).err().unwrap().to_string();
        assert!(said.contains("--state-dir"), "{said}");
        drop(first);
        StateLock::take(folder.path()).unwrap();
    }
}
