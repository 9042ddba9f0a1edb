//! Buffers that are drawn into in turn, and how old the picture in each is.

use gst::prelude::*;

/// Buffers that are kept; who holds more at a time gets new ones that are not.
const MOST: usize = 8;

#[derive(Debug)]
struct Slot {
    buffer: gst::Buffer,
    /// The count of the picture that is in it; nothing when it is not known.
    picture: Option<u64>,
}

/// Downstream gets copies that share the memory. So a buffer that somebody uses has shared memory, of which nobody
/// else can write, and what is in a free one is what was drawn there.
#[derive(Debug)]
pub struct Swapchain {
    size: usize,
    params: gst::AllocationParams,
    slots: Vec<Slot>,
    /// Pictures drawn so far.
    pictures: u64,
}

/// A buffer to draw into.
#[derive(Debug)]
pub struct Canvas {
    pub buffer: gst::Buffer,
    /// How many pictures ago its content was the newest; 0 when it is nothing that was drawn.
    pub age: usize,
}

impl Swapchain {
    pub fn new(size: usize, params: gst::AllocationParams) -> Self {
        Self { size, params, slots: Vec::new(), pictures: 0 }
    }

    /// The free buffer with the newest picture.
    pub fn acquire(&mut self) -> Result<Canvas, gst::glib::BoolError> {
        let free = self.slots.iter().enumerate().filter(|(_, slot)| is_free(&slot.buffer));
        if let Some((at, _)) = free.max_by_key(|(_, slot)| slot.picture) {
            let Slot { buffer, picture } = self.slots.swap_remove(at);
            let age = picture.map_or(0, |picture| self.pictures - picture + 1);
            return Ok(Canvas { buffer, age: usize::try_from(age).unwrap_or(0) });
        }
        Ok(Canvas { buffer: self.allocate()?, age: 0 })
    }

    /// Takes back a buffer with a picture, newer than all others, and gives what goes downstream.
    pub fn present(&mut self, canvas: Canvas) -> gst::Buffer {
        let shared = canvas.buffer.copy();
        self.pictures += 1;
        if self.slots.len() < MOST {
            self.slots.push(Slot { buffer: canvas.buffer, picture: Some(self.pictures) });
        }
        shared
    }

    /// Takes back a buffer in which drawing failed.
    pub fn discard(&mut self, canvas: Canvas) {
        if self.slots.len() < MOST {
            self.slots.push(Slot { buffer: canvas.buffer, picture: None });
        }
    }

    fn allocate(&self) -> Result<gst::Buffer, gst::glib::BoolError> {
        let memory = gst::Allocator::find(None)
            .ok_or_else(|| gst::glib::bool_error!("no memory allocator"))?
            .alloc(self.size, Some(&self.params))?;
        let mut buffer = gst::Buffer::new();
        buffer.get_mut().expect("a new buffer has one owner").append_memory(memory);
        Ok(buffer)
    }
}

fn is_free(buffer: &gst::Buffer) -> bool {
    buffer.is_writable() && buffer.is_all_memory_writable()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn swapchain() -> Swapchain {
        gst::init().unwrap();
        Swapchain::new(64, gst::AllocationParams::default())
    }

    fn draw(swapchain: &mut Swapchain) -> (usize, gst::Buffer) {
        let mut canvas = swapchain.acquire().unwrap();
        canvas.buffer.get_mut().unwrap().map_writable().unwrap().fill(0);
        (canvas.age, swapchain.present(canvas))
    }

    #[test]
    fn a_buffer_that_came_back_at_once_has_the_last_picture() {
        let mut swapchain = swapchain();
        let ages: Vec<_> = (0..4).map(|_| draw(&mut swapchain).0).collect();
        assert_eq!(ages, [0, 1, 1, 1]);
        assert_eq!(swapchain.slots.len(), 1);
    }

    #[test]
    fn what_is_held_is_not_drawn_over() {
        let mut swapchain = swapchain();
        let (_, first) = draw(&mut swapchain);
        let (age, second) = draw(&mut swapchain);
        assert_eq!(age, 0, "the first is still in use");
        drop(first);
        assert_eq!(draw(&mut swapchain).0, 2, "the first was two pictures ago");
        drop(second);
        assert_eq!(draw(&mut swapchain).0, 1);
        assert_eq!(swapchain.slots.len(), 2);
    }

    #[test]
    fn a_share_of_the_memory_alone_holds_it() {
        let mut swapchain = swapchain();
        let (_, first) = draw(&mut swapchain);
        let part = first.peek_memory(0).share(..8);
        drop(first);
        assert_eq!(draw(&mut swapchain).0, 0, "somebody reads the first");
        drop(part);
        draw(&mut swapchain);
        assert_eq!(swapchain.slots.len(), 2);
    }

    #[test]
    fn downstream_cannot_write_into_what_is_drawn_upon_later() {
        let mut swapchain = swapchain();
        let (_, mut shown) = draw(&mut swapchain);
        shown.make_mut().map_writable().unwrap().fill(7);
        drop(shown);
        let canvas = swapchain.acquire().unwrap();
        assert_eq!(canvas.age, 1);
        assert!(canvas.buffer.map_readable().unwrap().iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_failed_drawing_leaves_nothing_to_build_upon() {
        let mut swapchain = swapchain();
        draw(&mut swapchain);
        let canvas = swapchain.acquire().unwrap();
        swapchain.discard(canvas);
        assert_eq!(draw(&mut swapchain).0, 0);
    }

    #[test]
    fn a_hoard_of_buffers_is_not_kept() {
        let mut swapchain = swapchain();
        let held: Vec<_> = (0..20).map(|_| draw(&mut swapchain)).collect();
        drop(held);
        assert_eq!(swapchain.slots.len(), MOST);
    }
}
