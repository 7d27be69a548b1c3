//! Writes responses and conversation states as JSON, into one buffer.
//!
//! The bytes are those of the types' `Serialize`.

use crate::{
    message::Message,
    request::{Input, InputText},
    response::{Output, OutputText, Response, ServiceUsage, Usage},
    write,
};

/// The room for the members of a text besides its content.
const TEXT_BYTES: usize = 96;
/// The room for the members of a response besides its outputs, its state and the provider's own
/// response.
const RESPONSE_BYTES: usize = 384;

impl Response {
    /// Returns the response as JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.json_bytes());
        out.extend_from_slice(b"{\"outputs\":");
        write::list(&mut out, &self.outputs, output);
        if let Some(state) = &self.conversation_state {
            member(&mut out, b",\"conversationState\":", state);
        }
        out.extend_from_slice(b",\"usage\":");
        usage(&mut out, &self.usage);
        if let Some(json) = &self.intern_response {
            out.extend_from_slice(b",\"internResponse\":");
            out.extend_from_slice(json.as_str().as_bytes());
        }
        out.push(b'}');
        out
    }

    /// Returns about how long the JSON is.
    fn json_bytes(&self) -> usize {
        let outputs = self.outputs.iter().map(|output| match output {
            Output::Text(text) => text.content.len().saturating_add(TEXT_BYTES),
            Output::Image(_) => TEXT_BYTES,
        });
        let state = self.conversation_state.as_ref().map_or(0, String::len);
        let json = self.intern_response.as_ref();
        outputs
            .chain([state, json.map_or(0, |json| json.as_str().len())])
            .fold(RESPONSE_BYTES, usize::saturating_add)
    }
}

/// Returns a conversation state as JSON: its messages, and those of a turn after them.
pub(crate) fn state(messages: &[Message], inputs: &[Input], outputs: &[Output]) -> Vec<u8> {
    let mut out = Vec::with_capacity(RESPONSE_BYTES);
    let mut separator: &[u8] = b"{\"messages\":[";
    for message in messages {
        out.extend_from_slice(separator);
        match message {
            Message::Input(one) => input_message(&mut out, one),
            Message::Output(one) => output_message(&mut out, one),
        }
        separator = b",";
    }
    for one in inputs {
        out.extend_from_slice(separator);
        input_message(&mut out, one);
        separator = b",";
    }
    for one in outputs {
        out.extend_from_slice(separator);
        output_message(&mut out, one);
        separator = b",";
    }
    if separator != b"," {
        out.extend_from_slice(separator);
    }
    out.extend_from_slice(b"]}");
    out
}

fn input_message(out: &mut Vec<u8>, one: &Input) {
    out.extend_from_slice(b"{\"input\":");
    match one {
        Input::Text(text) => input_text(out, text),
        Input::Image(_) => write::value(out, one),
    }
    out.push(b'}');
}

fn output_message(out: &mut Vec<u8>, one: &Output) {
    out.extend_from_slice(b"{\"output\":");
    output(out, one);
    out.push(b'}');
}

fn input_text(out: &mut Vec<u8>, text: &InputText) {
    out.extend_from_slice(b"{\"text\":{\"role\":\"");
    out.extend_from_slice(text.role.name().as_bytes());
    member(out, b"\",\"content\":", &text.content);
    out.extend_from_slice(b"}}");
}

fn output(out: &mut Vec<u8>, output: &Output) {
    match output {
        Output::Text(text) => output_text(out, text),
        Output::Image(_) => write::value(out, output),
    }
}

fn output_text(out: &mut Vec<u8>, text: &OutputText) {
    out.extend_from_slice(b"{\"text\":{\"index\":");
    write::value(out, &text.index);
    out.extend_from_slice(b",\"role\":\"");
    out.extend_from_slice(text.role.name().as_bytes());
    member(out, b"\",\"content\":", &text.content);
    flag(out, b",\"isDelta\":", text.is_delta);
    flag(out, b",\"isProcessing\":", text.is_processing);
    out.extend_from_slice(b"}}");
}

fn usage(out: &mut Vec<u8>, usage: &Usage) {
    out.extend_from_slice(b"{\"service\":");
    service(out, &usage.service);
    count(out, b",\"inputTokens\":", usage.input_tokens);
    count(out, b",\"outputTokens\":", usage.output_tokens);
    count(out, b",\"totalTokens\":", usage.total_tokens);
    if let Some(cost) = usage.cost {
        out.extend_from_slice(b",\"cost\":");
        write::value(out, &cost);
    }
    count(
        out,
        b",\"totalMilliseconds\":",
        Some(usage.total_milliseconds),
    );
    if !usage.warnings.is_empty() {
        out.extend_from_slice(b",\"warnings\":");
        write::list(out, &usage.warnings, |out, text| write::text(out, text));
    }
    for (name, value) in &usage.other {
        out.push(b',');
        write::text(out, name);
        out.push(b':');
        write::value(out, value);
    }
    out.push(b'}');
}

fn service(out: &mut Vec<u8>, service: &ServiceUsage) {
    member(out, b"{\"serviceId\":", &service.service_id);
    if let Some(engine) = &service.engine {
        member(out, b",\"engine\":", engine);
    }
    if let Some(url) = &service.url {
        member(out, b",\"url\":", url);
    }
    out.push(b'}');
}

fn member(out: &mut Vec<u8>, name: &[u8], text: &str) {
    out.extend_from_slice(name);
    write::text(out, text);
}

fn flag(out: &mut Vec<u8>, name: &[u8], flag: Option<bool>) {
    if let Some(flag) = flag {
        out.extend_from_slice(name);
        out.extend_from_slice(if flag { b"true" } else { b"false" });
    }
}

fn count(out: &mut Vec<u8>, name: &[u8], count: Option<u64>) {
    if let Some(count) = count {
        out.extend_from_slice(name);
        write::value(out, &count);
    }
}

#[cfg(test)]
mod tests;
