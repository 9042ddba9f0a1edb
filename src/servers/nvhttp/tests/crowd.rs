use super::*;

const SHORT: Duration = Duration::from_secs(1);

async fn raw(bench: &Bench, bytes: &[u8]) -> Option<u16> {
    let mut stream = TcpStream::connect(bench.http).await.unwrap();
    // The host may close before it has read everything: that is an answer too.
    let _ = stream.write_all(bytes).await;
    let mut read = Vec::new();
    let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut read)).await.expect("the host closes");
    (!read.is_empty()).then(|| Reply::parse(&read).status)
}

/// The host still answers.
async fn is_well(bench: &Bench) {
    assert_eq!(bench.get("/serverinfo").await.field("hostname"), Some("den"));
}

#[tokio::test]
async fn nonsense_is_answered_or_dropped() {
    let bench = Bench::start().await;
    let long_header = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "x".repeat(20_000));
    let long_line = format!("GET /?{} HTTP/1.1\r\nHost: den\r\n\r\n", "x".repeat(70_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(100));
    for (bytes, statuses) in [
        (&b"\0\xff\x16\x03\x01 not http\r\n\r\n"[..], &[400][..]),
        (b"POST /pair HTTP/1.1\r\nHost: den\r\nContent-Length: 9999999\r\n\r\n", &[405]),
        (b"GET /serverinfo?a=%zz HTTP/1.1\r\nHost: den\r\n\r\n", &[200, 400]),
        (b"GET /pair?phrase=%00%ff HTTP/1.1\r\nHost: den\r\n\r\n", &[200, 400]),
        (long_header.as_bytes(), &[431]),
        (long_line.as_bytes(), &[414, 431]),
        (many.as_bytes(), &[431]),
    ] {
        let status = raw(&bench, bytes).await;
        assert!(status.is_none_or(|status| statuses.contains(&status)), "{status:?}");
    }
    is_well(&bench).await;
    bench.end().await;
}

#[tokio::test]
async fn nonsense_instead_of_tls() {
    let bench = Bench::start().await;
    let mut stream = TcpStream::connect(bench.https).await.unwrap();
    stream.write_all(b"GET /serverinfo HTTP/1.1\r\n\r\n").await.unwrap();
    let mut read = Vec::new();
    let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut read)).await.expect("the host closes");
    is_well(&bench).await;
}

#[tokio::test]
async fn the_slow_are_closed() {
    let bench = Bench::start_with("127.0.0.1", SHORT, SOON).await;
    for address in [bench.http, bench.https] {
        for bytes in [&b""[..], b"GET /serverinfo HTTP/1.1\r\nHost:"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            let mut read = Vec::new();
            let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut read)).await.expect("the host closes");
        }
    }
    is_well(&bench).await;
}

#[tokio::test]
async fn those_who_wait_for_a_pin_are_not_slow() {
    let bench = Bench::start_with("127.0.0.1", SHORT, SOON).await;
    let client = FakeClient::generate();
    let (salt, pem) = (hex::encode(client.salt), hex::encode(&client.certificate_pem));
    let target = format!("/pair?uniqueid=1&phrase=getservercert&salt={salt}&clientcert={pem}");
    let http = bench.http;
    let asked = tokio::spawn(async move { get(TcpStream::connect(http).await.unwrap(), &target).await });
    bench.until_waiting(1).await;
    eventually(|| bench.desk.waiting().first().is_some_and(|client| client.since > SHORT * 2)).await;
    bench.desk.tell_pin("1234", None).await.unwrap();
    assert_eq!(asked.await.unwrap().field("paired"), Some("1"));
}

#[tokio::test]
async fn a_silent_crowd_keeps_nobody_out() {
    let bench = Bench::start().await;
    let client = FakeClient::generate();
    bench.clients.add("sofa", client.certificate.der()).unwrap();
    let tls = TlsClient::new(&client);
    let mut crowd = Vec::new();
    for round in 0..4 {
        for _ in 0..100 {
            crowd.push(
                TcpStream::connect(if round % 2 == 0 { bench.http } else { bench.https }).await.unwrap(),
            );
        }
        is_well(&bench).await;
        assert_eq!(bench.get_tls(&tls, "/applist").await.code(), 200);
    }
    bench.end().await;
}
