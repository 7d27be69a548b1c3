//! The events of a streamed response.

use std::{iter, sync::Arc};

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Response, Status, Written, text_part};
use crate::dummy_api::{
    answer::{Answer, words},
    event,
};

/// An event with the state of the response.
#[derive(Serialize)]
struct StateEvent<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    sequence_number: u64,
    response: Written<'a>,
}

/// What the events of a stream have, except for their number.
enum Step {
    /// The response at its start.
    Start(&'static str),
    /// A step of the only item of the output.
    Item(&'static str, Value),
    /// The whole response.
    End(&'static str),
}

impl Response {
    pub(super) fn events(self) -> impl Iterator<Item = Bytes> + Send {
        let end = match self.end_status() {
            Status::Incomplete => "response.incomplete",
            Status::InProgress | Status::Completed => "response.completed",
        };
        let status = self.end_status();
        let added = json!({"output_index": 0, "item": self.item(Status::InProgress)});
        let done = json!({"output_index": 0, "item": self.item(status)});
        let steps = ["response.created", "response.in_progress"].map(Step::Start);
        let steps = steps
            .into_iter()
            .chain(iter::once(Step::Item("response.output_item.added", added)))
            .chain(self.content_steps())
            .chain(iter::once(Step::Item("response.output_item.done", done)))
            .chain(iter::once(Step::End(end)));
        (0..)
            .zip(steps)
            .map(move |(number, step)| self.event(number, step))
    }

    /// Returns the steps of the content of the item.
    fn content_steps(&self) -> Box<dyn Iterator<Item = Step> + Send> {
        let item_id = self.item_id.clone();
        match &self.answer {
            Answer::Text { text, .. } => {
                let place =
                    move || json!({"item_id": item_id, "output_index": 0, "content_index": 0});
                let part = |text: &Arc<str>, kind, place: Value| {
                    Step::Item(kind, with(place, "part", text_part(text)))
                };
                let added = part(&"".into(), "response.content_part.added", place());
                let done = part(text, "response.content_part.done", place());
                let whole = with(place(), "text", json!(&**text));
                let whole = with(whole, "logprobs", json!([]));
                let deltas = words(Arc::clone(text)).map(move |word| {
                    let delta = with(place(), "delta", json!(word));
                    Step::Item(
                        "response.output_text.delta",
                        with(delta, "logprobs", json!([])),
                    )
                });
                let end = [Step::Item("response.output_text.done", whole), done];
                Box::new(iter::once(added).chain(deltas).chain(end))
            }
            Answer::ToolCall { name, arguments } => {
                let place = move || json!({"item_id": item_id, "output_index": 0});
                let whole = with(place(), "arguments", json!(&**arguments));
                let whole = with(whole, "name", json!(name));
                let deltas = words(Arc::clone(arguments)).map(move |piece| {
                    let delta = with(place(), "delta", json!(piece));
                    Step::Item("response.function_call_arguments.delta", delta)
                });
                let end = Step::Item("response.function_call_arguments.done", whole);
                Box::new(deltas.chain(iter::once(end)))
            }
        }
    }

    fn event(&self, sequence_number: u64, step: Step) -> Bytes {
        let (kind, response) = match step {
            Step::Start(kind) => (kind, self.at_start()),
            Step::End(kind) => (kind, self.at_end()),
            Step::Item(kind, members) => {
                let members = with(members, "type", json!(kind));
                return event::named(
                    kind,
                    &with(members, "sequence_number", json!(sequence_number)),
                );
            }
        };
        event::named(
            kind,
            &StateEvent {
                kind,
                sequence_number,
                response,
            },
        )
    }
}

/// Returns an object with one member more.
fn with(mut object: Value, name: &str, value: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
    object
}
