//! A server whose settings file is replaced while it runs.

use std::{cell::Cell, ops::Deref};

use serde_json::Value;

use super::{ConfigFile, Connection, KEY, Request, Server, ample_quotas};

/// A server with a settings file.
pub(crate) struct ReloadableServer {
    server: Server,
    file: ConfigFile,
    /// How many times it was asked to reload.
    signals: Cell<usize>,
}

impl ReloadableServer {
    /// Starts a server with this settings file, and with a fixed key and quotas that no test exhausts
    /// in its environment.
    pub(crate) fn start(text: &str) -> Self {
        let ample = ample_quotas().to_string();
        let environment = [
            ("AUTH_ENCRYPTION_KEYPHRASE", KEY),
            ("AISBREAKER_SERVER_QUOTAS", &*ample),
            ("AISBREAKER_DEFAULT_QUOTAS", &*ample),
            ("AISBREAKER_MINT_QUOTAS", &*ample),
        ];
        Self::start_with(&environment, text)
    }

    /// Starts a server with this settings file and this environment.
    pub(crate) fn start_with(environment: &[(&str, &str)], text: &str) -> Self {
        let file = ConfigFile::new(text);
        let defaults = [("AISBREAKER_METRICS_LISTEN", "127.0.0.1:0")];
        let arguments = ["--listen", "127.0.0.1:0", "--config", file.path()];
        Self {
            server: Server::start_with(&arguments, &[&defaults, environment].concat()),
            file,
            signals: Cell::new(0),
        }
    }

    /// Returns the settings file.
    pub(crate) fn file(&self) -> &ConfigFile {
        &self.file
    }

    /// Replaces the file and has the server reload it, which must succeed.
    #[track_caller]
    pub(crate) fn reload(&self, text: &str) {
        self.file.replace(text);
        let line = self.hang_up();
        let message = line["message"].as_str().unwrap_or_default();
        assert_eq!(message, "SIGHUP: the settings are reloaded", "{line}");
    }

    /// Replaces the file and has the server reload it, which must be refused. Returns the cause.
    #[track_caller]
    pub(crate) fn refuse(&self, text: &str) -> String {
        self.file.replace(text);
        self.refuse_file()
    }

    /// Has the server reload the file as it is, which must be refused. Returns the cause.
    #[track_caller]
    pub(crate) fn refuse_file(&self) -> String {
        let line = self.hang_up();
        let message = line["message"].as_str().unwrap_or_default();
        assert!(message.starts_with("SIGHUP: nothing is reloaded"), "{line}");
        assert_eq!(line["level"], "ERROR", "{line}");
        line["cause"].as_str().expect("a cause").to_owned()
    }

    /// Sends the signal. Returns the one line about it.
    pub(crate) fn hang_up(&self) -> Value {
        self.signals.set(self.signals.get() + 1);
        self.signal("HUP");
        let mut found = 0;
        self.wait_for_log("the line about SIGHUP", |line| {
            let text = line["message"].as_str().unwrap_or_default();
            found += usize::from(text.starts_with("SIGHUP"));
            found == self.signals.get()
        })
    }

    /// Returns the value of a metric, with its labels if it has some.
    pub(crate) fn metric(&self, name: &str) -> Option<String> {
        let mut connection = Connection::open(self.metrics_address());
        let response = connection.send(&Request::get("/metrics"));
        let mut lines = response.text().lines();
        lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(' ')?.to_owned()))
    }
}

impl Deref for ReloadableServer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}
