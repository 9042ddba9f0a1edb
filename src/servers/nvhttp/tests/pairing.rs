use super::*;

/// All Moonlight clients share one id.
const ID: &str = "uniqueid=0123456789ABCDEF";

fn first(client: &FakeClient) -> String {
    let (salt, pem) = (hex::encode(client.salt), hex::encode(&client.certificate_pem));
    format!("/pair?{ID}&devicename=roth&updateState=1&phrase=getservercert&salt={salt}&clientcert={pem}")
}

fn later(name: &str, value: impl AsRef<[u8]>) -> String {
    format!("/pair?{ID}&devicename=roth&updateState=1&{name}={}", hex::encode(value))
}

/// Phase 1 in a task of its own: it waits for the PIN.
fn ask(bench: &Bench, client: &FakeClient) -> JoinHandle<Reply> {
    let (http, target) = (bench.http, first(client));
    tokio::spawn(async move { get(TcpStream::connect(http).await.unwrap(), &target).await })
}

/// Phases 2 and 3; returns whether the client is content with the host.
async fn two_phases(bench: &Bench, client: &FakeClient, pin: &str) -> bool {
    let challenge = bench.get(&later("clientchallenge", client.client_challenge(pin))).await;
    let (response, host_hash) = client.server_challenge_response(pin, &challenge.hex("challengeresponse"));
    let secret = bench.get(&later("serverchallengeresp", response)).await;
    let host = Certificate::from_pem(bench.identity.certificate_pem.as_bytes()).unwrap();
    client.judge(&host, host_hash, &secret.hex("pairingsecret")) == (true, true)
}

async fn last_phase(bench: &Bench, client: &FakeClient) -> Reply {
    bench.get(&later("clientpairingsecret", client.client_pairing_secret())).await
}

async fn is_paired(bench: &Bench, client: &FakeClient) -> bool {
    let reply = bench.get_tls(&TlsClient::new(client), &format!("/pair?{ID}&phrase=pairchallenge")).await;
    assert_eq!(reply.code() == 200, reply.field("paired") == Some("1"));
    reply.code() == 200
}

/// The whole way with one client that shows `pin`.
async fn pair(bench: &Bench, client: &FakeClient, pin: &str, name: Option<&str>) {
    let asked = ask(bench, client);
    bench.until_waiting(1).await;
    bench.desk.tell_pin(pin, name.map(str::to_owned)).await.unwrap();
    assert_eq!(asked.await.unwrap().hex("plaincert"), bench.identity.certificate_pem.as_bytes());
    assert!(two_phases(bench, client, pin).await);
    assert_eq!(last_phase(bench, client).await.field("paired"), Some("1"));
}

#[tokio::test]
async fn the_right_pin_pairs() {
    let (bench, client) = (Bench::start().await, FakeClient::generate());
    assert!(!is_paired(&bench, &client).await);
    assert_eq!(bench.desk.tell_pin("1234", None).await, Err(NotTold::NobodyWaits));
    let asked = ask(&bench, &client);
    bench.until_waiting(1).await;
    let fingerprint = Fingerprint::of(client.certificate.der());
    assert_eq!(bench.desk.waiting()[0].fingerprint, fingerprint);
    let told = bench.desk.tell_pin("1234", None).await.unwrap();
    assert_eq!((told.name, told.fingerprint), (fingerprint.default_name(), fingerprint));
    assert_eq!(asked.await.unwrap().field("paired"), Some("1"));
    assert!(two_phases(&bench, &client, "1234").await);
    assert_eq!(last_phase(&bench, &client).await.field("paired"), Some("1"));
    assert!(is_paired(&bench, &client).await);
    assert_eq!(bench.desk.waiting(), []);
    bench.end().await;
}

#[tokio::test]
async fn a_wrong_pin_does_not_pair_and_may_be_tried_again() {
    let (bench, client) = (Bench::start().await, FakeClient::generate());
    let asked = ask(&bench, &client);
    bench.until_waiting(1).await;
    bench.desk.tell_pin("9999", None).await.unwrap();
    asked.await.unwrap();
    assert!(!two_phases(&bench, &client, "1234").await, "the client notices");
    let refused = last_phase(&bench, &client).await;
    assert_eq!((refused.code(), refused.field("paired")), (200, Some("0")));
    let again = last_phase(&bench, &client).await;
    assert_eq!((again.code(), again.field("paired")), (400, Some("0")), "the pairing is over");
    assert!(!is_paired(&bench, &client).await);
    pair(&bench, &client, "1234", None).await;
    assert!(is_paired(&bench, &client).await);
}

