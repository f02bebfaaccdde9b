//! What is answered to a request, but for the page itself.

use crate::exposition::Dialect;

/// Something to answer with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A line of text.
    pub(crate) fn text(status: u16, text: &str) -> Answer {
        let body = format!("{text}\n").into_bytes();
        Answer { status, content_type: "text/plain; charset=utf-8", body }
    }

    /// What an error's status means.
    pub(crate) fn error(status: u16) -> Answer {
        Answer::text(status, reason(status))
    }

    /// The page at `/`.
    pub(crate) fn index() -> Answer {
        Answer {
            status: 200,
            content_type: "text/html; charset=utf-8",
            body: INDEX.as_bytes().to_vec(),
        }
    }

    /// A page of metrics; the body is elsewhere.
    pub(crate) fn page(dialect: Dialect) -> Answer {
        let content_type = dialect.content_type();
        Answer { status: 200, content_type, body: Vec::new() }
    }
}

const INDEX: &str = "<!DOCTYPE html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>framepipe</title></head><body>
<h1>framepipe</h1>
<p><a href=\"/metrics\">/metrics</a>: what every stage of the pipe does and loses</p>
<p><a href=\"/healthz\">/healthz</a>: whether samples come</p>
</body></html>
";

/// The words of a status.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        431 => "Request Header Fields Too Large",
        _ => "Service Unavailable",
    }
}

/// The head of a reply.
pub(crate) fn head(answer: &Answer, length: usize, keep: bool) -> Vec<u8> {
    let Answer { status, content_type, .. } = answer;
    let connection = if keep { "keep-alive" } else { "close" };
    let more = match status {
        401 => "WWW-Authenticate: Bearer\r\n",
        405 => "Allow: GET, HEAD\r\n",
        503 => "Retry-After: 1\r\n",
        _ => "",
    };
    format!(
        "HTTP/1.1 {status} {}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n{more}\
         Connection: {connection}\r\n\r\n",
        reason(*status)
    )
    .into_bytes()
}
