use super::*;
use crate::pipeline::source::Health;
use crate::protocol::params::Fps;
use gst::prelude::*;
use std::future::Future;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);
const SMALL: Mode = Mode { width: 64, height: 48, fps: Fps { num: 30, den: 1 } };
const LARGE: Mode = Mode { width: 128, height: 96, fps: Fps { num: 30, den: 1 } };

/// In gray, whose luma tells one source from the other.
fn colour(argb: &str, size: &str) -> String {
    format!(
        "videotestsrc is-live=true pattern=solid-color foreground-color={argb} ! video/x-raw,format=GRAY8,{size}"
    )
}

const SHARED: &str = "width=32,height=32,framerate=30/1";
const OWN: &str = "width={width},height={height},framerate={fps}";

/// Descriptions of these names, of which the first is on.
fn captures(descriptions: &[(&str, &str)]) -> Arc<Captures> {
    crate::pipeline::init().unwrap();
    let library = descriptions.iter().map(|(name, launch)| {
        let description = CaptureDescription::read(name, name, &format!("launch = '''{launch}'''")).unwrap();
        ((*name).to_owned(), description)
    });
    Arc::new(Captures::new(library.collect(), descriptions[0].0, PathBuf::new()).unwrap())
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("it comes in time")
}

/// A session with a stream as far as its appsrc: what comes out is what the player sees.
struct Player {
    view: View,
    pipeline: gst::Pipeline,
    sink: gst_app::AppSink,
}

impl Player {
    async fn new(captures: &Captures, mode: Mode) -> Player {
        let text = "appsrc name=source is-live=true format=time do-timestamp=true max-buffers=1 leaky-type=downstream ! appsink name=sink sync=false max-buffers=1 drop=true";
        let pipeline = gst::parse::launch(text).unwrap().downcast::<gst::Pipeline>().unwrap();
        let source = pipeline.by_name("source").unwrap().downcast::<gst_app::AppSrc>().unwrap();
        let sink = pipeline.by_name("sink").unwrap().downcast().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let mut view = soon(captures.open(mode)).await.unwrap();
        view.attach(&source);
        Player { view, pipeline, sink }
    }

    /// Luma and width of the next picture.
    fn see(&self) -> (u8, i32) {
        let sample = self.sink.try_pull_sample(gst::ClockTime::from_seconds(10)).expect("a frame comes");
        let luma = sample.buffer().unwrap().map_readable().unwrap()[0];
        (luma, sample.caps().unwrap().structure(0).unwrap().get("width").unwrap())
    }

    /// Moves as it is told to, and sees that from then on.
    async fn follow(&mut self, luma: u8, width: i32) {
        let look = soon(self.view.moves.recv()).await.unwrap();
        self.view.follow(look);
        // The appsrc and the sink may hold one of the old source's each.
        assert!((0..4).any(|_| self.see() == (luma, width)));
        self.keeps(luma, width);
    }

    /// Sees this, and nothing in between.
    fn keeps(&self, luma: u8, width: i32) {
        for _ in 0..5 {
            assert_eq!(self.see(), (luma, width));
        }
    }

    async fn leave(mut self) {
        self.view.detach();
        self.pipeline.set_state(gst::State::Null).unwrap();
        soon(self.view.close()).await;
    }
}

/// Lumas that the colours are seen as; video range.
const DARK: (u8, &str) = (16, "0xff000000");
const BRIGHT: (u8, &str) = (235, "0xffffffff");

/// A source that shows what a test writes: pictures of 32x32.
struct Door(TcpListener);