#[tokio::test]
async fn a_pin_that_a_stranger_learned_lets_nobody_in() {
    let (bench, thief, client) = (Bench::start().await, FakeClient::generate(), FakeClient::generate());
    let asked = ask(&bench, &thief);
    bench.until_waiting(1).await;
    let client_asked = ask(&bench, &client);
    bench.until_waiting(2).await;
    // The owner types what the real client shows, and the one who came first is told.
    let told = bench.desk.tell_pin("1234", None).await.unwrap();
    assert_eq!((told.fingerprint, told.others), (Fingerprint::of(thief.certificate.der()), 1));
    asked.await.unwrap();
    bench.get(&format!("/unpair?{ID}")).await;
    let again = ask(&bench, &thief);
    bench.until_waiting(2).await;
    let address = "127.0.0.1".parse().unwrap();
    assert_eq!(bench.desk.tell_pin("1234", None).await, Err(NotTold::PinUsed { address }));
    assert_eq!(bench.desk.waiting().len(), 2, "nobody was told");
    again.abort();
    client_asked.abort();
    bench.until_waiting(0).await;
    // What paired may be told again: a client may show it by chance.
    for client in [&client, &FakeClient::generate()] {
        pair(&bench, client, "4711", None).await;
    }
}

#[tokio::test]
async fn the_owner_is_told_the_name_that_is_stored() {
    let bench = Bench::start().await;
    bench.clients.add("sofa", FakeClient::generate().certificate.der()).unwrap();
    for (wish, stored) in [("sofa", "sofa-2"), (" bed\n", "bed")] {
        let client = FakeClient::generate();
        let asked = ask(&bench, &client);
        bench.until_waiting(1).await;
        assert_eq!(bench.desk.tell_pin("1234", Some(wish.into())).await.unwrap().name, stored);
        asked.await.unwrap();
        assert!(two_phases(&bench, &client, "1234").await);
        last_phase(&bench, &client).await;
        let stands = bench.clients.find(&Fingerprint::of(client.certificate.der())).unwrap();
        assert_eq!(stands.name, stored);
    }
}

#[tokio::test]
async fn phases_out_of_order() {
    let (bench, client) = (Bench::start().await, FakeClient::generate());
    let out_of_order = |reply: Reply| (reply.status, reply.code(), reply.field("paired") == Some("0"));
    for target in [
        later("clientchallenge", [0; 16]),
        later("serverchallengeresp", [0; 32]),
        later("clientpairingsecret", [0; 272]),
    ] {
        assert_eq!(out_of_order(bench.get(&target).await), (200, 400, true), "without a first phase");
    }
    let asked = ask(&bench, &client);
    bench.until_waiting(1).await;
    let early = bench.get(&later("clientchallenge", [0; 16])).await;
    assert_eq!(out_of_order(early), (200, 400, true), "before the PIN");
    bench.desk.tell_pin("1234", None).await.unwrap();
    asked.await.unwrap();
    assert_eq!(out_of_order(last_phase(&bench, &client).await), (200, 400, true), "the second is due");
    let due = bench.get(&later("clientchallenge", client.client_challenge("1234"))).await;
    assert_eq!(out_of_order(due), (200, 400, true), "the mistake ended it");
    assert_eq!(bench.clients.list(), []);
}

#[tokio::test]
async fn two_clients_at_once_pair_one_after_the_other() {
    let (bench, sofa, desk) = (Bench::start().await, FakeClient::generate(), FakeClient::generate());
    let sofa_asked = ask(&bench, &sofa);
    bench.until_waiting(1).await;
    let desk_asked = ask(&bench, &desk);
    bench.until_waiting(2).await;
    // Both are told before the first goes on: the second one's answer waits, because their requests look alike.
    bench.desk.tell_pin("1111", Some("sofa".into())).await.unwrap();
    sofa_asked.await.unwrap();
    bench.desk.tell_pin("2222", Some("desk".into())).await.unwrap();
    assert!(two_phases(&bench, &sofa, "1111").await);
    assert!(!desk_asked.is_finished());
    assert_eq!(last_phase(&bench, &sofa).await.field("paired"), Some("1"));
    desk_asked.await.unwrap();
    assert!(two_phases(&bench, &desk, "2222").await);
    assert_eq!(last_phase(&bench, &desk).await.field("paired"), Some("1"));
    let names: Vec<String> = bench.clients.list().into_iter().map(|client| client.name).collect();
    assert_eq!(names, ["sofa", "desk"]);
    bench.end().await;
}

