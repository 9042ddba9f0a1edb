//! What a client holds down, so that it can be lifted when the client goes.

use super::event::*;
use super::keys::Modifiers;

/// Fingers at once on one surface. Two hands have ten; who sends more has lost some.
pub const MAX_POINTERS: usize = 16;

/// What is down in one session: as much as 256 keys, five buttons, a pen and sixteen controllers can be, however much a
/// client sends.
#[derive(Default)]
pub struct Pressed {
    /// In the order of pressing.
    keys: Vec<Key>,
    buttons: Vec<MouseButton>,
    fingers: Pointers,
    pen: Option<Pen>,
    /// The pen is the one pointer here.
    pen_contact: Pointers,
    pads: [Option<Pad>; PadNumber::COUNT],
}

/// A controller that is plugged in.
#[derive(Default)]
struct Pad {
    touchpads: [Pointers; TOUCHPADS],
}

impl Pressed {
    /// Takes one event and gives what is to be passed on: mostly the same event.
    ///
    /// Nothing is passed on of a key or button that is down already (auto-repeat is the desktop's own work), of what
    /// lifts or moves something that is not down, and of a touchpad whose controller is not plugged in. A finger above
    /// [`MAX_POINTERS`] is preceded by the end of the oldest one, and one that is put down twice by its own.
    pub fn handle(&mut self, input: Input) -> impl Iterator<Item = Input> + use<> {
        let forward = match input {
            Input::Key(key) => [None, self.key(key).map(Input::Key)],
            Input::Button { button, pressed } => {
                [None, press(&mut self.buttons, button, pressed).then_some(input)]
            }
            Input::Touch(touch) => self.fingers.handle(touch).map(|touch| touch.map(Input::Touch)),
            Input::Pen(pen) => self.pen(pen).map(|pen| pen.map(Input::Pen)),
            Input::Controller(state) => [None, self.controller(&state).then_some(input)],
            Input::ControllerArrival(arrival) => {
                self.pads[arrival.pad.index()] = Some(Pad::default());
                [None, Some(input)]
            }
            Input::ControllerTouch(touch) => {
                self.controller_touch(touch).map(|touch| touch.map(Input::ControllerTouch))
            }
            Input::Haptics { .. }
            | Input::RelativeMotion { .. }
            | Input::AbsoluteMotion(_)
            | Input::Wheel { .. }
            | Input::HorizontalWheel { .. }
            | Input::Text(_)
            | Input::ControllerMotion(_)
            | Input::ControllerBattery(_) => [None, Some(input)],
        };
        forward.into_iter().flatten()
    }

    /// Lifts everything, and unplugs the controllers. Last in, first out, so that no key is left for a moment without
    /// the modifier it was pressed with.
    pub fn release_all(&mut self) -> Vec<Input> {
        let keys = std::mem::take(&mut self.keys).into_iter().rev();
        let keys = keys.map(|key| Key { pressed: false, modifiers: Modifiers::NONE, ..key }).map(Input::Key);
        let buttons = std::mem::take(&mut self.buttons).into_iter().rev();
        let buttons = buttons.map(|button| Input::Button { button, pressed: false });
        let fingers = self.fingers.release_all().into_iter().map(Input::Touch);
        let pen = self.release_pen().into_iter().map(Input::Pen);
        let pads = self.release_pads();
        keys.chain(buttons).chain(fingers).chain(pen).chain(pads).collect()
    }

    /// Modifiers whose keys are down.
    pub fn modifiers(&self) -> Modifiers {
        self.keys.iter().fold(Modifiers::NONE, |held, key| held.union(key.key.modifier()))
    }

    /// What `key` says is held though no key of it is down: it is to be pressed for this key alone. A modifier's own
    /// key needs none.
    pub fn missing_modifiers(&self, key: &Key) -> Modifiers {
        match key.key.modifier() {
            Modifiers::NONE if key.pressed => key.modifiers.without(self.modifiers()),
            _ => Modifiers::NONE,
        }
    }

    /// What goes up is what went down, whatever the client says of it meanwhile.
    fn key(&mut self, key: Key) -> Option<Key> {
        let held = self.keys.iter().position(|held| held.key == key.key);
        match (held, key.pressed) {
            (None, true) => {
                self.keys.push(key);
                Some(key)
            }
            (Some(at), false) => Some(Key { normalized: self.keys.remove(at).normalized, ..key }),
            (Some(_), true) | (None, false) => None,
        }
    }

    fn pen(&mut self, pen: Pen) -> [Option<Pen>; 2] {
        let forward = match pen.contact {
            None => [None, Some(pen)],
            Some(contact) => {
                self.pen_contact.handle(Touch::Pointer { id: 0, contact }).map(|touch| pen_of(pen, touch?))
            }
        };
        if let [_, Some(pen)] = forward {
            self.pen = Some(pen);
        }
        forward
    }

