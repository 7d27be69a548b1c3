//! What holds for any answer: however it is cut into a stream, and whether it is sent back.

use std::collections::VecDeque;

use aisbreaker_translate::messages_to_chat::translate_request;
use proptest::{
    collection::{hash_map, vec},
    prelude::*,
    sample::{Index, select},
};
use serde_json::{Map, Value, json};

use crate::{
    properties::any_json,
    support::{ServerSentEvent, accumulate, answers, translate_stream},
};

/// An answer, cut into the pieces of a stream.
#[derive(Clone, Debug)]
struct Pieces {
    reasoning: Vec<String>,
    content: Vec<String>,
    refusal: Vec<String>,
    /// The name of each call, and the pieces of its arguments.
    calls: Vec<(String, Vec<String>)>,
    finish_reason: &'static str,
    /// Which of the calls goes on.
    turns: Vec<Index>,
}

/// A text in pieces, some of which are empty.
fn text_pieces() -> impl Strategy<Value = Vec<String>> {
    vec(
        prop_oneof![3 => any::<String>(), 1 => Just(String::new())],
        0..4,
    )
}

/// The text of a JSON object in pieces.
fn argument_pieces() -> impl Strategy<Value = Vec<String>> {
    let object = hash_map(any::<String>(), any_json(), 0..3);
    (object, any::<bool>(), vec(any::<Index>(), 0..5)).prop_map(|(object, is_pretty, cuts)| {
        let object = Value::from(Map::from_iter(object));
        let text = if is_pretty {
            format!("{object:#}")
        } else {
            object.to_string()
        };
        let chars: Vec<char> = text.chars().collect();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(chars.len())).collect();
        cuts.sort_unstable();
        let (starts, ends) = (cuts.iter().copied(), cuts.iter().copied());
        std::iter::once(0)
            .chain(starts)
            .zip(ends.chain([chars.len()]))
            .map(|(start, end)| chars[start..end].iter().collect())
            .collect()
    })
}

fn pieces() -> impl Strategy<Value = Pieces> {
    let name = "[a-z_]{1,8}";
    let calls = vec((name, argument_pieces()), 0..4);
    let finish_reason = select(&["stop", "tool_calls", "length", "content_filter"][..]);
    let turns = vec(any::<Index>(), 0..24);
    (
        text_pieces(),
        text_pieces(),
        text_pieces(),
        calls,
        finish_reason,
        turns,
    )
        .prop_map(
            |(reasoning, content, refusal, calls, finish_reason, turns)| Pieces {
                reasoning,
                content,
                refusal,
                calls,
                finish_reason,
                turns,
            },
        )
}

impl Pieces {
    fn response(&self) -> Value {
        let calls = self
            .calls
            .iter()
            .enumerate()
            .map(|(index, (name, arguments))| {
                let function = json!({"name": name, "arguments": arguments.concat()});
                json!({"id": format!("call_{index}"), "type": "function", "function": function})
            });
        let message = json!({
            "role": "assistant",
            "reasoning_content": self.reasoning.concat(),
            "content": self.content.concat(),
            "refusal": self.refusal.concat(),
            "tool_calls": calls.collect::<Vec<_>>(),
        });
        let choice = json!({"index": 0, "message": message, "finish_reason": self.finish_reason});
        self.completion(json!([choice]), true)
    }

    fn completion(&self, choices: Value, has_usage: bool) -> Value {
        let usage = json!({"prompt_tokens": 9, "completion_tokens": self.turns.len()});
        json!({
            "id": "chatcmpl-1",
            "model": "m",
            "choices": choices,
            "usage": if has_usage { usage } else { Value::Null },
        })
    }

