use super::*;
use x509_parser::asn1_rs::{Any, Class, FromDer};

const LAUNCH: &str = "/launch?uniqueid=0123456789ABCDEF&appid=1&mode=1280x720x60&additionalStates=1&sops=0\
    &rikey=000102030405060708090a0b0c0d0e0f&rikeyid=-5&localAudioPlayMode=0&surroundAudioInfo=196610&corever=1";

async fn paired(bench: &Bench) -> (FakeClient, TlsClient) {
    let client = FakeClient::generate();
    bench.clients.add("sofa", client.certificate.der()).unwrap();
    let tls = TlsClient::new(&client);
    (client, tls)
}

#[tokio::test]
async fn strangers_see_a_free_host() {
    let bench = Bench::start().await;
    let (client, tls) = paired(&bench).await;
    bench.sessions.running.lock().unwrap().insert(Fingerprint::of(client.certificate.der()), 1);
    let seen = |reply: Reply| {
        let field = |name: &str| reply.field(name).unwrap().to_owned();
        (field("PairStatus"), field("currentgame"), field("state"))
    };
    let by_http = bench.get("/serverinfo?uniqueid=0123456789ABCDEF&uuid=1").await;
    assert!(by_http.head.to_lowercase().contains("connection: close"), "{}", by_http.head);
    assert_eq!(by_http.field("uniqueid"), Some(bench.identity.unique_id.as_str()));
    assert_eq!(by_http.field("ServerCodecModeSupport"), Some("65537"));
    assert_eq!(by_http.field("LocalIP"), Some("127.0.0.1"));
    assert_eq!(seen(by_http), ("0".into(), "0".into(), "SUNSHINE_SERVER_FREE".into()));
    let by_https = bench.get_tls(&tls, "/serverinfo").await;
    assert_eq!(seen(by_https), ("1".into(), "1".into(), "SUNSHINE_SERVER_BUSY".into()));
    let (_, other) = paired(&bench).await;
    let by_other = bench.get_tls(&other, "/serverinfo").await;
    assert_eq!(seen(by_other), ("1".into(), "0".into(), "SUNSHINE_SERVER_FREE".into()));
    bench.end().await;
}

#[tokio::test]
async fn unknown_certificates_get_an_answer_that_says_401() {
    let bench = Bench::start().await;
    let unknown = FakeClient::generate();
    for client in [TlsClient::new(&unknown), TlsClient::anonymous()] {
        for target in ["/serverinfo", "/applist", "/pair?phrase=pairchallenge", LAUNCH, "/nonsense"] {
            let reply = bench.get_tls(&client, target).await;
            assert_eq!((reply.status, reply.code()), (200, 401), "{target}");
        }
    }
    assert_eq!(bench.sessions.launched.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn every_kind_of_certificate_gets_through_the_handshake() {
    let bench = Bench::start().await;
    let client = FakeClient::generate();
    let ancient = version_1(&client);
    bench.clients.add("new", client.certificate.der()).unwrap();
    bench.clients.add("ancient", &ancient).unwrap();
    for certificate in [client.certificate.der(), &ancient] {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let client = TlsClient::showing(certificate, &client.key_pkcs8, version);
            assert_eq!(bench.get_tls(&client, "/applist").await.code(), 200, "{version:?}");
        }
    }
}

#[tokio::test]
async fn a_certificate_without_its_key_gets_nowhere() {
    let (bench, thief) = (Bench::start().await, FakeClient::generate());
    let (client, _) = paired(&bench).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for certificate in [client.certificate.der(), &version_1(&client)] {
            let thief = TlsClient::showing(certificate, &thief.key_pkcs8, version);
            let read = async {
                let mut stream = thief.connect(bench.https).await?;
                stream.write_all(b"GET /applist HTTP/1.1\r\nHost: den\r\n\r\n").await?;
                let mut bytes = Vec::new();
                stream.read_to_end(&mut bytes).await
            };
            // With TLS 1.3 the client learns of the refusal from its first read.
            let read = tokio::time::timeout(SOON, read).await.unwrap();
            assert!(read.is_err(), "{version:?}: {read:?}");
        }
    }
}

/// The same key in an X.509 certificate of version 1: without the version number and without extensions.
fn version_1(client: &FakeClient) -> Vec<u8> {
    let sequence = |content: &[u8]| {
        let length = (content.len() as u16).to_be_bytes();
        [&[0x30, 0x82, length[0], length[1]], content].concat()
    };
    let (_, certificate) = Any::from_der(client.certificate.der()).unwrap();
    let (after_tbs, tbs) = Any::from_der(certificate.data).unwrap();
    let mut kept = Vec::new();
    let mut rest = tbs.data;
    while !rest.is_empty() {
        let (after, part) = Any::from_der(rest).unwrap();
        if part.class() == Class::Universal {
            kept.extend(&rest[..rest.len() - after.len()]);
        }
        rest = after;
    }
    let tbs = sequence(&kept);
    let algorithm = &after_tbs[..after_tbs.len() - Any::from_der(after_tbs).unwrap().0.len()];
    let signature = client.sign(&tbs);
    let length = (signature.len() as u16 + 1).to_be_bytes();
    let bits = [&[0x03, 0x82, length[0], length[1], 0], &signature[..]].concat();
    sequence(&[&tbs, algorithm, &bits].concat())
}