    fn release_pen(&mut self) -> Vec<Pen> {
        let Some(pen) = self.pen.take() else { return Vec::new() };
        let lifted = Pen { buttons: PenButtons::NONE, contact: None, ..pen };
        let buttons = (pen.buttons != PenButtons::NONE).then_some(lifted);
        let contact = self.pen_contact.release_all().into_iter().filter_map(|touch| pen_of(lifted, touch));
        buttons.into_iter().chain(contact).collect()
    }

    /// Whether there is something to tell: not of one that is unplugged twice.
    fn controller(&mut self, state: &ControllerState) -> bool {
        let pad = &mut self.pads[state.pad.index()];
        if state.is_plugged() {
            pad.get_or_insert_default();
            return true;
        }
        pad.take().is_some()
    }

    fn controller_touch(&mut self, touch: ControllerTouch) -> [Option<ControllerTouch>; 2] {
        match &mut self.pads[touch.pad.index()] {
            Some(pad) => {
                let touchpad = &mut pad.touchpads[usize::from(touch.touchpad)];
                touchpad.handle(touch.touch).map(|now| now.map(|now| ControllerTouch { touch: now, ..touch }))
            }
            None => [None, None],
        }
    }

    fn release_pads(&mut self) -> Vec<Input> {
        let mut plugged = self.plugged();
        let mut releases = Vec::new();
        for pad in (0..).map_while(PadNumber::new) {
            let Some(mut held) = self.pads[pad.index()].take() else { continue };
            for (touchpad, pointers) in (0..).zip(&mut held.touchpads) {
                let lifted = pointers.release_all().into_iter();
                releases.extend(
                    lifted.map(|touch| Input::ControllerTouch(ControllerTouch { pad, touchpad, touch })),
                );
            }
            plugged &= !pad.bit();
            releases.push(Input::Controller(ControllerState::neutral(pad, plugged)));
        }
        releases
    }

    fn plugged(&self) -> u16 {
        let pads = (0..).map_while(PadNumber::new).filter(|pad| self.pads[pad.index()].is_some());
        pads.fold(0, |mask, pad| mask | pad.bit())
    }
}

/// Whether that changed anything.
fn press(buttons: &mut Vec<MouseButton>, button: MouseButton, pressed: bool) -> bool {
    let held = buttons.iter().position(|held| *held == button);
    match (held, pressed) {
        (None, true) => buttons.push(button),
        (Some(at), false) => _ = buttons.remove(at),
        (Some(_), true) | (None, false) => return false,
    }
    true
}

fn pen_of(pen: Pen, touch: Touch) -> Option<Pen> {
    match touch {
        Touch::Pointer { contact, .. } => Some(Pen { contact: Some(contact), ..pen }),
        Touch::CancelAll => None,
    }
}

/// The pointers that a surface feels, oldest first.
#[derive(Default)]
struct Pointers(Vec<Pointer>);

struct Pointer {
    id: u32,
    /// Otherwise it hovers.
    down: bool,
}

impl Pointer {
    /// Undoes what it is at.
    fn end(&self) -> Touch {
        let contact = if self.down { Contact::Cancel } else { Contact::Leave };
        Touch::Pointer { id: self.id, contact }
    }
}

impl Pointers {
    /// What to pass on, in order: the end of another pointer, or of what this one did before, and the event.
    fn handle(&mut self, touch: Touch) -> [Option<Touch>; 2] {
        let Touch::Pointer { id, contact } = touch else {
            let any = !self.0.is_empty();
            self.0.clear();
            return [None, any.then_some(touch)];
        };
        let at = self.0.iter().position(|pointer| pointer.id == id);
        let down = at.map(|at| self.0[at].down);
        match (contact, at) {
            (Contact::Hover(_), _) => [self.begin(id, false), Some(touch)],
            (Contact::Down(_), _) => [self.begin(id, true), Some(touch)],
            (Contact::Move(_), _) => [None, (down == Some(true)).then_some(touch)],
            (Contact::Up(_), Some(at)) if down == Some(true) => self.end(at, touch),
            (Contact::Leave, Some(at)) if down == Some(false) => self.end(at, touch),
            (Contact::Cancel, Some(at)) => self.end(at, touch),
            (Contact::Up(_) | Contact::Leave | Contact::Cancel, _) => [None, None],
        }
    }

    /// What has to end for it. Hovering goes on, and may become a touch.
    fn begin(&mut self, id: u32, down: bool) -> Option<Touch> {
        let Some(pointer) = self.0.iter_mut().find(|pointer| pointer.id == id) else {
            let oldest = (self.0.len() == MAX_POINTERS).then(|| self.0.remove(0).end());
            self.0.push(Pointer { id, down });
            return oldest;
        };
        let earlier = pointer.down.then(|| pointer.end());
        pointer.down = down;
        earlier
    }

    fn end(&mut self, at: usize, touch: Touch) -> [Option<Touch>; 2] {
        self.0.remove(at);
        [None, Some(touch)]
    }

    fn release_all(&mut self) -> Vec<Touch> {
        self.0.drain(..).map(|pointer| pointer.end()).collect()
    }
}

#[cfg(test)]
#[path = "pressed_tests.rs"]
mod tests;
