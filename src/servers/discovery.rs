//! Lets clients on the local network find this host: mDNS `_nvstream._tcp`.

use anyhow::Context;
use mdns_sd::{ServiceDaemon, ServiceInfo};
use std::time::Duration;

const SERVICE: &str = "_nvstream._tcp.local.";
/// A label of a DNS name has at most 63 bytes.
const LABEL_BYTES: usize = 63;
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// The announcement. Says goodbye when it is dropped, which takes some milliseconds.
pub struct Discovery {
    daemon: ServiceDaemon,
    instance: String,
}

impl Discovery {
    /// Announces `name` with the HTTP port on every interface, now and later. Needs no daemon of the system. `port` is
    /// the base that others on this machine do not have, so it keeps several hosts of one name apart.
    pub fn start(name: &str, http_port: u16) -> anyhow::Result<Self> {
        let daemon =
            ServiceDaemon::new().context("cannot start mDNS: clients must be given this host's address")?;
        let service = service(name, http_port)?;
        let instance = service.get_fullname().to_owned();
        daemon.register(service).context("cannot announce this host by mDNS")?;
        Ok(Self { daemon, instance })
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        if let Ok(goodbye) = self.daemon.unregister(&self.instance) {
            let _ = goodbye.recv_timeout(GOODBYE);
        }
        if let Ok(over) = self.daemon.shutdown() {
            let _ = over.recv_timeout(GOODBYE);
        }
    }
}

fn service(name: &str, http_port: u16) -> anyhow::Result<ServiceInfo> {
    // A host name of its own: the system's responder may hold the plain one.
    let host = format!("{}-{http_port}.local.", label(name, LABEL_BYTES - 6));
    let instance = instance(name, http_port);
    let service = ServiceInfo::new(SERVICE, &instance, &host, (), http_port, None)
        .with_context(|| format!("mDNS cannot carry the name {name:?}"))?;
    Ok(service.enable_addr_auto())
}

/// Free text, but for dots, at which some clients cut it.
fn instance(name: &str, http_port: u16) -> String {
    let suffix = if http_port == crate::protocol::ports::Ports::DEFAULT_BASE {
        String::new()
    } else {
        format!(" {http_port}")
    };
    let name: String = name.chars().map(|c| if c == '.' || c.is_control() { '-' } else { c }).collect();
    let end = name.floor_char_boundary(LABEL_BYTES - suffix.len());
    let name = name[..end].trim();
    format!("{}{suffix}", if name.is_empty() { "moonpipe" } else { name })
}

/// Letters, digits and hyphens.
fn label(name: &str, bytes: usize) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(bytes).collect();
    match plain.trim_matches('-') {
        "" => "moonpipe".to_owned(),
        label => label.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mdns_sd::ServiceEvent;
    use std::time::Instant;

    #[test]
    fn names_fit_dns() {
        assert_eq!(instance("den", 47989), "den");
        assert_eq!(instance("den.example.org", 48989), "den-example-org 48989");
        assert_eq!(instance(" ", 47989), "moonpipe");
        assert_eq!(label("Größe 9", 57), "Gr--e-9");
        for name in ["", "é", &"é".repeat(100), &"x.".repeat(100), "\u{0}\u{1}"] {
            let service = service(name, 65514).unwrap();
            assert!(service.get_fullname().split('.').all(|label| label.len() <= LABEL_BYTES), "{name}");
            assert!(service.get_hostname().split('.').all(|label| label.len() <= LABEL_BYTES), "{name}");
        }
    }

    /// Browses until an event of this instance satisfies `wanted`.
    fn wait_for(events: &mdns_sd::Receiver<ServiceEvent>, wanted: impl Fn(&ServiceEvent) -> bool) {
        let until = Instant::now() + Duration::from_secs(20);
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            if events.recv_timeout(left).is_ok_and(|event| wanted(&event)) {
                return;
            }
        }
        panic!("the event did not come");
    }

    #[test]
    fn found_and_gone() {
        let name = format!("moonpipe test {}", std::process::id());
        let browser = ServiceDaemon::new().unwrap();
        let events = browser.browse(SERVICE).unwrap();
        let discovery = Discovery::start(&name, 48123).unwrap();
        let instance = discovery.instance.clone();
        wait_for(&events, |event| {
            matches!(event, ServiceEvent::ServiceResolved(found)
                if found.fullname == instance && found.port == 48123 && !found.addresses.is_empty())
        });
        drop(discovery);
        wait_for(
            &events,
            |event| matches!(event, ServiceEvent::ServiceRemoved(_, gone) if *gone == instance),
        );
        browser.shutdown().unwrap();
    }
}