#[tokio::test]
async fn a_client_that_vanishes_while_it_waits_is_forgotten() {
    let (bench, gone, here) = (Bench::start().await, FakeClient::generate(), FakeClient::generate());
    let mut stream = TcpStream::connect(bench.http).await.unwrap();
    let request = format!("GET {} HTTP/1.1\r\nHost: den\r\n\r\n", first(&gone));
    stream.write_all(request.as_bytes()).await.unwrap();
    bench.until_waiting(1).await;
    drop(stream);
    bench.until_waiting(0).await;
    pair(&bench, &here, "1234", Some("here")).await;
    assert_eq!(bench.clients.list()[0].name, "here");
}

#[tokio::test]
async fn a_client_that_vanishes_half_way_keeps_nobody_out_for_long() {
    let bench = Bench::start_with("127.0.0.1", PATIENCE, Duration::from_secs(2)).await;
    let (gone, here) = (FakeClient::generate(), FakeClient::generate());
    let asked = ask(&bench, &gone);
    bench.until_waiting(1).await;
    bench.desk.tell_pin("1111", None).await.unwrap();
    asked.await.unwrap();
    assert!(two_phases(&bench, &gone, "1111").await);
    pair(&bench, &here, "2222", Some("here")).await;
    assert_eq!(bench.clients.list().len(), 1);
    assert!(!is_paired(&bench, &gone).await);
}

#[tokio::test]
async fn unpair_after_a_failure_makes_room_at_once() {
    let (bench, client) = (Bench::start().await, FakeClient::generate());
    let asked = ask(&bench, &client);
    bench.until_waiting(1).await;
    bench.desk.tell_pin("1111", None).await.unwrap();
    asked.await.unwrap();
    assert_eq!(bench.get(&format!("/unpair?{ID}")).await.status, 200);
    let late = bench.get(&later("clientchallenge", client.client_challenge("1111"))).await;
    assert_eq!(late.code(), 400);
}

#[tokio::test]
async fn a_client_that_begins_anew_ends_what_it_began() {
    let (bench, client) = (Bench::start().await, FakeClient::generate());
    let first = ask(&bench, &client);
    bench.until_waiting(1).await;
    let second = ask(&bench, &client);
    assert_eq!(first.await.unwrap().code(), 400);
    bench.until_waiting(1).await;
    bench.desk.tell_pin("1234", None).await.unwrap();
    assert_eq!(second.await.unwrap().field("paired"), Some("1"));
}

#[tokio::test]
async fn pairing_again_replaces_the_entry() {
    let (bench, client) = (Bench::start().await, FakeClient::generate());
    pair(&bench, &client, "1234", Some("sofa")).await;
    pair(&bench, &client, "5678", Some("bed")).await;
    let list = bench.clients.list();
    assert_eq!(list.len(), 1);
    assert_eq!(list[0].name, "bed");
}

#[tokio::test]
async fn a_fifth_client_of_one_address_is_told_that_another_one_pairs() {
    let bench = Bench::start().await;
    let clients: Vec<FakeClient> = (0..5).map(|_| FakeClient::generate()).collect();
    let mut asked = Vec::new();
    for (count, client) in clients[..4].iter().enumerate() {
        asked.push(ask(&bench, client));
        bench.until_waiting(count + 1).await;
    }
    let fifth = ask(&bench, &clients[4]).await.unwrap();
    assert_eq!((fifth.code(), fifth.field("paired"), fifth.field("plaincert")), (200, Some("1"), None));
    bench.end().await;
    for asked in asked {
        let reply = asked.await.unwrap();
        assert_eq!((reply.code(), reply.field("paired")), (503, Some("0")), "told that the host ends");
        assert!(reply.xml().contains("the host ends"), "{}", reply.xml());
    }
}

#[tokio::test]
async fn a_removed_client_is_a_stranger_at_once() {
    let (bench, client) = (Bench::start().await, FakeClient::generate());
    bench.clients.add("sofa", client.certificate.der()).unwrap();
    assert!(is_paired(&bench, &client).await);
    bench.clients.remove("sofa").unwrap();
    assert!(!is_paired(&bench, &client).await);
    bench.clients.add("sofa", client.certificate.der()).unwrap();
    let fingerprint = Fingerprint::of(client.certificate.der());
    bench.sessions.running.lock().unwrap().insert(fingerprint, 1);
    assert_eq!(bench.get_tls(&TlsClient::new(&client), "/unpair").await.code(), 200);
    assert!(!is_paired(&bench, &client).await);
    assert_eq!(bench.sessions.running_app(&fingerprint), 0, "what it left running ended with it");
}
