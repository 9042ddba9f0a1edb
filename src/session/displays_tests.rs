use super::*;
use std::collections::BTreeSet;
use std::fmt::Write;

const ADA: Fingerprint = Fingerprint([1; 32]);
const BOB: Fingerprint = Fingerprint([2; 32]);
const KEPT: Duration = Duration::from_secs(10);
const LEAVINGS: [(Leaving, &str); 3] = [
    (Leaving::Away, "left"),
    (Leaving::Replaced, "replaced by a newer session"),
    (Leaving::Ended, "quit or failed"),
];

/// Displays of which the session that left last is held.
type Sessions = Displays<SessionId>;

fn settings(linger: Linger) -> DisplaySettings {
    DisplaySettings { linger, others: Others::TakeOver }
}

fn open(displays: &mut Sessions, client: Fingerprint, session: u64, app: u32) {
    displays.handle_opened(client, SessionId(session), app, SessionId(session));
}

fn lingers(displays: &Sessions, client: &Fingerprint) -> bool {
    displays.waiting(client).is_some()
}

fn leave(
    displays: &mut Sessions,
    now: Instant,
    client: &Fingerprint,
    session: u64,
    leaving: Leaving,
) -> bool {
    let left = displays.handle_left(now, client, SessionId(session), leaving, || SessionId(session));
    assert!(left != Left::Kept || lingers(displays, client));
    lingers(displays, client)
}

fn name(displays: &Sessions) -> &'static str {
    match displays.by_client.get(&ADA) {
        None => "[*]",
        Some(Display { state: State::Lingering { .. }, .. }) => "Lingering",
        Some(Display { played: true, .. }) => "Active",
        Some(Display { played: false, .. }) => "Opened",
    }
}

/// Ada's display: not there, opened, active, left by session 1, and replaced before it was played on.
fn beginning(which: usize, begin: Instant) -> Sessions {
    let mut displays = Displays::new(settings(Linger::For(KEPT)));
    if which > 0 {
        open(&mut displays, ADA, 1, 7);
    }
    if which == 2 || which == 3 {
        displays.handle_played(&ADA, SessionId(1));
    }
    match which {
        3 => assert!(leave(&mut displays, begin, &ADA, 1, Leaving::Away)),
        4 => assert!(leave(&mut displays, begin, &ADA, 1, Leaving::Replaced)),
        _ => {}
    }
    displays
}

/// Every event upon every state, as Mermaid draws it.
fn diagram() -> String {
    let begin = Instant::now();
    let mut lines = BTreeSet::new();
    for which in 0..5 {
        let mut note = |event: &str, does: &dyn Fn(&mut Sessions)| {
            let mut displays = beginning(which, begin);
            let before = name(&displays);
            does(&mut displays);
            let after = name(&displays);
            if before != after {
                lines.insert(format!("    {before} --> {after}: {event}"));
            }
        };
        if which == 0 {
            note("a session needs one", &|displays| open(displays, ADA, 2, 7));
        }
        note("it plays", &|displays| displays.handle_played(&ADA, SessionId(1)));
        note("the client comes back", &|displays| _ = displays.handle_return(ADA, SessionId(2), 7));
        note("it launches another app", &|displays| _ = displays.handle_launched(begin, &ADA, 8));
        for (leaving, event) in LEAVINGS {
            note(event, &|displays| _ = leave(displays, begin, &ADA, 1, leaving));
        }
        note("another client takes over", &|displays| {
            displays.handle_taken_over(begin, &ADA, BOB, 7);
        });
        note("released", &|displays| _ = displays.handle_released(&ADA));
        note("time is up", &|displays| _ = displays.poll(begin + SETTLING));
        note("the host ends", &|displays| _ = displays.handle_closing());
    }
    let mut text = "```mermaid\nstateDiagram-v2\n".to_owned();
    lines.iter().for_each(|line| writeln!(text, "{line}").unwrap());
    text + "```\n"
}

#[test]
fn the_documents_draw_what_displays_do() {
    let diagram = diagram();
    assert!(
        include_str!("../../docs/displays.md").contains(&diagram),
        "docs/displays.md has to show\n{diagram}"
    );
}