#[tokio::test]
async fn apps_and_their_picture() {
    let bench = Bench::start().await;
    let (_, tls) = paired(&bench).await;
    let apps = bench.get_tls(&tls, "/applist?uniqueid=0123456789ABCDEF").await;
    assert_eq!((apps.field("AppTitle"), apps.field("ID")), (Some("Desktop"), Some("1")));
    let picture = bench.get_tls(&tls, "/appasset?appid=1&AssetType=2&AssetIdx=0").await;
    assert!(picture.head.to_lowercase().contains("content-type: image/png"), "{}", picture.head);
    assert!(picture.body.starts_with(b"\x89PNG"));
}

#[tokio::test]
async fn launch_resume_cancel() {
    let bench = Bench::start().await;
    let (client, tls) = paired(&bench).await;
    let nothing = bench.get_tls(&tls, &LAUNCH.replace("/launch", "/resume")).await;
    assert_eq!((nothing.status, nothing.code()), (200, 503));
    assert!(nothing.xml().contains("status_message=\"Nothing to resume\""));
    let launched = bench.get_tls(&tls, LAUNCH).await;
    assert_eq!(launched.field("sessionUrl0"), Some("rtspenc://127.0.0.1:48010"));
    assert_eq!(launched.field("gamesession"), Some("1"));
    let resumed = bench.get_tls(&tls, "/resume?rikey=0f0e0d0c0b0a09080706050403020100&rikeyid=7").await;
    assert_eq!(resumed.field("sessionUrl0"), Some("rtsp://127.0.0.1:48010"));
    assert_eq!(resumed.field("resume"), Some("1"));
    let cancelled = bench.get_tls(&tls, "/cancel").await;
    assert_eq!(cancelled.field("cancel"), Some("1"));
    assert_eq!(bench.get_tls(&tls, "/serverinfo").await.field("currentgame"), Some("0"));
    let requests = bench.sessions.launched.lock().unwrap().clone();
    assert_eq!(requests[0].client, Fingerprint::of(client.certificate.der()));
    assert_eq!((requests[0].app, requests[0].mode), (1, Some((1280, 720, 60))));
    assert_eq!((requests[0].key_id, requests[0].rtsp_encrypted), (u32::MAX - 4, true));
    assert_eq!((requests[1].app, requests[1].mode, requests[1].key_id), (0, None, 7));
    assert_eq!(requests[1].local, bench.https);
}

#[tokio::test]
async fn launches_that_make_no_sense() {
    let bench = Bench::start().await;
    let (_, tls) = paired(&bench).await;
    for (target, code) in [
        (LAUNCH.replace("appid=1", "appid=2"), 404),
        (LAUNCH.replace("rikey=", "nokey="), 400),
        (LAUNCH.replace("1280x720", "wide"), 400),
        ("/launch".to_owned(), 400),
    ] {
        let reply = bench.get_tls(&tls, &target).await;
        assert_eq!((reply.status, reply.code()), (200, code), "{target}");
        assert!(reply.xml().contains("status_message=\""));
    }
    assert_eq!(bench.sessions.launched.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn what_was_begun_goes_on_when_the_client_hangs_up() {
    let bench = Bench::start().await;
    let (client, tls) = paired(&bench).await;
    *bench.sessions.holds.lock().unwrap() = true;
    let mut stream = tls.connect(bench.https).await.unwrap();
    stream.write_all(format!("GET {LAUNCH} HTTP/1.1\r\nHost: den\r\n\r\n").as_bytes()).await.unwrap();
    eventually(|| bench.sessions.launched.lock().unwrap().len() == 1).await;
    drop(stream);
    bench.sessions.gate.notify_one();
    eventually(|| bench.sessions.running_app(&Fingerprint::of(client.certificate.der())) == 1).await;
}

#[tokio::test]
async fn over_ipv6() {
    let bench = Bench::start_with("::1", PATIENCE, SOON).await;
    let (_, tls) = paired(&bench).await;
    assert_eq!(bench.get("/serverinfo").await.field("LocalIP"), Some("127.0.0.1"));
    let launched = bench.get_tls(&tls, LAUNCH).await;
    assert_eq!(launched.field("sessionUrl0"), Some("rtspenc://[::1]:48010"));
}

#[tokio::test]
async fn nothing_but_identity_and_pairing_over_http() {
    let bench = Bench::start().await;
    for target in ["/applist", "/launch", "/resume", "/cancel", "/appasset", "/", "/pair/", "/serverinfo/x"] {
        let reply = bench.get(target).await;
        assert_eq!((reply.status, reply.code()), (404, 404), "{target}");
    }
    assert_eq!(bench.get("/pair?phrase=pairchallenge").await.field("paired"), Some("0"));
    assert_eq!(bench.get("/pair?phrase=getservercert&salt=00&clientcert=ff").await.code(), 400);
}
