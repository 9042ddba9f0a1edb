//! Memory that a client shares, filled with one color.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use wayland_client::protocol::{wl_buffer::WlBuffer, wl_shm, wl_shm::WlShm};
use wayland_client::{Dispatch, QueueHandle};

/// The file behind a buffer, and the buffer. Opaque.
pub fn buffer<D>(shm: &WlShm, queue: &QueueHandle<D>, size: (i32, i32), color: u32) -> (File, WlBuffer)
where
    D: Dispatch<WlBuffer, ()> + Dispatch<wayland_client::protocol::wl_shm_pool::WlShmPool, ()> + 'static,
{
    painted(shm, queue, size, wl_shm::Format::Xrgb8888, |_, _| color | 0xff00_0000)
}

/// The same with a color for each pixel.
pub fn painted<D>(
    shm: &WlShm,
    queue: &QueueHandle<D>,
    size: (i32, i32),
    format: wl_shm::Format,
    color: impl Fn(i32, i32) -> u32,
) -> (File, WlBuffer)
where
    D: Dispatch<WlBuffer, ()> + Dispatch<wayland_client::protocol::wl_shm_pool::WlShmPool, ()> + 'static,
{
    let (width, height) = size;
    let file = tempfile::tempfile().expect("a file to share");
    for y in 0..height {
        let row: Vec<u8> = (0..width).flat_map(|x| color(x, y).to_le_bytes()).collect();
        file.write_all_at(&row, y as u64 * row.len() as u64).expect("room for pixels");
    }
    let bytes = width * height * 4;
    let pool = shm.create_pool(file.as_fd(), bytes, queue, ());
    let buffer = pool.create_buffer(0, width, height, width * 4, format, queue, ());
    pool.destroy();
    (file, buffer)
}
