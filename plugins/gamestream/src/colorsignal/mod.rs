/**
 * SECTION:element-colorsignal
 * @short-description: writes into a bitstream which colours it has
 *
 * Encoders that do not say which primaries, transfer function, matrix and range their pictures have leave decoders to guess. This
 * element writes what its caps say of it (`colorimetry`) into the sequence parameter set of H.264 (ITU-T H.264, annex E.2.1) and into the
 * sequence header of AV1 (AV1 Bitstream & Decoding Process Specification, 5.5.2), in key frames, and leaves everything else as it
 * is. It stands right behind the encoder, before a parser.
 *
 * |[
 * gst-launch-1.0 -e videotestsrc num-buffers=60 ! video/x-raw,format=I420,colorimetry=bt709 ! openh264enc ! colorsignal ! h264parse ! matroskamux ! filesink location=bars.mkv
 * ]|
 */
use gst::glib;

mod av1;
mod bits;
mod h264;
mod imp;

/// What is signalled, in the code points of ITU-T H.273.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Colors {
    primaries: u8,
    transfer: u8,
    matrix: u8,
    full_range: bool,
}

impl Colors {
    fn codes(self) -> [u8; 3] {
        [self.primaries, self.transfer, self.matrix]
    }
}

/// A bitstream ends where more was to come, or says what it must not.
#[derive(Debug, PartialEq, Eq)]
struct Malformed;

glib::wrapper! {
    pub struct ColorSignal(ObjectSubclass<imp::ColorSignal>)
        @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    use gst::prelude::*;
    gst::Element::register(Some(plugin), "colorsignal", gst::Rank::NONE, ColorSignal::static_type())
}