fn played(linger: Linger) -> Sessions {
    let mut displays = Displays::new(settings(linger));
    open(&mut displays, ADA, 1, 7);
    displays.handle_played(&ADA, SessionId(1));
    displays
}

#[test]
fn a_client_comes_back_to_its_display_in_time() {
    const BLINK: Duration = Duration::from_millis(1);
    for (linger, away, is_kept) in [
        (Linger::For(KEPT), KEPT - BLINK, true),
        (Linger::For(KEPT), KEPT, false),
        (Linger::UntilReleased, 1000 * KEPT, true),
        (Linger::Immediately, Duration::ZERO, false),
    ] {
        let (mut displays, begin) = (played(linger), Instant::now());
        leave(&mut displays, begin, &ADA, 1, Leaving::Away);
        while displays.poll(begin + away).is_some() {}
        let found = if is_kept { Found::Kept(SessionId(1)) } else { Found::Nothing };
        assert_eq!(displays.handle_return(ADA, SessionId(2), 7), found, "{linger:?} after {away:?}");
    }
}

/// From its launch to when it has settled what it plays.
#[test]
fn a_client_that_is_on_its_way_does_not_come_too_late() {
    let (mut displays, begin) = (played(Linger::For(KEPT)), Instant::now());
    leave(&mut displays, begin, &ADA, 1, Leaving::Away);
    assert_eq!(displays.handle_launched(begin + KEPT / 2, &ADA, 7), None);
    assert_eq!(displays.poll(begin + KEPT), None);
    assert_eq!(displays.poll(begin + KEPT / 2 + SETTLING), Some((ADA, SessionId(1))));
}

#[test]
fn a_newer_session_finds_the_display_even_where_none_is_kept() {
    let (mut displays, begin) = (played(Linger::Immediately), Instant::now());
    assert!(leave(&mut displays, begin, &ADA, 1, Leaving::Replaced));
    assert_eq!(displays.poll(begin), None);
    assert_eq!(displays.handle_return(ADA, SessionId(2), 7), Found::Kept(SessionId(1)));
    assert!(!leave(&mut displays, begin, &ADA, 2, Leaving::Away));
}

#[test]
fn nobody_waits_for_long_for_what_nobody_saw() {
    let (mut displays, begin) = (Displays::new(settings(Linger::UntilReleased)), Instant::now());
    open(&mut displays, ADA, 1, 7);
    assert!(leave(&mut displays, begin, &ADA, 1, Leaving::Replaced));
    assert_eq!(displays.handle_return(ADA, SessionId(2), 7), Found::Kept(SessionId(1)));
    assert!(!leave(&mut displays, begin, &ADA, 2, Leaving::Away), "nobody played on it still");
}

#[test]
fn an_older_session_that_hangs_has_no_say_in_the_display_that_a_newer_one_took() {
    for app in [7, 8] {
        let (mut displays, begin) = (played(Linger::For(KEPT)), Instant::now());
        let found = displays.handle_return(ADA, SessionId(2), app);
        if app == 7 {
            assert_eq!(found, Found::Kept(SessionId(1)));
            displays.handle_shown(&ADA, SessionId(2), SessionId(2));
        } else {
            assert_eq!(found, Found::Other(SessionId(1)), "that is removed with its app");
            open(&mut displays, ADA, 2, app);
        }
        assert_eq!(displays.handle_return(ADA, SessionId(1), app), Found::Nothing, "nothing is given back");
        let left = displays.handle_left(begin, &ADA, SessionId(1), Leaving::Ended, || SessionId(1));
        assert_eq!((left, displays.handle_lost(&ADA, SessionId(1))), (Left::Taken, None));
        assert_eq!(displays.shown(&ADA), Some(SessionId(2)));
        displays.handle_played(&ADA, SessionId(2));
        assert!(leave(&mut displays, begin, &ADA, 2, Leaving::Away));
    }
}

