/**
 * SECTION:element-waylandsrc
 * @short-description: a Wayland compositor as a source
 *
 * Opens a Wayland socket in XDG_RUNTIME_DIR and plays what clients show there. The display has exactly the size and
 * rate of the negotiated caps, 1280×720 at 60 Hz when nobody says; caps that change while it plays resize it. It needs
 * neither monitor nor GPU nor privileges.
 *
 * The element message `wayland-display` says when the display has its size and clients can connect; its field `name` (string) is what they expect in
 * WAYLAND_DISPLAY. With the property `xwayland` X11 programs are welcome too: Xwayland is started, and the message has
 * a second field `x-display` (string) for DISPLAY, unless Xwayland fails, of which a warning says why.
 *
 * Every window covers the display, the newest is on top and has the keyboard; dialogs stand in the middle. Clients draw
 * at the rate of the display, and hear when each picture was shown, on the monotonic clock. Nothing is drawn but what
 * changed. While the element is paused, clients draw once a second.
 *
 * Processors draw the picture (pixman), or a GPU does, in builds with the feature `gles`: the property `renderer` says
 * which. `auto` takes the first GPU on which EGL finds a driver, and processors where there is none. `gles` takes Mesa's
 * drawing by processors too, which is slower than pixman, and is an error where nothing of the kind is there. What is drawn is
 * read back: buffers lie in system memory in any case. With a GPU clients may hand over what they drew with it as dmabufs
 * (zwp_linux_dmabuf_v1), which is shown without a copy.
 *
 * By default there is a buffer for every tick of the rate, which repeats the last picture without a copy when nothing
 * changed, so that encoders and sinks find the rate that the caps promise. With `only-damaged` there is one only when
 * something changed, for a pipeline that repeats pictures itself, like one with `framepacer`. Timestamps are those of
 * the ticks; a GstReferenceTimestampMeta says when a picture was drawn, in caps timestamp/x-monotonic.
 *
 * GstNavigation events of downstream are input: pointer, buttons, wheel, fingers, and keys by their X11 names. The
 * layout of the keyboard is xkbcommon's default, which the variables XKB_DEFAULT_LAYOUT and others change. What these
 * events lack an upstream event can say with a structure `GstWaylandSrcInput`; its string `event` is one of
 *
 * - `motion`: `x`, `y` (double, pixels)
 * - `relative-motion`: `dx`, `dy` (double, pixels), and if they differ `raw-dx`, `raw-dy` before acceleration
 * - `button`: `code` (uint, of linux/input-event-codes.h), `pressed` (boolean)
 * - `scroll`: `x`, `y` (int, 1/120 of a click to the right and down)
 * - `key`: `code` (uint, of linux/input-event-codes.h), `pressed` (boolean)
 * - `symbol`: `symbols` (string): the key that types the first of these that any key types by itself, or else the one with
 *   the code `otherwise` (uint); `pressed` (boolean)
 * - `text`: `text` (string), typed whatever the layout is
 * - `touch-down`, `touch-motion`: `id` (uint), `x`, `y` (double, pixels); `touch-up`: `id`
 * - `touch-frame`: what was said about fingers belongs together; `touch-cancel`
 * - `release-all`: everything that is down goes up
 *
 * |[
 * gst-launch-1.0 -m waylandsrc ! videoconvert ! autovideosink
 * WAYLAND_DISPLAY=wayland-1 foot
 * ]|
 */
use gst::glib;

mod caps;
mod clock;
mod imp;

glib::wrapper! {
    pub struct WaylandSrc(ObjectSubclass<imp::WaylandSrc>)
        @extends gst_base::PushSrc, gst_base::BaseSrc, gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    use gst::prelude::*;
    gst::Element::register(Some(plugin), "waylandsrc", gst::Rank::NONE, WaylandSrc::static_type())
}
