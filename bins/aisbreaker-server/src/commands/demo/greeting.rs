//! What the demo prints.

use std::{
    fmt,
    io::{self, Write as _},
};

use crate::settings::table::SETTINGS;

/// Where the demo is, and what to do with it. Holds a key, so it has no `Debug`.
pub(super) struct Greeting {
    /// The URL of the server, without a slash at the end.
    pub(super) url: String,
    /// That of the live page, if there is one.
    pub(super) metrics_url: Option<String>,
    pub(super) key: String,
    /// The variables that it ignores.
    pub(super) ignored: Vec<String>,
}

impl Greeting {
    /// Prints it.
    ///
    /// # Errors
    /// Those of standard output.
    pub(super) fn print(&self) -> io::Result<()> {
        let mut stdout = io::stdout();
        write!(stdout, "{self}")?;
        stdout.flush()
    }
}

impl fmt::Display for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            url,
            metrics_url,
            key,
            ignored,
        } = self;
        let metrics = match metrics_url {
            Some(url) => format!("\n  Metrics  {url}/console/"),
            None => String::new(),
        };
        if !ignored.is_empty() {
            writeln!(f, "The demo ignores {}.\n", ignored.join(", "))?;
        }
        write!(
            f,
            r#"The demo runs until Ctrl-C, and all of its keys end with it. It writes no file.

  Console  {url}/console/{metrics}
  Key      {key}
           (for the model "dummy", which needs no account)

Paste these lines into another terminal:

export OPENAI_BASE_URL={url}/v1 OPENAI_API_KEY={key}
curl -sN "$OPENAI_BASE_URL/chat/completions" -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" -d '{{"model": "dummy", "stream": true, "messages": [{{"role": "user", "content": "What is a gateway?"}}]}}'
curl -s {url}/api/v1/quota -H "Authorization: Bearer $OPENAI_API_KEY"

Each call has a line below.
"#
        )
    }
}

/// Returns whether a variable is that of a setting, or of the file of a secret.
pub(super) fn is_name_of_setting(name: &str) -> bool {
    SETTINGS.iter().any(|setting| {
        setting.variable == name
            || (setting.is_secret && name.strip_suffix("_FILE") == Some(setting.variable))
    })
}
