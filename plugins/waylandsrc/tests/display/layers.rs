//! Panels, backgrounds and overlays: the layer shell.

use super::client::{Client, Heard};
use super::harness::Show;
use super::speech::Said;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_client::{Connection, Dispatch, QueueHandle, delegate_noop};
use wayland_protocols_wlr::layer_shell::v1::client::zwlr_layer_shell_v1::{Layer, ZwlrLayerShellV1};
use wayland_protocols_wlr::layer_shell::v1::client::zwlr_layer_surface_v1::{
    self, Anchor, KeyboardInteractivity, ZwlrLayerSurfaceV1,
};

const RED: u32 = 0xff0000;
const GREEN: u32 = 0x00ff00;
const BLUE: u32 = 0x0000ff;
const WHITE: u32 = 0xffffff;

const CAPS: &str = "video/x-raw,width=100,height=60";

struct Panel {
    surface: WlSurface,
    role: ZwlrLayerSurfaceV1,
}

impl Client {
    /// One that asks for so much room, 0 for as much as there is, and is told how much it gets.
    fn layer(&mut self, layer: Layer, anchor: Anchor, asks: (u32, u32), gets: (u32, u32)) -> Panel {
        let (queue, shell) = (self.queue(), self.bind::<ZwlrLayerShellV1>());
        let surface = self.compositor.create_surface(&queue, ());
        let role = shell.get_layer_surface(&surface, None, layer, "test".into(), &queue, ());
        role.set_anchor(anchor);
        role.set_size(asks.0, asks.1);
        surface.commit();
        self.until_said(&Said::Layer { width: gets.0, height: gets.1 });
        self.heard.speech.said.clear();
        Panel { surface, role }
    }
}

#[test]
fn layers_lie_below_and_above_windows_where_they_are_anchored() {
    let show = Show::start("only-damaged=true", CAPS);
    let mut client = Client::connect(show.connect());
    let all = Anchor::all();
    let background = client.layer(Layer::Background, all, (0, 0), (100, 60));
    client.paint(&background.surface, (100, 60), GREEN);
    show.picture_with("the background", |shot| shot.is_all(GREEN));

    let panel = client.layer(Layer::Top, Anchor::Top | Anchor::Left | Anchor::Right, (0, 10), (100, 10));
    client.paint(&panel.surface, (100, 10), RED);
    let shot = show.picture_with("the panel", |shot| shot.count(RED) > 0);
    assert_eq!(shot.area(RED), Some((0, 0, 100, 10)), "{}", shot.describe());

    client.full_window(BLUE);
    let shot = show.picture_with("a window between them", |shot| shot.count(BLUE) > 0);
    assert_eq!((shot.area(BLUE), shot.count(RED)), (Some((0, 10, 100, 60)), 1000), "{}", shot.describe());

    let corner = client.layer(Layer::Overlay, Anchor::Bottom | Anchor::Right, (30, 20), (30, 20));
    client.paint(&corner.surface, (30, 20), WHITE);
    let shot = show.picture_with("the overlay", |shot| shot.count(WHITE) > 0);
    assert_eq!(shot.area(WHITE), Some((70, 40, 100, 60)), "{}", shot.describe());

    panel.role.destroy();
    panel.surface.destroy();
    client.connection.flush().unwrap();
    let shot = show.picture_with("no panel", |shot| shot.count(RED) == 0);
    assert_eq!(shot.at(50, 5), BLUE, "{}", shot.describe());
    drop(client);
    show.picture_with("nothing", |shot| shot.is_all(0));
}

#[test]
fn layers_follow_the_size_of_the_display() {
    let show = Show::start("only-damaged=true", CAPS);
    let mut client = Client::connect(show.connect());
    let edge = Anchor::Bottom | Anchor::Left | Anchor::Right;
    let panel = client.layer(Layer::Top, edge, (0, 10), (100, 10));
    client.paint(&panel.surface, (100, 10), RED);
    show.picture_with("the panel", |shot| shot.area(RED) == Some((0, 50, 100, 60)));
    show.set_caps("video/x-raw,width=64,height=80");
    client.until_said(&Said::Layer { width: 64, height: 10 });
    client.paint(&panel.surface, (64, 10), RED);
    show.picture_with("the panel at the new edge", |shot| shot.area(RED) == Some((0, 70, 64, 80)));
}

#[test]
fn a_layer_that_wants_all_keys_gets_them_and_gives_them_back() {
    let show = Show::start("only-damaged=true", CAPS);
    let mut player = Client::connect(show.connect());
    let _devices = player.devices();
    player.full_window(BLUE);
    player.until_said(&Said::KeysEnter);
    let mut asks = Client::connect(show.connect());
    let _devices = asks.devices();
    let dialog = asks.layer(Layer::Overlay, Anchor::empty(), (40, 20), (40, 20));
    dialog.role.set_keyboard_interactivity(KeyboardInteractivity::Exclusive);
    asks.paint(&dialog.surface, (40, 20), WHITE);
    let shot = show.picture_with("the dialog", |shot| shot.count(WHITE) > 0);
    assert_eq!(shot.area(WHITE), Some((30, 20, 70, 40)), "{}", shot.describe());
    player.until_said(&Said::KeysLeave);
    asks.until_said(&Said::KeysEnter);
    show.send_input("event=key, code=(uint)30, pressed=true");
    asks.until_said(&Said::Key { code: 30, pressed: true });
    player.roundtrip();
    assert!(!player.heard.speech.has(&Said::Key { code: 30, pressed: true }), "it is not its key");

    player.heard.speech.said.clear();
    drop(asks);
    player.until_said(&Said::KeysEnter);
}

impl Dispatch<ZwlrLayerSurfaceV1, ()> for Heard {
    fn event(
        heard: &mut Self,
        role: &ZwlrLayerSurfaceV1,
        event: zwlr_layer_surface_v1::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let zwlr_layer_surface_v1::Event::Configure { serial, width, height } = event {
            role.ack_configure(serial);
            heard.speech.said.push(Said::Layer { width, height });
        }
    }
}

delegate_noop!(Heard: ZwlrLayerShellV1);
