//! Responses, their event streams, and the checks that all errors have in common.

use std::fmt;

use serde_json::Value;

use super::only_value;

/// A whole response.
#[derive(Clone, PartialEq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) version: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether the body ended before its announced end.
    pub(crate) is_truncated: bool,
}

impl Response {
    /// Returns the value of a header field, which must occur at most once.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        only_value(&self.headers, name)
    }

    /// Returns the body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body in UTF-8")
    }

    /// Returns the body as text, without the id of the request, whose random digits may equal
    /// anything short, such as a port.
    pub(crate) fn text_without_id(&self) -> String {
        let id = self.header("x-request-id").expect("the id of the request");
        self.text().replace(id, "")
    }

    /// Returns the body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// Returns the message of an error, without the id of the request at its end.
    pub(crate) fn message(&self) -> String {
        let whole = self.json()["error"]["message"].clone();
        let message = whole
            .as_str()
            .unwrap_or_else(|| panic!("no error message: {self:?}"));
        let id = self.header("x-request-id").unwrap_or_default();
        let message = message.strip_suffix(&format!(" (request {id})"));
        message.or(whole.as_str()).unwrap_or_default().to_owned()
    }

    /// Returns the text of the first output of a final response.
    pub(crate) fn content(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        output_text(&self.json()).to_owned()
    }

    /// Returns the events of a stream that ended properly.
    pub(crate) fn events(&self) -> Vec<Event> {
        assert_eq!(self.status, 200, "{self:?}");
        assert!(!self.is_truncated, "the stream is truncated: {self:?}");
        let content_type = self.header("content-type").unwrap_or_default();
        assert!(
            content_type.starts_with("text/event-stream"),
            "not a stream: {self:?}"
        );
        assert!(
            self.body.ends_with(b"\n\n"),
            "the last event is incomplete: {self:?}"
        );
        Event::parse_all(self.text())
    }

    /// Returns the progress events and the final response of a successful stream.
    pub(crate) fn stream(&self) -> (Vec<Value>, Value) {
        self.progress_and_last("final")
    }

    /// Returns the progress events of a failed stream, and the error at its end.
    pub(crate) fn stream_error(&self) -> (Vec<Value>, Value) {
        let (progress, last) = self.progress_and_last("error");
        (progress, last["error"].clone())
    }

    fn progress_and_last(&self, name: &str) -> (Vec<Value>, Value) {
        let mut events = self.events();
        let last = events
            .pop()
            .unwrap_or_else(|| panic!("no events: {self:?}"));
        assert_eq!(last.name, name, "the last event of {self:?}");
        let progress = events.into_iter().map(|event| {
            assert_eq!(event.name, "progress", "{self:?}");
            event.data
        });
        (progress.collect(), last.data)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let truncated = if self.is_truncated {
            " (truncated)"
        } else {
            ""
        };
        writeln!(f, "{} {}", self.version, self.status)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {value}")?;
        }
        write!(f, "{}{truncated}", String::from_utf8_lossy(&self.body))
    }
}

/// Returns the text of the first output of a final response or a progress event.
pub(crate) fn output_text(body: &Value) -> &str {
    let Some(text) = body["outputs"][0]["text"]["content"].as_str() else {
        panic!("no text: {body}")
    };
    text
}

/// Checks an error as section 6 of the contract defines it. `message` is a part of its message.
#[track_caller]
pub(crate) fn assert_error(row: &str, response: &Response, status: u16, message: &str) {
    assert_eq!(response.status, status, "{row}: {response:?}");
    assert_eq!(
        response.header("content-type"),
        Some("application/json"),
        "{row}: {response:?}"
    );
    assert_eq!(
        response.header("access-control-allow-origin"),
        Some("*"),
        "{row}: {response:?}"
    );
    let body = response.json();
    assert_eq!(body["error"]["statusCode"], status, "{row}: {response:?}");
    let reason = body["error"]["statusText"].as_str().unwrap_or_default();
    assert!(!reason.is_empty(), "{row}: no statusText: {response:?}");
    let actual = response.message();
    assert!(
        !actual.is_empty() && actual.contains(message),
        "{row}: {actual:?} does not contain {message:?}"
    );
    for unwanted in ["/root/", "/src/", ".rs:", "stack backtrace", "panicked"] {
        assert!(
            !actual.contains(unwanted),
            "{row}: {actual:?} contains {unwanted:?}"
        );
    }
}

/// A server-sent event of the server's own API.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) data: Value,
}

impl Event {
    /// Parses events that end in blank lines.
    pub(super) fn parse_all(text: &str) -> Vec<Self> {
        text.split("\n\n")
            .filter(|block| !block.is_empty())
            .filter_map(Self::parse)
            .collect()
    }

    /// Parses an event in the only form that all clients of the original server read. Returns
    /// `None` for a comment.
    fn parse(block: &str) -> Option<Self> {
        let lines: Vec<&str> = block
            .lines()
            .filter(|line| !line.starts_with(':'))
            .collect();
        if lines.is_empty() {
            return None;
        }
        let [name, data] = lines[..] else {
            panic!("not an event line and a data line: {block:?}")
        };
        let Some(name) = name.strip_prefix("event: ") else {
            panic!("no event line: {block:?}")
        };
        let Some(json) = data.strip_prefix("data: ") else {
            panic!("no data line: {block:?}")
        };
        let data = serde_json::from_str(json)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {block:?}"));
        Some(Self {
            name: name.to_owned(),
            data,
        })
    }
}
