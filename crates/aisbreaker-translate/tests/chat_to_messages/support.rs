//! Reads the golden files, which hold a request or an answer of both sides.
//!
//! The examples of the providers' references gave the shapes; every file names the page. The texts are ours.

use std::{
    fs,
    path::{Path, PathBuf},
};

use aisbreaker_translate::chat_to_messages::{Answers, translate_request};

/// The provider's name of the model.
pub(crate) const MODEL: &str = "claude-opus-5-5";
/// The time in all answers.
pub(crate) const CREATED: u64 = 1_767_225_600;

/// Returns the golden files of a folder whose names end like this, by their names without it.
pub(crate) fn golden(folder: &str, ending: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder_path().join(folder)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if let Some(name) = name.strip_suffix(ending) {
            files.push((name.to_owned(), fs::read_to_string(&path).unwrap()));
        }
    }
    files.sort();
    assert!(!files.is_empty(), "no golden files in {folder}");
    files
}

/// Returns one golden file.
pub(crate) fn golden_file(name: &str) -> String {
    fs::read_to_string(folder_path().join(name)).unwrap()
}

fn folder_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chat_to_messages")
}

/// Returns what translates the answer to a request.
pub(crate) fn answers(is_stream: bool, include_usage: bool) -> Answers {
    let options = if is_stream {
        format!(r#""stream": true, "stream_options": {{"include_usage": {include_usage}}}, "#)
    } else {
        String::new()
    };
    let body = format!(r#"{{{options}"messages": [{{"role": "user", "content": "Hi"}}]}}"#);
    let request = translate_request(body.as_bytes(), MODEL).unwrap();
    request.answers.with_created(CREATED)
}

/// Returns the names and the data of the events of a stream.
pub(crate) fn decode_events(stream: &str) -> Vec<(String, String)> {
    let mut events = Vec::new();
    for block in stream.split("\n\n") {
        let field = |name: &str| -> Vec<&str> {
            block
                .lines()
                .filter_map(|line| line.strip_prefix(name))
                .collect()
        };
        let data = field("data: ");
        if !data.is_empty() {
            events.push((field("event: ").concat(), data.join("\n")));
        }
    }
    events
}

/// Translates a whole stream, and returns what the client gets, and why it ended if that was an error.
pub(crate) fn translate_stream(
    events: &[(String, String)],
    include_usage: bool,
) -> (String, Option<String>) {
    let mut translation = answers(true, include_usage).events();
    let mut out = Vec::new();
    let mut ended = Ok(());
    for (event, data) in events {
        ended = translation.translate_event(event, data, &mut out);
        if ended.is_err() {
            break;
        }
    }
    if ended.is_ok() {
        ended = translation.finish(&mut out);
    }
    let out = String::from_utf8(out).unwrap();
    (out, ended.err().map(|error| error.to_string()))
}
