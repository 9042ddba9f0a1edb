//! RTSP requests and answers as bytes.

use std::fmt::Write;

/// Most bytes of a request, body included. A client's ANNOUNCE has about 2 kB.
pub const MAX_REQUEST_BYTES: usize = 64 * 1024;
/// Most bytes before the body.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Most header lines of a request; clients send six.
const MAX_HEADERS: usize = 64;

/// Why bytes are no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    #[error("not text")]
    NotText,
    #[error("no request line")]
    RequestLine,
    #[error("a header line without a colon")]
    Header,
    #[error("more than {MAX_HEADERS} header lines")]
    TooManyHeaders,
    #[error("a Content-length that is no number")]
    ContentLength,
    #[error("longer than {MAX_REQUEST_BYTES} bytes, or {MAX_HEAD_BYTES} before the body")]
    TooLong,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// As the client wrote it: a URL, or `streamid=…`.
    pub target: String,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    /// Reads a request from the bytes that came so far; `None` if more must come.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, MessageError> {
        // What is no request at all should not be waited for.
        if bytes.first().is_some_and(|byte| !byte.is_ascii_uppercase()) {
            return Err(MessageError::RequestLine);
        }
        let head = &bytes[..bytes.len().min(MAX_HEAD_BYTES)];
        let Some(head_end) = head.windows(4).position(|w| w == b"\r\n\r\n") else {
            return if bytes.len() >= MAX_HEAD_BYTES { Err(MessageError::TooLong) } else { Ok(None) };
        };
        let head = std::str::from_utf8(&bytes[..head_end]).map_err(|_| MessageError::NotText)?;
        let mut lines = head.split("\r\n");
        let (method, target) = request_line(lines.next().unwrap_or_default())?;
        let headers = lines.map(header).collect::<Result<Vec<_>, _>>()?;
        if headers.len() > MAX_HEADERS {
            return Err(MessageError::TooManyHeaders);
        }
        let mut request = Self { method, target, headers, body: String::new() };
        let body_bytes = request.content_length()?;
        let body_start = head_end + 4;
        if body_bytes > MAX_REQUEST_BYTES - body_start.min(MAX_REQUEST_BYTES) {
            return Err(MessageError::TooLong);
        }
        let Some(body) = bytes.get(body_start..body_start + body_bytes) else { return Ok(None) };
        request.body = String::from_utf8(body.to_vec()).map_err(|_| MessageError::NotText)?;
        Ok(Some(request))
    }

    /// Value of the first header called `name`, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn content_length(&self) -> Result<usize, MessageError> {
        self.header("Content-length").map_or(Ok(0), |n| n.parse().map_err(|_| MessageError::ContentLength))
    }
}

fn request_line(line: &str) -> Result<(String, String), MessageError> {
    let mut words = line.split(' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(method), Some(target), Some("RTSP/1.0"), None)
            if !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') =>
        {
            Ok((method.to_owned(), target.to_owned()))
        }
        _ => Err(MessageError::RequestLine),
    }
}

fn header(line: &str) -> Result<(String, String), MessageError> {
    let (name, value) = line.split_once(':').ok_or(MessageError::Header)?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// One line.
    pub reason: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Response {
    pub fn ok() -> Self {
        Self::refuse(200, "OK")
    }

    pub fn refuse(status: u16, reason: &str) -> Self {
        let reason = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Self { status, reason, headers: Vec::new(), body: String::new() }
    }

    /// Names are compared with their case by the client.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn with_body(mut self, body: String) -> Self {
        self.body = body;
        self
    }

    /// Value of the header called `name`.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }

    pub fn body(&self) -> &str {
        &self.body
    }

    /// The answer on the wire. `cseq` is the request's, echoed. A client skips exactly one character after the colon.
    pub fn encode(&self, cseq: &str) -> Vec<u8> {
        let mut text = format!("RTSP/1.0 {} {}\r\nCSeq: {cseq}\r\n", self.status, self.reason);
        for (name, value) in &self.headers {
            write!(text, "{name}: {value}\r\n").expect("a String takes everything");
        }
        if !self.body.is_empty() {
            write!(text, "Content-Length: {}\r\n", self.body.len()).expect("a String takes everything");
        }
        text.push_str("\r\n");
        text.push_str(&self.body);
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ANNOUNCE: &[u8] = b"ANNOUNCE streamid=control/13/0 RTSP/1.0\r\nCSeq: 6\r\nX-GS-ClientVersion: 14\r\nHost: 127.0.0.1\r\n\
        Session:  DEADBEEFCAFE\r\nContent-type: application/sdp\r\nContent-length: 7\r\n\r\nv=0\r\nx=";

    #[test]
    fn a_request_is_whole_with_its_body_and_not_before() {
        for length in 0..ANNOUNCE.len() {
            assert_eq!(Request::parse(&ANNOUNCE[..length]), Ok(None), "{length} bytes");
        }
        let request = Request::parse(ANNOUNCE).unwrap().unwrap();
        assert_eq!((&*request.method, &*request.target), ("ANNOUNCE", "streamid=control/13/0"));
        assert_eq!((request.header("cseq"), request.header("Session")), (Some("6"), Some("DEADBEEFCAFE")));
        assert_eq!(request.body, "v=0\r\nx=");
    }

    #[test]
    fn nonsense_is_named() {
        let error = |text: &str| Request::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error("GET / HTTP/1.1\r\n\r\n"), MessageError::RequestLine);
        assert_eq!(error("\r\n\r\n"), MessageError::RequestLine);
        assert_eq!(error("PLAY / RTSP/1.0\r\nnonsense\r\n\r\n"), MessageError::Header);
        assert_eq!(error("PLAY / RTSP/1.0\r\nContent-length: -1\r\n\r\n"), MessageError::ContentLength);
        assert_eq!(error("PLAY / RTSP/1.0\r\nContent-length: 65536\r\n\r\n"), MessageError::TooLong);
        assert_eq!(
            error(&format!("PLAY / RTSP/1.0\r\nContent-length: {}\r\n\r\n", usize::MAX)),
            MessageError::TooLong
        );
        assert_eq!(error(&"X".repeat(MAX_HEAD_BYTES)), MessageError::TooLong);
        assert_eq!(error("\x16\x03\x01"), MessageError::RequestLine);
        assert_eq!(
            error(&format!("PLAY / RTSP/1.0\r\n{}\r\n", "a: b\r\n".repeat(65))),
            MessageError::TooManyHeaders
        );
    }

    #[test]
    fn an_answer_has_one_blank_after_the_colon() {
        let answer = Response::ok().with("Session", "1;timeout = 90").with_body("v=0".into());
        let text = "RTSP/1.0 200 OK\r\nCSeq: 3\r\nSession: 1;timeout = 90\r\nContent-Length: 3\r\n\r\nv=0";
        assert_eq!(String::from_utf8(answer.encode("3")).unwrap(), text);
        assert_eq!(Response::refuse(400, "two\r\nlines").reason, "two  lines");
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Request::parse(&bytes);
        }

        #[test]
        fn requests_of_random_text_never_panic(text in "[A-Z]{1,5} [ -~]{0,10} RTSP/1.0\r\n([ -~]{0,8}:[ -~]{0,8}\r\n){0,4}\r\n") {
            let _ = Request::parse(text.as_bytes());
        }
    }
}
