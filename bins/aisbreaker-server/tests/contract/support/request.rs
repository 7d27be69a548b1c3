//! Requests as bytes, so that a test can also send what no HTTP library would.

use serde_json::Value;

/// A request of HTTP/1.1 before it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: String,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Request {
    /// Creates a request without header fields and body.
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Creates a `GET` request.
    pub(crate) fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// Creates a `POST` request with this body, which is declared as JSON whatever it is.
    pub(crate) fn post(path: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", path)
            .body(body)
            .set("Content-Type", "application/json")
    }

    /// Creates a call of `process` with this JSON.
    pub(crate) fn process(body: &Value) -> Self {
        Self::post_process(body.to_string())
    }

    /// Creates a call of `process` with this body, which is declared as JSON whatever it is.
    pub(crate) fn post_process(body: impl Into<Vec<u8>>) -> Self {
        Self::post("/api/v1/process", body)
    }

    /// Creates a minting request with this JSON.
    pub(crate) fn mint(body: &Value) -> Self {
        Self::post("/api/v1/oauth/token", body.to_string())
    }

    /// Adds a header field.
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers
            .push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Replaces all header fields of this name by one.
    pub(crate) fn set(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers
            .retain(|(present, _)| !present.eq_ignore_ascii_case(name));
        self.header(name, value)
    }

    /// Sets a bearer value, unless it is empty.
    pub(crate) fn bearer(self, value: &str) -> Self {
        if value.is_empty() {
            return self;
        }
        self.set("Authorization", format!("Bearer {value}"))
    }

    /// Replaces the body by this JSON.
    pub(crate) fn json(self, body: &Value) -> Self {
        self.body(body.to_string())
            .set("Content-Type", "application/json")
    }

    /// Replaces the body.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Replaces the path and query.
    pub(crate) fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// Returns the method.
    pub(crate) fn method(&self) -> &str {
        &self.method
    }

    /// Returns the header fields.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    fn has(&self, name: &str) -> bool {
        self.headers
            .iter()
            .any(|(present, _)| present.eq_ignore_ascii_case(name))
    }

    /// Serializes head and body. `Host` is `localhost` unless it was set, and `Content-Length` is
    /// correct unless the framing was set.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.path).into_bytes();
        let mut line = |name: &str, value: &[u8]| {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        };
        if !self.has("Host") {
            line("Host", b"localhost");
        }
        for (name, value) in &self.headers {
            line(name, value);
        }
        let is_framed = self.has("Content-Length") || self.has("Transfer-Encoding");
        if !is_framed && (!self.body.is_empty() || self.method == "POST") {
            line("Content-Length", self.body.len().to_string().as_bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.body);
        bytes
    }
}