/// It comes to that when the older session was about to have its display while the newer one looked for it.
#[test]
fn what_an_older_session_left_too_late_is_removed_when_another_was_opened() {
    let mut displays = Displays::new(settings(Linger::For(KEPT)));
    assert_eq!(displays.handle_return(ADA, SessionId(2), 7), Found::Nothing);
    open(&mut displays, ADA, 1, 7);
    assert!(leave(&mut displays, Instant::now(), &ADA, 1, Leaving::Replaced));
    let removed = displays.handle_opened(ADA, SessionId(2), 7, SessionId(2));
    assert_eq!((removed, lingers(&displays, &ADA)), (Some(SessionId(1)), false));
    assert_eq!(displays.handle_lost(&ADA, SessionId(2)), Some(SessionId(2)));
}

#[test]
fn a_guest_has_something_to_see_while_the_owner_shows_it() {
    let mut displays = Displays::new(settings(Linger::For(KEPT)));
    assert!(!displays.shows(&ADA, 7));
    open(&mut displays, ADA, 1, 7);
    assert!(displays.shows(&ADA, 7) && !displays.shows(&ADA, 8));
    displays.handle_played(&ADA, SessionId(1));
    assert!(leave(&mut displays, Instant::now(), &ADA, 1, Leaving::Away));
    assert!(!displays.shows(&ADA, 7));
    assert_eq!(displays.waiting(&ADA), Some(SessionId(1)));
}

#[test]
fn others_meet_who_has_the_app_on_a_display_unless_they_have_it_themselves() {
    for others in [Others::OwnDisplay, Others::TakeOver, Others::Refuse, Others::Share] {
        let (mut displays, begin) = (played(Linger::UntilReleased), Instant::now());
        displays.settings.others = others;
        let met = (others != Others::OwnDisplay).then_some((others, ADA));
        assert_eq!(
            (displays.meets(&BOB, 7), displays.meets(&BOB, 8), displays.meets(&ADA, 7)),
            (met, None, None)
        );
        assert_eq!(displays.shown(&ADA), Some(SessionId(1)));
        leave(&mut displays, begin, &ADA, 1, Leaving::Away);
        // A display that nobody looks at can be had, but not shared.
        assert_eq!(displays.meets(&BOB, 7), met.filter(|_| others != Others::Share));
        assert_eq!(displays.shown(&ADA), None);
    }
}

#[test]
fn of_two_who_have_the_app_the_one_who_plays_is_met() {
    for who_plays in [ADA, BOB] {
        let (mut displays, begin) = (played(Linger::UntilReleased), Instant::now());
        open(&mut displays, BOB, 2, 7);
        displays.handle_played(&BOB, SessionId(2));
        let (away, session) = if who_plays == ADA { (BOB, 2) } else { (ADA, 1) };
        assert!(leave(&mut displays, begin, &away, session, Leaving::Away));
        assert_eq!(displays.meets(&Fingerprint([3; 32]), 7), Some((Others::TakeOver, who_plays)));
    }
}

#[test]
fn what_is_taken_over_waits_for_its_heir_alone() {
    let (mut displays, begin) = (played(Linger::Immediately), Instant::now());
    assert_eq!(displays.handle_taken_over(begin, &ADA, BOB, 7), None, "its session holds it");
    assert!(leave(&mut displays, begin, &ADA, 1, Leaving::Replaced));
    assert_eq!(displays.handle_taken_over(begin, &ADA, BOB, 8), None, "that is another app");
    assert_eq!(displays.handle_taken_over(begin, &ADA, BOB, 7), Some(SessionId(1)));
    assert_eq!(displays.handle_return(ADA, SessionId(2), 7), Found::Nothing);
    assert_eq!(displays.handle_return(BOB, SessionId(3), 7), Found::Kept(SessionId(1)));
    let (mut displays, begin) = (played(Linger::UntilReleased), Instant::now());
    assert!(leave(&mut displays, begin, &ADA, 1, Leaving::Away));
    assert_eq!(displays.handle_taken_over(begin, &ADA, BOB, 7), Some(SessionId(1)));
    assert_eq!(displays.poll(begin + SETTLING), Some((BOB, SessionId(1))), "nobody came");
}
