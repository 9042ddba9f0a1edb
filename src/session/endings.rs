//! What is being ended of each client, so that what the client begins next comes after it.

use crate::identity::Fingerprint;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longest that a launch waits for what its client had before: an app has as long to end by itself, and is ended by force then.
const LIMIT: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(super) struct Endings {
    all: TaskTracker,
    /// Cancelled when they are over.
    by_client: Mutex<HashMap<Fingerprint, Vec<CancellationToken>>>,
}

impl Endings {
    /// Ends something of `client`, whether anybody waits or not.
    pub fn spawn(
        &self,
        client: Fingerprint,
        ending: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let over = CancellationToken::new();
        self.by_client().entry(client).or_default().push(over.clone());
        self.all.spawn(async move {
            let _over = over.drop_guard();
            ending.await;
        })
    }

    /// Waits until nothing of `client` is being ended, for as long as that is worth waiting for.
    pub async fn settled(&self, client: &Fingerprint) {
        let settled = async {
            while let Some(next) = self.next(client) {
                next.cancelled().await;
            }
        };
        if timeout(LIMIT, settled).await.is_err() {
            tracing::warn!("what a client had before does not end within {} s", LIMIT.as_secs());
        }
    }

    /// Waits for all of everybody; nothing is to be begun any more.
    pub async fn close(&self) {
        self.all.close();
        self.all.wait().await;
    }

    fn next(&self, client: &Fingerprint) -> Option<CancellationToken> {
        let mut by_client = self.by_client();
        let endings = by_client.get_mut(client)?;
        endings.retain(|ending| !ending.is_cancelled());
        let next = endings.first().cloned();
        if next.is_none() {
            by_client.remove(client);
        }
        next
    }

    fn by_client(&self) -> MutexGuard<'_, HashMap<Fingerprint, Vec<CancellationToken>>> {
        self.by_client.lock().expect("nothing panics while it holds the endings")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;
    use tokio::time::Instant;

    const ADA: Fingerprint = Fingerprint([1; 32]);
    const BOB: Fingerprint = Fingerprint([2; 32]);

    #[tokio::test(start_paused = true)]
    async fn a_client_waits_for_its_own_endings_alone_and_not_for_ever() {
        let endings = Endings::default();
        let (end, ended) = oneshot::channel::<()>();
        endings.spawn(ADA, async { _ = ended.await });
        endings.spawn(ADA, async {});
        let begun = Instant::now();
        endings.settled(&BOB).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        endings.settled(&ADA).await;
        assert_eq!(begun.elapsed(), LIMIT, "that one hangs");
        end.send(()).unwrap();
        endings.settled(&ADA).await;
        assert_eq!(begun.elapsed(), LIMIT);
        assert!(endings.by_client().is_empty());
        endings.close().await;
    }

    #[tokio::test]
    async fn an_ending_that_panics_keeps_nobody_waiting() {
        let endings = Endings::default();
        let ending = endings.spawn(ADA, async { panic!("as a test wants it") });
        endings.settled(&ADA).await;
        assert!(ending.await.is_err());
    }
}
