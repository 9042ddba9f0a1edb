//! Encoders that are opened one at a time: x265 sets up tables for the whole process while it opens, without a lock, and
//! two players who begin in the same moment would end the host.

use gst::prelude::*;
use std::cell::Cell;
use std::sync::{Mutex, PoisonError};

const ALONE: [&str; 1] = ["x265enc"];

static OPENING: Mutex<()> = Mutex::new(());

thread_local! {
    /// The event that opens an encoder is on its way to it.
    static OPENS: Cell<bool> = const { Cell::new(false) };
}

/// Sees to it that `encoder` is opened while no other such is, if it is one of these.
pub(super) fn arrange(encoder: &gst::Element) {
    if encoder.factory().is_some_and(|factory| ALONE.contains(&factory.name().as_str())) {
        open_alone(encoder);
    }
}

/// Encoders open with the caps of what they are to encode.
fn open_alone(encoder: &gst::Element) {
    let Some(sink) = encoder.static_pad("sink") else { return };
    sink.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |pad, info| {
        let Some(caps) = info.event().filter(|event| event.type_() == gst::EventType::Caps) else {
            return gst::PadProbeReturn::Ok;
        };
        if OPENS.get() {
            return gst::PadProbeReturn::Ok;
        }
        let caps = caps.clone();
        let _alone = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
        OPENS.set(true);
        // One that is refused fails with the first frame, and says why.
        pad.send_event(caps);
        OPENS.set(false);
        gst::PadProbeReturn::Handled
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::Condvar;
    use std::time::Duration;

    /// A room with a door that can be held.
    #[derive(Default)]
    struct Room {
        people: Mutex<People>,
        moved: Condvar,
    }

    #[derive(Default)]
    struct People {
        inside: u32,
        most: u32,
        ever: u32,
    }

    impl Room {
        /// Who comes first waits for a second one to come in beside it, which is not to happen; the others find that it
        /// did not.
        fn visit(&self) {
            let mut people = self.people.lock().unwrap();
            people.inside += 1;
            people.ever += 1;
            people.most = people.most.max(people.inside);
            self.moved.notify_all();
            if people.ever == 1 {
                let lone = |people: &mut People| people.inside == 1;
                people = self.moved.wait_timeout_while(people, Duration::from_millis(500), lone).unwrap().0;
            }
            people.inside -= 1;
        }
    }

    /// What passes an `identity` on is inside of it meanwhile.
    #[test]
    fn no_two_are_opened_at_once_and_all_get_their_caps() {
        gst::init().unwrap();
        let room = Arc::new(Room::default());
        let pipelines: Vec<_> = (0..4)
            .map(|_| {
                let text =
                    "videotestsrc num-buffers=3 ! identity name=encoder ! fakesink name=end sync=false";
                let pipeline = gst::parse::launch(text).unwrap().downcast::<gst::Pipeline>().unwrap();
                let encoder = pipeline.by_name("encoder").unwrap();
                open_alone(&encoder);
                let room = room.clone();
                let watch = move |_: &gst::Pad, info: &mut gst::PadProbeInfo| {
                    if info.event().is_some_and(|event| event.type_() == gst::EventType::Caps) {
                        room.visit();
                    }
                    gst::PadProbeReturn::Ok
                };
                let src = encoder.static_pad("src").unwrap();
                src.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, watch);
                pipeline
            })
            .collect();
        pipelines.iter().for_each(|pipeline| _ = pipeline.set_state(gst::State::Playing).unwrap());
        for pipeline in pipelines {
            let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
            let end = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(20), &kinds);
            assert_eq!(end.expect("it comes to an end").type_(), gst::MessageType::Eos);
            let seen = pipeline.by_name("end").unwrap().static_pad("sink").unwrap().current_caps();
            assert!(seen.is_some_and(|caps| caps.structure(0).unwrap().has_name("video/x-raw")));
            pipeline.set_state(gst::State::Null).unwrap();
        }
        let people = room.people.lock().unwrap();
        assert_eq!((people.ever, people.most), (4, 1));
    }

    #[test]
    fn x265_is_one_of_them() {
        gst::init().unwrap();
        let encoder = gst::ElementFactory::make("x265enc").build().unwrap();
        arrange(&encoder);
        let pads = ["videotestsrc num-buffers=5", "fakesink"].map(|text| gst::parse::launch(text).unwrap());
        let pipeline = gst::Pipeline::new();
        let filter =
            gst::parse::bin_from_description("capsfilter caps=video/x-raw,width=64,height=64", true).unwrap();
        pipeline.add_many([&pads[0], filter.upcast_ref(), &encoder, &pads[1]]).unwrap();
        gst::Element::link_many([&pads[0], filter.upcast_ref(), &encoder, &pads[1]]).unwrap();
        let held = OPENING.lock().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let bus = pipeline.bus().unwrap();
        let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
        let early = bus.timed_pop_filtered(gst::ClockTime::from_mseconds(300), &kinds);
        assert!(early.is_none(), "it is not opened while another one is");
        drop(held);
        let end = bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &kinds);
        assert_eq!(end.expect("it comes to an end").type_(), gst::MessageType::Eos);
        pipeline.set_state(gst::State::Null).unwrap();
    }
}
