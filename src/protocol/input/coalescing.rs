//! Events that wait for a consumer, in order, with as little motion as says the same.

use super::event::*;
use std::collections::{BTreeSet, VecDeque};

/// Events that wait at most. A client holds back 150 itself.
pub const MAX_WAITING: usize = 512;

/// A queue that loses no click.
///
/// Motion is what the next motion of the same device makes superfluous: of the mouse, of a finger or pen that is down
/// or hovers, of a controller's sticks and triggers while its buttons stay as they are, of a sensor. Of two such events
/// of one device one is left: relative motion is summed up, of anything else the later one counts. Everything else keeps
/// its place, and no motion gets past it. Between devices motion has no order: two fingers that move in turn become
/// one event each.
///
/// When [`MAX_WAITING`] wait, the oldest motion goes that a later one of its device makes good, and the oldest of all if
/// there is none. When no motion is left to go, [`Full`] says so: whoever should take events does not.
#[derive(Default)]
pub struct Coalescing {
    waiting: VecDeque<Waiting>,
    /// What tells a controller's motion from a press: its last buttons, and the mask of plugged ones.
    pads: [Option<(PadButtons, u16)>; PadNumber::COUNT],
    pen: Option<(PenTool, PenButtons)>,
    dropped: u64,
}

struct Waiting {
    input: Input,
    /// `None`: not motion.
    device: Option<Device>,
}

/// What moves on its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Device {
    Mouse,
    Finger(u32),
    Pen,
    Controller(PadNumber),
    Touchpad(PadNumber, u8, u32),
    Sensor(PadNumber, Sensor),
}

/// The event that found no place: [`MAX_WAITING`] wait that must not be dropped.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{} input events wait, and none of them is motion", MAX_WAITING)]
pub struct Full(pub Input);

impl Coalescing {
    pub fn push(&mut self, input: Input) -> Result<(), Full> {
        let device = self.device(&input);
        if device.is_some_and(|device| self.merge(device, &input)) {
            return Ok(());
        }
        if self.waiting.len() >= MAX_WAITING && !self.drop_motion(device) {
            self.dropped += u64::from(device.is_some());
            return if device.is_some() { Ok(()) } else { Err(Full(input)) };
        }
        self.remember(&input);
        self.waiting.push_back(Waiting { input, device });
        Ok(())
    }

    /// The oldest event.
    pub fn pop(&mut self) -> Option<Input> {
        self.waiting.pop_front().map(|waiting| waiting.input)
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Motions that were dropped, not counting those that were merged.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whose motion the event is, if it is one.
    fn device(&self, input: &Input) -> Option<Device> {
        match *input {
            Input::RelativeMotion { .. } | Input::AbsoluteMotion(_) => Some(Device::Mouse),
            Input::Touch(touch) => moving(touch).map(Device::Finger),
            Input::Pen(Pen { tool, buttons, contact: Some(Contact::Move(_) | Contact::Hover(_)) }) => {
                (self.pen == Some((tool, buttons))).then_some(Device::Pen)
            }
            Input::Controller(state) => {
                let same = self.pads[state.pad.index()] == Some((state.buttons, state.plugged));
                same.then_some(Device::Controller(state.pad))
            }
            Input::ControllerTouch(ControllerTouch { pad, touchpad, touch }) => {
                moving(touch).map(|id| Device::Touchpad(pad, touchpad, id))
            }
            Input::ControllerMotion(motion) => Some(Device::Sensor(motion.pad, motion.sensor)),
            _ => None,
        }
    }

    fn remember(&mut self, input: &Input) {
        match *input {
            Input::Pen(pen) => self.pen = Some((pen.tool, pen.buttons)),
            Input::Controller(state) => {
                self.pads[state.pad.index()] = Some((state.buttons, state.plugged));
            }
            Input::ControllerArrival(arrival) => self.pads[arrival.pad.index()] = None,
            _ => {}
        }
    }

    /// Into the last motion of the device, unless something else came after it.
    fn merge(&mut self, device: Device, input: &Input) -> bool {
        let motions = self.waiting.iter_mut().rev().take_while(|waiting| waiting.device.is_some());
        let mut earlier = motions.filter(|waiting| waiting.device == Some(device));
        earlier.next().is_some_and(|earlier| merge(&mut earlier.input, input))
    }

    /// Makes room; `false` if there is no motion. `next` comes after all that waits.
    fn drop_motion(&mut self, next: Option<Device>) -> bool {
        let mut later: BTreeSet<Device> = next.into_iter().collect();
        let (mut oldest, mut made_good) = (None, None);
        for (at, waiting) in self.waiting.iter().enumerate().rev() {
            let Some(device) = waiting.device else { continue };
            oldest = Some(at);
            if !later.insert(device) {
                made_good = Some(at);
            }
        }
        let Some(at) = made_good.or(oldest) else { return false };
        self.waiting.remove(at);
        self.dropped += 1;
        true
    }
}

/// Which pointer moves, if that is all it does.
fn moving(touch: Touch) -> Option<u32> {
    match touch {
        Touch::Pointer { id, contact: Contact::Move(_) | Contact::Hover(_) } => Some(id),
        _ => None,
    }
}

/// Lets `earlier` say what both say. They are of one device.
fn merge(earlier: &mut Input, later: &Input) -> bool {
    if let (Input::RelativeMotion { dx, dy }, Input::RelativeMotion { dx: more_dx, dy: more_dy }) =
        (&mut *earlier, later)
    {
        (*dx, *dy) = (dx.saturating_add(*more_dx), dy.saturating_add(*more_dy));
        return true;
    }
    let same = kind(earlier) == kind(later);
    if same {
        *earlier = *later;
    }
    same
}

/// What must be equal for the later motion of a device to stand for both: hovering is not touching, and a way is not a
/// place.
fn kind(motion: &Input) -> (std::mem::Discriminant<Input>, Option<std::mem::Discriminant<Contact>>) {
    let contact = match motion {
        Input::Touch(Touch::Pointer { contact, .. }) => Some(contact),
        Input::ControllerTouch(ControllerTouch { touch: Touch::Pointer { contact, .. }, .. }) => {
            Some(contact)
        }
        Input::Pen(pen) => pen.contact.as_ref(),
        _ => None,
    };
    (std::mem::discriminant(motion), contact.map(std::mem::discriminant))
}

#[cfg(test)]
#[path = "coalescing_tests.rs"]
mod tests;