    fn chunk(&self, delta: Value, finish_reason: Option<&str>) -> Value {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish_reason});
        self.completion(json!([choice]), false)
    }

    fn events(&self) -> Vec<ServerSentEvent> {
        let mut chunks = vec![self.chunk(json!({"role": "assistant", "content": ""}), None)];
        let texts = [
            ("reasoning_content", &self.reasoning),
            ("content", &self.content),
            ("refusal", &self.refusal),
        ];
        for (name, pieces) in texts {
            chunks.extend(
                pieces
                    .iter()
                    .map(|piece| self.chunk(json!({name: piece}), None)),
            );
        }
        chunks.extend(
            self.calls_in_turns()
                .into_iter()
                .map(|call| self.chunk(json!({"tool_calls": [call]}), None)),
        );
        chunks.push(self.chunk(json!({}), Some(self.finish_reason)));
        chunks.push(self.completion(json!([]), true));
        let data = chunks
            .iter()
            .map(Value::to_string)
            .chain(["[DONE]".to_owned()]);
        data.map(|data| ("message".to_owned(), data)).collect()
    }

    /// Returns the pieces of calls: they begin in order, and go on in any.
    fn calls_in_turns(&self) -> Vec<Value> {
        let mut waiting: VecDeque<_> = self.calls.iter().enumerate().collect();
        let mut begun: Vec<(usize, VecDeque<&String>)> = Vec::new();
        let mut turns = self.turns.iter();
        let mut pieces = Vec::new();
        while !waiting.is_empty() || !begun.is_empty() {
            let turn = turns.next().map_or(0, |turn| turn.index(begun.len() + 1));
            if let Some((index, arguments)) = begun.get_mut(turn) {
                match arguments.pop_front() {
                    Some(piece) => {
                        pieces.push(json!({"index": *index, "function": {"arguments": piece}}));
                    }
                    None => drop(begun.remove(turn)),
                }
            } else if let Some((index, (name, arguments))) = waiting.pop_front() {
                let function = json!({"name": name, "arguments": ""});
                let id = format!("call_{index}");
                pieces.push(
                    json!({"index": index, "id": id, "type": "function", "function": function}),
                );
                begun.push((index, arguments.iter().collect()));
            }
        }
        pieces
    }
}

proptest! {
    #[test]
    fn a_stream_adds_up_to_the_response(pieces in pieces(), has_thinking in any::<bool>()) {
        let answers = answers(has_thinking);
        let response = answers.translate_response(pieces.response().to_string().as_bytes()).unwrap();
        let response: Value = serde_json::from_slice(&response).unwrap();
        let stream = translate_stream(&answers, &pieces.events()).unwrap();
        prop_assert_eq!(accumulate(&stream), Ok(response));
    }

    #[test]
    fn an_answer_goes_back_as_the_provider_sent_it(pieces in pieces(), has_thinking in any::<bool>()) {
        let provider = pieces.response();
        let sent = &provider["choices"][0]["message"];
        let calls = sent["tool_calls"].as_array().unwrap();
        prop_assume!(sent["content"] != "" || !calls.is_empty());

        let answer = answers(has_thinking).translate_response(provider.to_string().as_bytes()).unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let results = calls.iter().map(|call| json!({"type": "tool_result", "tool_use_id": call["id"]}));
        let results = results.chain([json!({"type": "text", "text": "Go on."})]);
        let request = json!({"model": "fast", "max_tokens": 1, "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": answer["content"]},
            {"role": "user", "content": results.collect::<Vec<_>>()},
        ]});
        let request = translate_request(request.to_string().as_bytes(), "any").unwrap();
        let request: Value = serde_json::from_slice(&request.body).unwrap();

        let text = format!("{}{}", sent["content"].as_str().unwrap(), sent["refusal"].as_str().unwrap());
        let reasoning = sent["reasoning_content"].as_str().filter(|text| !text.is_empty());
        let reasoning = reasoning.filter(|_| has_thinking || !calls.is_empty());
        let back = &request["messages"][1];
        prop_assert_eq!(back["content"].as_str().unwrap_or_default(), text);
        prop_assert_eq!(back["reasoning_content"].as_str(), reasoning);
        prop_assert_eq!(back["tool_calls"].as_array().map_or(0, Vec::len), calls.len());
        for (back, sent) in back["tool_calls"].as_array().into_iter().flatten().zip(calls) {
            prop_assert_eq!(&back["id"], &sent["id"]);
            prop_assert_eq!(&back["function"]["name"], &sent["function"]["name"]);
            let [back, sent] = [back, sent].map(|call| call["function"]["arguments"].as_str().unwrap());
            let arguments: [Value; 2] = [back, sent].map(|text| serde_json::from_str(text).unwrap());
            prop_assert_eq!(&arguments[0], &arguments[1]);
        }
    }
}
