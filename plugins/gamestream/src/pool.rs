//! Buffers of any length that come back.

use gst::prelude::*;

/// A buffer pool that starts anew with larger buffers when a longer one is asked of it.
#[derive(Debug)]
pub struct GrowingPool {
    /// Bytes of the first buffers: what nearly all need, so that the pool settles at once.
    smallest: usize,
    pool: Option<(gst::BufferPool, usize)>,
}

impl GrowingPool {
    pub fn new(smallest: usize) -> Self {
        Self { smallest, pool: None }
    }

    /// A buffer of `len` bytes with old content.
    pub fn acquire(&mut self, len: usize) -> Result<gst::Buffer, gst::FlowError> {
        let pool = match self.pool.take() {
            Some((pool, size)) if size >= len => (pool, size),
            outgrown => {
                outgrown.inspect(|(pool, _)| stop(pool));
                start(len.next_power_of_two().max(self.smallest))?
            }
        };
        let (pool, _) = self.pool.insert(pool);
        let mut buffer = pool.acquire_buffer(None)?;
        buffer.get_mut().expect("a buffer just acquired has one owner").set_size(len);
        Ok(buffer)
    }
}

impl Drop for GrowingPool {
    fn drop(&mut self) {
        self.pool.take().inspect(|(pool, _)| stop(pool));
    }
}

fn start(size: usize) -> Result<(gst::BufferPool, usize), gst::FlowError> {
    let pool = gst::BufferPool::new();
    let mut config = pool.config();
    config.set_params(None, size.try_into().map_err(|_| gst::FlowError::Error)?, 0, 0);
    pool.set_config(config).and_then(|()| pool.set_active(true)).map_err(|_| gst::FlowError::Error)?;
    Ok((pool, size))
}

/// Buffers that are still under way are freed when they come back.
fn stop(pool: &gst::BufferPool) {
    pool.set_active(false).expect("a plain pool always stops");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_and_grow() {
        gst::init().unwrap();
        let mut pool = GrowingPool::new(256 * 1024);
        let first = pool.acquire(1000).unwrap();
        assert_eq!(first.size(), 1000);
        let memory = first.peek_memory(0).as_ptr();
        drop(first);
        let again = pool.acquire(200_000).unwrap();
        assert_eq!((again.size(), again.peek_memory(0).as_ptr()), (200_000, memory));
        let longer = pool.acquire(256 * 1024 + 1).unwrap();
        assert_eq!(longer.size(), 256 * 1024 + 1);
        drop(again);
        assert_eq!(pool.acquire(5).unwrap().size(), 5);
    }
}
