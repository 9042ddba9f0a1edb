//! Wakes portal backends that sleep on what they were asked.
//!
//! A backend that the bus starts with a question may read the question while it still asks the bus for its name. One
//! that then waits for more before it looks at what it has (xdg-desktop-portal-wlr before 0.8) answers nobody; the
//! portal, which waits for it, neither, until D-Bus gives up after 25 s. Any further message wakes it.

use futures_util::future::join_all;
use std::convert::Infallible;
use std::time::Duration;
use zbus::message::Flags;
use zbus::names::{BusName, OwnedBusName};
use zbus::{Connection, Message};

/// Names of all backends begin like this.
const BACKEND: &str = "org.freedesktop.impl.portal.";
/// Backends that ask nobody answer sooner.
const FIRST: Duration = Duration::from_millis(250);
/// A person may think.
const LONGEST: Duration = Duration::from_secs(8);

/// What comes of `answer`, which a portal on this bus owes; without an address on that of the session.
pub(super) async fn while_asking<T>(bus: Option<&str>, answer: impl Future<Output = T>) -> T {
    tokio::select! {
        biased;
        answer = answer => answer,
        never = wake_again_and_again(bus) => match never {},
    }
}

async fn wake_again_and_again(bus: Option<&str>) -> Infallible {
    let mut pause = FIRST;
    let mut connection = None;
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
        if let Err(error) = wake(bus, &mut connection).await {
            tracing::debug!("no portal backend can be woken: {error}");
            connection = None;
        }
    }
}

async fn wake(bus: Option<&str>, connection: &mut Option<Connection>) -> zbus::Result<()> {
    let connection = match connection {
        Some(connection) => connection,
        none => none.insert(connect(bus).await?),
    };
    let names = zbus::fdo::DBusProxy::new(connection).await?.list_names().await?;
    let backends = names.iter().filter(|name| is_backend(name));
    join_all(backends.map(|name| say_something(connection, name.inner()))).await.into_iter().collect()
}

async fn connect(bus: Option<&str>) -> zbus::Result<Connection> {
    match bus {
        Some(address) => zbus::connection::Builder::address(address)?.build().await,
        None => Connection::session().await,
    }
}

fn is_backend(name: &OwnedBusName) -> bool {
    name.as_str().starts_with(BACKEND)
}

/// Nothing that is answered, and nothing that would start another.
async fn say_something(connection: &Connection, backend: &BusName<'_>) -> zbus::Result<()> {
    let ping = Message::method_call("/", "Ping")?
        .destination(backend)?
        .interface("org.freedesktop.DBus.Peer")?
        .with_flags(Flags::NoReplyExpected)?
        .with_flags(Flags::NoAutoStart)?
        .build(&())?;
    connection.send(&ping).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desktop::test_bus::Bus;
    use futures_util::StreamExt;
    use zbus::MessageStream;

    const LIMIT: Duration = Duration::from_secs(10);

    async fn service(address: &str, name: &str) -> MessageStream {
        let connection = zbus::connection::Builder::address(address).unwrap().name(name.to_owned()).unwrap();
        MessageStream::from(connection.build().await.unwrap())
    }

    /// The next call of a method.
    async fn called(service: &mut MessageStream) -> String {
        loop {
            let message = service.next().await.expect("the bus goes on").unwrap();
            if message.message_type() == zbus::message::Type::MethodCall {
                return message.header().member().unwrap().to_string();
            }
        }
    }

    #[tokio::test]
    async fn every_backend_hears_something_again_and_again_until_there_is_an_answer() {
        let (_bus, address) = Bus::start();
        let mut backend = service(&address, "org.freedesktop.impl.portal.desktop.test").await;
        let mut other = service(&address, "org.freedesktop.portal.Desktop").await;
        let answer =
            async { (called(&mut backend).await, called(&mut backend).await, called(&mut backend).await) };
        let ping = || "Ping".to_owned();
        let answer = tokio::time::timeout(LIMIT, while_asking(Some(&address), answer)).await;
        assert_eq!(answer, Ok((ping(), ping(), ping())));
        // Nobody else was meant; this one's first call is that of a client.
        let client = connect(Some(&address)).await.unwrap();
        let name = BusName::try_from("org.freedesktop.portal.Desktop").unwrap();
        let last = Message::method_call("/", "Last").unwrap().destination(name).unwrap();
        client.send(&last.build(&()).unwrap()).await.unwrap();
        assert_eq!(tokio::time::timeout(LIMIT, called(&mut other)).await.as_deref(), Ok("Last"));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_bus_an_answer_is_waited_for_all_the_same() {
        let nowhere = Some("unix:path=/nowhere");
        wake(nowhere, &mut None).await.unwrap_err();
        let answer = async {
            tokio::time::sleep(20 * FIRST).await;
            "answer"
        };
        assert_eq!(while_asking(nowhere, answer).await, "answer");
    }
}