impl Door {
    fn new() -> Door {
        Door(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn shared(&self) -> String {
        let port = self.0.local_addr().unwrap().port();
        format!(
            "tcpclientsrc host=127.0.0.1 port={port} ! rawvideoparse format=gray8 width=32 height=32 framerate=30/1"
        )
    }

    /// It has a size of its own all the same.
    fn own(&self) -> String {
        self.shared().replace("tcpclientsrc", "tcpclientsrc name=for-{width}x{height}-{fps}")
    }

    async fn accept(&self) -> TcpStream {
        let listener = self.0.try_clone().unwrap();
        soon(tokio::task::spawn_blocking(move || listener.accept().unwrap().0)).await.unwrap()
    }
}

fn show(door: &mut TcpStream, luma: u8) {
    door.write_all(&[luma; 2 * 32 * 32]).unwrap();
}

fn switch(
    captures: &Arc<Captures>,
    name: &'static str,
) -> impl Future<Output = anyhow::Result<Switched>> + use<> {
    let captures = captures.clone();
    let task = tokio::spawn(async move { captures.switch(name).await });
    async move { soon(task).await.unwrap() }
}

const BOTH: Switched = Switched::Done { players: 2 };

#[tokio::test(flavor = "multi_thread")]
async fn all_who_play_and_all_who_come_later_see_the_other_source_whatever_kind_it_is() {
    let captures = captures(&[
        ("dark", &colour(DARK.1, SHARED)),
        ("bright", &colour(BRIGHT.1, SHARED)),
        ("dark-own", &colour(DARK.1, OWN)),
        ("bright-own", &colour(BRIGHT.1, OWN)),
    ]);
    let (mut small, mut large) = (Player::new(&captures, SMALL).await, Player::new(&captures, LARGE).await);
    small.keeps(DARK.0, 32);
    large.keeps(DARK.0, 32);
    for (name, luma, sizes) in [
        ("bright", BRIGHT.0, (32, 32)),
        ("dark-own", DARK.0, (64, 128)),
        ("bright-own", BRIGHT.0, (64, 128)),
        ("dark", DARK.0, (32, 32)),
    ] {
        assert_eq!(switch(&captures, name).await.unwrap(), BOTH, "{name}");
        small.follow(luma, sizes.0).await;
        large.follow(luma, sizes.1).await;
        assert_eq!((small.view.name(), large.view.name()), (name, name));
        let late = Player::new(&captures, LARGE).await;
        assert_eq!((late.see(), late.view.name()), ((luma, sizes.1), name));
        late.leave().await;
    }
    assert_eq!(switch(&captures, "dark").await.unwrap(), Switched::ShownAlready);
    small.leave().await;
    large.leave().await;
    soon(captures.close()).await;
    assert!(captures.closing.is_empty());
    assert!(switch(&captures, "bright").await.unwrap_err().to_string().contains("the host ends"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_that_cannot_be_says_why_and_nobody_notices() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("64"), [99; 64 * 48]).unwrap();
    // For the small one alone.
    let half = format!(
        "multifilesrc location={}/{{width}} loop=true ! rawvideoparse format=gray8 width={{width}} height={{height}} framerate={{fps}} ! identity sync=true",
        folder.path().display()
    );
    let captures = captures(&[
        ("dark", &colour(DARK.1, SHARED)),
        ("absent", "filesrc location=/nonexistent ! rawvideoparse"),
        ("dying", "videotestsrc ! identity error-after=1 ! video/x-raw,width=64"),
        ("half", &half),
    ]);
    let (mut small, large) = (Player::new(&captures, SMALL).await, Player::new(&captures, LARGE).await);
    for (name, reason) in [
        ("nonsense ! filesink location=x", "choose one of absent, dark, dying, half"),
        ("absent", "capture absent does not start"),
        ("dying", "identity"),
        ("half", "/128"),
    ] {
        let error = format!("{:#}", switch(&captures, name).await.unwrap_err());
        assert!(error.contains(reason), "{name}: {error}");
        assert!(small.view.moves.try_recv().is_err(), "{name}");
        small.keeps(DARK.0, 32);
        large.keeps(DARK.0, 32);
        assert_eq!(*small.view.health.borrow(), Health::Runs);
    }
    let late = Player::new(&captures, LARGE).await;
    late.keeps(DARK.0, 32);
    for player in [small, large, late] {
        player.leave().await;
    }
    soon(captures.close()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_switch_takes_the_place_of_one_that_is_under_way() {
    let door = Door::new();
    let captures = captures(&[
        ("dark", &colour(DARK.1, SHARED)),
        ("bright", &colour(BRIGHT.1, SHARED)),
        ("silent", &door.shared()),
    ]);
    let mut player = Player::new(&captures, SMALL).await;
    for (name, outcome) in [("dark", Switched::ShownAlready), ("bright", Switched::Done { players: 1 })] {
        let first = switch(&captures, "silent");
        let _shows_nothing = door.accept().await;
        assert_eq!(switch(&captures, name).await.unwrap(), outcome);
        let refused = first.await.unwrap_err().to_string();
        assert!(refused.contains("another switch"), "{refused}");
    }
    player.follow(BRIGHT.0, 32).await;
    let last = switch(&captures, "silent");
    let _shows_nothing = door.accept().await;
    player.leave().await;
    soon(captures.close()).await;
    let refused = last.await.unwrap_err().to_string();
    assert!(refused.contains("the host ends"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_and_goes_while_a_switch_is_under_way_is_counted_right() {
    for follows in [false, true] {
        let door = Door::new();
        let target = if follows { door.own() } else { door.shared() };
        let captures = captures(&[("dark", &colour(DARK.1, SHARED)), ("door", &target)]);
        let (mut stays, goes) = (Player::new(&captures, SMALL).await, Player::new(&captures, SMALL).await);
        let switching = switch(&captures, "door");
        let mut first = door.accept().await;
        // Of the one who goes: it never shows anything.
        let _second = if follows { Some(door.accept().await) } else { None };
        goes.leave().await;
        let mut comes = Player::new(&captures, LARGE).await;
        comes.keeps(DARK.0, 32);
        show(&mut first, 77);
        let mut third = if follows { Some(door.accept().await) } else { None };
        if let Some(third) = &mut third {
            show(third, 88);
        }
        assert_eq!(switching.await.unwrap(), BOTH);
        for (player, luma) in [(&mut stays, 77), (&mut comes, if third.is_some() { 88 } else { 77 })] {
            let look = soon(player.view.moves.recv()).await.unwrap();
            player.view.follow(look);
            // It was shown before anybody looked, and is shown again to each.
            while player.see() != (luma, 32) {}
        }
        stays.leave().await;
        comes.leave().await;
        soon(captures.close()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_being_rebuilt_is_left_for_another() {
    let door = Door::new();
    let captures = captures(&[("door", &door.shared()), ("bright", &colour(BRIGHT.1, SHARED))]);
    let mut player = Player::new(&captures, SMALL).await;
    let mut shows = door.accept().await;
    show(&mut shows, 77);
    assert_eq!(player.see(), (77, 32));
    drop((shows, door));
    let mut health = player.view.health.clone();
    soon(health.wait_for(|health| matches!(health, Health::Stands(_)))).await.unwrap();
    assert_eq!(switch(&captures, "bright").await.unwrap(), Switched::Done { players: 1 });
    player.follow(BRIGHT.0, 32).await;
    // Nobody tries to build it any more.
    soon(async { while health.changed().await.is_ok() {} }).await;
    player.leave().await;
    soon(captures.close()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_built_for_nobody() {
    let door = Door::new();
    door.0.set_nonblocking(true).unwrap();
    let captures = captures(&[("dark", &colour(DARK.1, SHARED)), ("door", &door.shared())]);
    let player = Player::new(&captures, SMALL).await;
    player.leave().await;
    assert!(captures.now().shared.is_some(), "a shared source outlives who looks");
    assert_eq!(switch(&captures, "door").await.unwrap(), Switched::Done { players: 0 });
    assert!(captures.now().shared.is_none());
    assert!(door.0.accept().is_err(), "nobody came");
    door.0.set_nonblocking(false).unwrap();
    let player = Player::new(&captures, SMALL).await;
    assert_eq!(player.view.name(), "door");
    show(&mut door.accept().await, 77);
    assert_eq!(player.see(), (77, 32));
    player.leave().await;
    soon(captures.close()).await;
}
