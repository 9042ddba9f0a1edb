//! Fingers on a touchscreen, in slots as the kernel has them (multi-touch protocol, type B).

use super::absolute;
use crate::protocol::input::{Contact, Touch, TouchPoint};
use evdev::{AbsoluteAxisCode as Axis, InputEvent, KeyCode};

/// As many fingers as a client can have down.
pub const SLOTS: usize = 16;
/// Numbers of contacts come round after this.
pub const LAST_ID: i32 = 0xffff;
/// Of a slot that is empty.
const NOBODY: i32 = -1;

#[derive(Default)]
pub struct Fingers {
    /// The client's numbers of those that are down.
    slots: [Option<u32>; SLOTS],
    next: i32,
}

impl Fingers {
    /// What the device reports. A contact that is cancelled goes up, since the kernel knows no other end; one that hovers is
    /// not felt.
    pub fn handle(&mut self, touch: &Touch, place: impl Fn((f64, f64)) -> (i32, i32)) -> Vec<InputEvent> {
        match touch {
            Touch::Pointer { id, contact } => match contact {
                Contact::Down(point) => self.down(*id, place(at(point))),
                Contact::Move(point) => self.moved(*id, place(at(point))),
                Contact::Up(_) | Contact::Leave | Contact::Cancel => self.up(|finger| finger == *id),
                Contact::Hover(_) => Vec::new(),
            },
            Touch::CancelAll => self.up(|_| true),
        }
    }

    fn down(&mut self, id: u32, place: (i32, i32)) -> Vec<InputEvent> {
        let Some(slot) = self.slots.iter().position(Option::is_none) else { return Vec::new() };
        let was_empty = self.is_empty();
        self.slots[slot] = Some(id);
        let contact = self.next;
        self.next = if contact == LAST_ID { 0 } else { contact + 1 };
        let mut events =
            vec![absolute(Axis::ABS_MT_SLOT, slot as i32), absolute(Axis::ABS_MT_TRACKING_ID, contact)];
        events.extend(there(place));
        events.extend(was_empty.then(|| super::key(KeyCode::BTN_TOUCH, true)));
        events.extend(self.alone(slot, place));
        events
    }

    fn moved(&self, id: u32, place: (i32, i32)) -> Vec<InputEvent> {
        let Some(slot) = self.slots.iter().position(|finger| *finger == Some(id)) else { return Vec::new() };
        let mut events = vec![absolute(Axis::ABS_MT_SLOT, slot as i32)];
        events.extend(there(place));
        events.extend(self.alone(slot, place));
        events
    }

    fn up(&mut self, goes: impl Fn(u32) -> bool) -> Vec<InputEvent> {
        let mut events = Vec::new();
        for (slot, finger) in self.slots.iter_mut().enumerate() {
            if finger.take_if(|finger| goes(*finger)).is_some() {
                events.push(absolute(Axis::ABS_MT_SLOT, slot as i32));
                events.push(absolute(Axis::ABS_MT_TRACKING_ID, NOBODY));
            }
        }
        if !events.is_empty() && self.is_empty() {
            events.push(super::key(KeyCode::BTN_TOUCH, false));
        }
        events
    }

    fn is_empty(&self) -> bool {
        self.slots.iter().all(Option::is_none)
    }

    /// For who knows of one finger only: the first slot's is the one.
    fn alone(&self, slot: usize, (x, y): (i32, i32)) -> impl Iterator<Item = InputEvent> + use<> {
        let events = [absolute(Axis::ABS_X, x), absolute(Axis::ABS_Y, y)];
        events.into_iter().filter(move |_| slot == 0)
    }
}

fn there((x, y): (i32, i32)) -> [InputEvent; 2] {
    [absolute(Axis::ABS_MT_POSITION_X, x), absolute(Axis::ABS_MT_POSITION_Y, y)]
}

fn at(point: &TouchPoint) -> (f64, f64) {
    (point.x.into(), point.y.into())
}
