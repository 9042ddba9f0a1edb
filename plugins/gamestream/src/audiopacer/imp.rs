use super::drift::Drift;
use super::resample::Resampler;
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::subclass::BaseTransformMode;
use gst_base::subclass::base_transform::GenerateOutputSuccess;
use gst_base::subclass::prelude::*;
use std::sync::{LazyLock, Mutex};
use std::time::Instant;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "audiopacer",
        gst::DebugColorFlags::empty(),
        Some("Sound at the rate of this machine's clock"),
    )
});

#[derive(Default)]
pub struct AudioPacer {
    state: Mutex<Option<State>>,
}

/// Of sound of one format.
struct State {
    begun: Instant,
    drift: Drift,
    resampler: Resampler,
    rate: u32,
    channels: usize,
    came: u64,
    left: u64,
    /// Of the last portion.
    paced: Vec<i16>,
}

fn stats(came: u64, left: u64, drift_ppm: f64) -> gst::Structure {
    gst::Structure::builder("application/x-audiopacer-stats")
        .field("came", came)
        .field("left", left)
        .field("drift", drift_ppm)
        .build()
}

fn no_stats() -> gst::Structure {
    stats(0, 0, 0.0)
}

impl State {
    fn new(rate: u32, channels: usize) -> State {
        let (drift, resampler) = (Drift::new(rate), Resampler::new(channels));
        Self { begun: Instant::now(), drift, resampler, rate, channels, came: 0, left: 0, paced: Vec::new() }
    }

    fn stats(&self) -> gst::Structure {
        stats(self.came, self.left, self.drift.learnt_ppm())
    }

    /// The samples of a buffer, in little endian, as those of the clock, into `paced`.
    fn pace(&mut self, bytes: &[u8]) {
        let (samples, _) = bytes.as_chunks();
        let now = u64::try_from(self.begun.elapsed().as_nanos()).expect("584 years");
        let count = samples.len() / self.channels;
        let stretch = self.drift.handle_portion(now, count);
        self.paced.clear();
        let samples = samples.iter().map(|sample| i16::from_le_bytes(*sample));
        self.resampler.resample(samples, stretch, &mut self.paced);
        self.came += count as u64;
        self.left += (self.paced.len() / self.channels) as u64;
    }

    /// Of what was paced last.
    fn duration(&self) -> Option<gst::ClockTime> {
        let samples = (self.paced.len() / self.channels) as u64;
        gst::ClockTime::SECOND.mul_div_floor(samples, self.rate.into())
    }
}

#[glib::object_subclass]
impl ObjectSubclass for AudioPacer {
    const NAME: &'static str = "GstAudioPacer";
    type Type = super::AudioPacer;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for AudioPacer {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let stats = glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                .nick("Statistics")
                .blurb(
                    "Counts of the sound of this format (application/x-audiopacer-stats): came and left (samples of each \
                     channel), drift (by how many ppm the source's clock is known to be faster than this machine's)",
                )
                .read_only()
                .build();
            vec![stats]
        });
        &PROPERTIES
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "stats" => {
                self.state.lock().unwrap().as_ref().map(State::stats).unwrap_or_else(no_stats).to_value()
            }
            _ => unimplemented!(),
        }
    }
}

impl GstObjectImpl for AudioPacer {}

impl ElementImpl for AudioPacer {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Audio pacer",
                "Filter/Effect/Audio",
                "Resamples live sound to the rate of this machine's clock",
                crate::AUTHOR,
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = gst::Caps::builder("audio/x-raw")
                .field("format", "S16LE")
                .field("layout", "interleaved")
                .field("rate", gst::IntRange::new(1, i32::MAX))
                .field("channels", gst::IntRange::new(1, i32::MAX))
                .build();
            let template = |name, direction| {
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps)
                    .expect("a plain template")
            };
            vec![template("sink", gst::PadDirection::Sink), template("src", gst::PadDirection::Src)]
        });
        &TEMPLATES
    }
}

impl BaseTransformImpl for AudioPacer {
    const MODE: BaseTransformMode = BaseTransformMode::NeverInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn set_caps(&self, caps: &gst::Caps, _out: &gst::Caps) -> Result<(), gst::LoggableError> {
        let said = caps.structure(0).ok_or_else(|| gst::loggable_error!(CAT, "caps without a structure"))?;
        let number = |name| said.get::<i32>(name).ok().and_then(|number| u32::try_from(number).ok());
        let (Some(rate), Some(channels)) = (number("rate"), number("channels")) else {
            return Err(gst::loggable_error!(CAT, "no rate or channels in {caps}"));
        };
        *self.state.lock().unwrap() = Some(State::new(rate, channels as usize));
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *self.state.lock().unwrap() = None;
        Ok(())
    }

    fn generate_output(&self) -> Result<GenerateOutputSuccess, gst::FlowError> {
        let Some(buffer) = self.take_queued_buffer() else { return Ok(GenerateOutputSuccess::NoOutput) };
        let map = buffer.map_readable().map_err(|_| {
            gst::element_imp_error!(self, gst::ResourceError::Read, ["a buffer cannot be read"]);
            gst::FlowError::Error
        })?;
        let mut state = self.state.lock().unwrap();
        let state = state.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
        state.pace(&map);
        // The filter has to see more of it.
        if state.paced.is_empty() {
            return Ok(GenerateOutputSuccess::NoOutput);
        }
        let mut made = gst::Buffer::with_size(2 * state.paced.len()).map_err(|_| gst::FlowError::Error)?;
        let fresh = made.get_mut().expect("nobody else has it");
        let mut room = fresh.map_writable().expect("new memory");
        let bytes = room.as_chunks_mut().0.iter_mut();
        bytes.zip(&state.paced).for_each(|(bytes, sample)| *bytes = sample.to_le_bytes());
        drop(room);
        fresh.set_pts(buffer.pts());
        fresh.set_duration(state.duration());
        fresh.set_flags(buffer.flags() & gst::BufferFlags::DISCONT);
        gst::trace!(CAT, imp = self, "{} became {} bytes", map.len(), made.size());
        Ok(GenerateOutputSuccess::Buffer(made))
    }
}
