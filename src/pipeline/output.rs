//! An output that was made for one player, as the source sees it that shows it. [`crate::outputs`] makes them.

use super::description::Mode;
use futures_util::future::BoxFuture;

/// Belongs to one source, and goes with it.
pub trait VirtualOutput: Send {
    /// Gives it another size and rate. What captures it is told when that is done.
    fn resize(&mut self, mode: Mode) -> BoxFuture<'_, anyhow::Result<()>>;

    /// Takes it away. What captured it has ended.
    fn release(self: Box<Self>) -> BoxFuture<'static, ()>;
}
