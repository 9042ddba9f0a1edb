//! rtkit, the system service that raises the threads of those who may not do it themselves.

use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::Handle;

const NAME: &str = "org.freedesktop.RealtimeKit1";
const PATH: &str = "/org/freedesktop/RealtimeKit1";

/// Asks on the runtime's threads, never on the one that is to be raised.
#[derive(Clone)]
pub struct Rtkit {
    runtime: Option<Handle>,
}

impl Rtkit {
    /// In the runtime that this is called in; asks nobody outside of one.
    pub fn here() -> Self {
        Self { runtime: Handle::try_current().ok() }
    }

    /// Nice value `nice` for the thread with this kernel id of this process. Once refused, nobody is asked again.
    pub fn ask_for(&self, thread: u64, nice: i32) {
        static REFUSED: AtomicBool = AtomicBool::new(false);
        let Some(runtime) = self.runtime.as_ref().filter(|_| !REFUSED.load(Ordering::Relaxed)) else {
            return;
        };
        runtime.spawn(async move {
            let raised = async { raise(&zbus::Connection::system().await?, thread, nice).await };
            if let Err(error) = raised.await
                && !REFUSED.swap(true, Ordering::Relaxed)
            {
                tracing::debug!("nor does rtkit raise them: {error}");
            }
        });
    }
}

async fn raise(bus: &zbus::Connection, thread: u64, nice: i32) -> zbus::Result<()> {
    bus.call_method(Some(NAME), PATH, Some(NAME), "MakeThreadHighPriority", &(thread, nice)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desktop::test_bus::Bus;
    use std::time::Duration;
    use tokio::sync::mpsc;
    use zbus::connection::Builder;

    struct Service(mpsc::UnboundedSender<(u64, i32)>);

    #[zbus::interface(name = "org.freedesktop.RealtimeKit1")]
    impl Service {
        fn make_thread_high_priority(&self, thread: u64, priority: i32) {
            let _ = self.0.send((thread, priority));
        }
    }

    /// Names and types as rtkit's introspection has them: `t` and `i`.
    #[tokio::test]
    async fn rtkit_is_asked_in_its_words() {
        let (_bus, address) = Bus::start();
        let (report, mut asked) = mpsc::unbounded_channel();
        let client = Builder::address(&*address).unwrap().build().await.unwrap();
        raise(&client, 4711, -10).await.expect_err("nobody serves it yet");
        let service = Builder::address(&*address).unwrap().name(NAME).unwrap();
        let _service = service.serve_at(PATH, Service(report)).unwrap().build().await.unwrap();
        let call = raise(&client, 4711, -10);
        tokio::time::timeout(Duration::from_secs(10), call).await.expect("an answer").unwrap();
        assert_eq!(asked.recv().await, Some((4711, -10)));
    }
}
