//! What a client asks: the head of an HTTP request, read without I/O.

use crate::exposition::Dialect;

/// The longest head of a request.
pub(crate) const MAX_HEAD: usize = 8 << 10;
/// Headers in it.
const MAX_HEADERS: usize = 64;

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) dialect: Dialect,
    /// What `Authorization: Bearer` has.
    pub(crate) token: Option<Vec<u8>>,
    /// The client will ask again on this connection.
    pub(crate) keep: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Other,
}

/// What the bytes that came are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Parsed {
    /// A request, and how many bytes of them it is.
    Request(Request, usize),
    /// The beginning of one.
    Partial,
    /// None, and the status to answer with.
    Wrong(u16),
}

/// Reads a request from the beginning of what came.
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let head = match request.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) if bytes.len() >= MAX_HEAD => {
            return Parsed::Wrong(431);
        }
        Ok(httparse::Status::Partial) => return Parsed::Partial,
        Err(httparse::Error::TooManyHeaders) => return Parsed::Wrong(431),
        Err(_) => return Parsed::Wrong(400),
    };
    if head > MAX_HEAD {
        return Parsed::Wrong(431);
    }
    match read(&request) {
        Ok(request) => Parsed::Request(request, head),
        Err(status) => Parsed::Wrong(status),
    }
}

fn read(request: &httparse::Request<'_, '_>) -> Result<Request, u16> {
    let method = match request.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        _ => Method::Other,
    };
    let mut read = Request {
        method,
        path: path(request.path.unwrap_or_default()).into(),
        dialect: Dialect::Text,
        token: None,
        keep: request.version == Some(1),
    };
    let mut accept = String::new();
    for header in request.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        let text = || String::from_utf8_lossy(header.value);
        if is("accept") {
            accept = accept + "," + &text();
        } else if is("authorization") {
            read.token = bearer(header.value);
        } else if is("connection") {
            read.keep = keeps(&text(), read.keep);
        } else if is("transfer-encoding") {
            // Nobody sends a body to who only shows; where one would end is not our affair.
            return Err(400);
        } else if is("content-length") && text().trim() != "0" {
            read.keep = false;
        }
    }
    read.dialect = dialect(&accept);
    Ok(read)
}

/// The path, without what a proxy puts before it and what is asked after it.
fn path(target: &str) -> &str {
    let target = match target.split_once("://") {
        Some((_, rest)) if !target.starts_with('/') => {
            rest.find('/').map_or("/", |at| &rest[at..])
        }
        _ => target,
    };
    target.split(['?', '#']).next().unwrap_or_default()
}

fn bearer(value: &[u8]) -> Option<Vec<u8>> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii().to_vec())
}

fn keeps(connection: &str, usual: bool) -> bool {
    let has = |wanted: &str| {
        let mut words = connection.split(',').map(str::trim);
        words.any(|word| word.eq_ignore_ascii_case(wanted))
    };
    !has("close") && (usual || has("keep-alive"))
}

/// The dialect that a client understands best. OpenMetrics is only for who names it, in a
/// version that we speak.
fn dialect(accept: &str) -> Dialect {
    let (mut open, mut text) = (0.0f64, 0.0f64);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        let (mut quality, mut version) = (1.0f64, "");
        for part in parts {
            match part.split_once('=') {
                Some(("q", q)) => quality = q.trim().parse().unwrap_or(0.0),
                Some(("version", v)) => version = v.trim().trim_matches('"'),
                _ => {}
            }
        }
        match media.as_str() {
            "application/openmetrics-text"
                if ["", "0.0.1", "1.0.0"].contains(&version) =>
            {
                open = quality.max(open);
            }
            "text/plain" | "text/*" | "*/*" => text = text.max(quality),
            _ => {}
        }
    }
    if open > 0.0 && open >= text { Dialect::OpenMetrics } else { Dialect::Text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Request {
        match parse(text.as_bytes()) {
            Parsed::Request(request, head) => {
                assert_eq!(head, text.len());
                request
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_scrape_of_prometheus_is_read() {
        let read = request(
            "GET /metrics?x=1 HTTP/1.1\r\nHost: a:9464\r\nAccept: application/vnd.google.\
             protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
             application/openmetrics-text;version=1.0.0;q=0.5,\
             text/plain;version=0.0.4;q=0.4,*/*;q=0.3\r\n\
             Authorization: Bearer s3cret\r\n\r\n",
        );
        assert_eq!((read.method, read.path.as_str()), (Method::Get, "/metrics"));
        assert_eq!(read.dialect, Dialect::OpenMetrics);
        assert_eq!(read.token.as_deref(), Some(&b"s3cret"[..]));
        assert!(read.keep);
    }

    #[test]
    fn what_is_not_asked_for_is_not_sent() {
        let open = "application/openmetrics-text";
        for accept in ["", "*/*", "text/html", &format!("{open};version=2.0.0")] {
            assert_eq!(dialect(accept), Dialect::Text, "{accept}");
        }
        assert_eq!(dialect(&format!("{open};q=0.2,text/plain;q=0.9")), Dialect::Text);
        assert_eq!(dialect(&format!("{open};q=0,*/*")), Dialect::Text);
        assert_eq!(dialect(open), Dialect::OpenMetrics);
    }

    #[test]
    fn connections_are_kept_as_the_client_says() {
        let keep = |version: &str, more: &str| {
            request(&format!("GET / HTTP/{version}\r\n{more}\r\n")).keep
        };
        assert!(keep("1.1", ""));
        assert!(!keep("1.0", ""));
        assert!(keep("1.0", "Connection: Keep-Alive\r\n"));
        assert!(!keep("1.1", "Connection: TE, close\r\n"));
        assert!(!keep("1.1", "Content-Length: 5\r\n"));
    }

    #[test]
    fn what_is_no_request_is_told_by_its_status() {
        assert_eq!(parse(b"GET / HT"), Parsed::Partial);
        assert_eq!(parse(b"\x16\x03\x01\x02\x00\x01"), Parsed::Wrong(400));
        assert_eq!(parse(b"GET / HTTP/9.9\r\n\r\n"), Parsed::Wrong(400));
        let many = "GET / HTTP/1.1\r\n".to_owned() + &"A: b\r\n".repeat(100) + "\r\n";
        assert_eq!(parse(many.as_bytes()), Parsed::Wrong(431));
        let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(MAX_HEAD));
        assert_eq!(parse(long.as_bytes()), Parsed::Wrong(431));
        let body = b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(parse(body), Parsed::Wrong(400));
    }

    #[test]
    fn the_path_is_that_of_the_thing() {
        assert_eq!(path("http://host:1/metrics?a"), "/metrics");
        assert_eq!(path("http://host"), "/");
        assert_eq!(path("/metrics?from=http://a/b"), "/metrics");
        assert_eq!(path("/healthz#x"), "/healthz");
    }
}
