//! An element that fails on command, to be put behind an encoder.

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, LazyLock, Mutex};

/// Faults that are still to come: each takes one away.
static FAULTS: AtomicU32 = AtomicU32::new(0);
/// Those that hang until they are let go.
static HANGING: Mutex<u32> = Mutex::new(0);
static LET_GO: Condvar = Condvar::new();

/// Makes the element `faulty` known, and lets the next `count` of them fail that come to their fault.
pub fn expect(count: u32) {
    static KNOWN: LazyLock<()> = LazyLock::new(|| {
        gst::Element::register(None, "faulty", gst::Rank::NONE, Faulty::static_type()).expect("a new name");
    });
    crate::session::init();
    LazyLock::force(&KNOWN);
    let_go();
    FAULTS.store(count, Ordering::SeqCst);
}

/// How many hang.
pub fn hanging() -> u32 {
    *HANGING.lock().unwrap()
}

pub fn let_go() {
    *HANGING.lock().unwrap() = 0;
    LET_GO.notify_all();
}

glib::wrapper! {
    /// `faulty fault=error|end|silence|hang after=N`: the fault comes instead of the buffer after N.
    /// `faulty fault=stuck` hangs when it is opened.
    pub struct Faulty(ObjectSubclass<imp::Faulty>) @extends gst::Element, gst::Object;
}

mod imp {
    use super::*;

    pub struct Faulty {
        sink: gst::Pad,
        src: gst::Pad,
        fault: Mutex<String>,
        after: AtomicU32,
        silent: std::sync::atomic::AtomicBool,
    }

    impl Faulty {
        fn chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
            if self.silent.load(Ordering::SeqCst) {
                return Ok(gst::FlowSuccess::Ok);
            }
            let left = self.after.load(Ordering::SeqCst);
            self.after.store(left.saturating_sub(1), Ordering::SeqCst);
            if left > 0 || !take_fault() {
                return self.src.push(buffer);
            }
            match self.fault.lock().unwrap().as_str() {
                "error" => {
                    gst::element_imp_error!(self, gst::StreamError::Encode, ("Failed as it was told"));
                    Err(gst::FlowError::Error)
                }
                "end" => {
                    self.src.push_event(gst::event::Eos::new());
                    Err(gst::FlowError::Eos)
                }
                "silence" => {
                    self.silent.store(true, Ordering::SeqCst);
                    Ok(gst::FlowSuccess::Ok)
                }
                _ => {
                    hang();
                    Err(gst::FlowError::Flushing)
                }
            }
        }
    }

    fn take_fault() -> bool {
        let take = |faults: u32| faults.checked_sub(1);
        FAULTS.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()
    }

    fn hang() {
        let mut hanging = HANGING.lock().unwrap();
        *hanging += 1;
        drop(LET_GO.wait_while(hanging, |hanging| *hanging > 0).unwrap());
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Faulty {
        const NAME: &'static str = "MoonpipeTestFaulty";
        type Type = super::Faulty;
        type ParentType = gst::Element;

        fn with_class(class: &Self::Class) -> Self {
            let pad = |name| gst::Pad::builder_from_template(&class.pad_template(name).unwrap());
            let sink = pad("sink")
                .chain_function(|_, parent, buffer| {
                    let parent = parent.and_then(|parent| parent.downcast_ref::<super::Faulty>());
                    parent.expect("it has pads while it lives").imp().chain(buffer)
                })
                .flags(gst::PadFlags::PROXY_CAPS)
                .build();
            let src = pad("src").flags(gst::PadFlags::PROXY_CAPS).build();
            let (fault, after) = (Mutex::default(), AtomicU32::new(0));
            Self { sink, src, fault, after, silent: Default::default() }
        }
    }

    impl ObjectImpl for Faulty {
        fn properties() -> &'static [glib::ParamSpec] {
            static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
                vec![
                    glib::ParamSpecString::builder("fault").build(),
                    glib::ParamSpecUInt::builder("after").build(),
                ]
            });
            &PROPERTIES
        }

        fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
            match spec.name() {
                "fault" => *self.fault.lock().unwrap() = value.get().expect("a string"),
                _ => self.after.store(value.get().expect("a number"), Ordering::SeqCst),
            }
        }

        fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
            match spec.name() {
                "fault" => self.fault.lock().unwrap().to_value(),
                _ => self.after.load(Ordering::SeqCst).to_value(),
            }
        }

        fn constructed(&self) {
            self.parent_constructed();
            self.obj().add_pad(&self.sink).unwrap();
            self.obj().add_pad(&self.src).unwrap();
        }
    }

    impl GstObjectImpl for Faulty {}

    impl ElementImpl for Faulty {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                gst::subclass::ElementMetadata::new("Fault", "Testing", "Fails as it is told", "moonpipe")
            });
            Some(&METADATA)
        }

        fn change_state(
            &self,
            transition: gst::StateChange,
        ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
            let opens = transition == gst::StateChange::ReadyToPaused;
            if opens && *self.fault.lock().unwrap() == "stuck" && take_fault() {
                hang();
            }
            self.parent_change_state(transition)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                [("sink", gst::PadDirection::Sink), ("src", gst::PadDirection::Src)]
                    .map(|(name, direction)| {
                        let any = gst::Caps::new_any();
                        gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &any).unwrap()
                    })
                    .to_vec()
            });
            &TEMPLATES
        }
    }
}
