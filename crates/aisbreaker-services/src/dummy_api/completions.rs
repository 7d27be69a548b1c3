//! `POST /v1/completions`, which came before chats.

use std::{iter, sync::Arc};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{
    Content, Request,
    answer::{Answer, Format, Question, check_max_tokens, tokens_read, words},
    chat_completions::{MAX_CHOICES, StreamOptions, choices, usage},
    event,
    fault::Fault,
    id,
    prompt::{Prompt, bytes},
    tool::{ToolChoice, Tools},
};
use crate::json_scan::{elements, text};

#[derive(Deserialize)]
struct CompletionRequest<'a> {
    #[serde(borrow)]
    prompt: Option<&'a RawValue>,
    n: Option<u32>,
    max_tokens: Option<u64>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
}

/// What is the same in all choices and chunks.
struct Completion {
    id: String,
    created: u64,
    model: String,
    /// The text of each choice, and why it ends.
    texts: Vec<(Arc<str>, &'static str)>,
    usage: Value,
}

pub(super) fn answer(request: Request<'_>) -> Result<Content, Fault> {
    let written: CompletionRequest<'_> = request.parse()?;
    let prompt = written.prompt.ok_or(Fault::missing("prompt"))?;
    let max_tokens = check_max_tokens(written.max_tokens, "max_tokens")?;
    let n = choices(written.n)?;
    let mut texts = Vec::new();
    let mut output_tokens = 0_u64;
    for prompt in prompts(prompt)? {
        let question = Question {
            model: request.model,
            prompt,
            tools: Tools(None),
            tool_choice: ToolChoice::None,
            format: Format::Text,
            max_tokens,
        };
        let answer = question.answer()?;
        output_tokens = output_tokens.saturating_add(answer.tokens().saturating_mul(n.into()));
        if let Answer::Text { text, is_cut } = answer {
            let finish_reason = if is_cut { "length" } else { "stop" };
            texts.extend((0..n).map(|_| (Arc::clone(&text), finish_reason)));
        }
    }
    let completion = Completion {
        id: id::fresh("cmpl-"),
        created: id::created(),
        model: request.model.name.clone(),
        texts,
        usage: usage(tokens_read(&[Some(prompt)]), output_tokens),
    };
    if written.stream == Some(true) {
        let with_usage = written.stream_options.unwrap_or_default().include_usage == Some(true);
        Ok(Content::Events(Box::new(completion.events(with_usage))))
    } else {
        Ok(Content::Json(completion.whole()))
    }
}

/// Returns the prompts: one, or a list of them. Tokens are no text, so a prompt of tokens is empty.
fn prompts(prompt: &RawValue) -> Result<Vec<Prompt>, Fault> {
    let one = |value: &[u8]| {
        let mut prompt = Prompt::default();
        prompt.add(&text(value).unwrap_or_default());
        prompt
    };
    let values: Vec<&[u8]> = elements(bytes(prompt))
        .take(usize::try_from(MAX_CHOICES).unwrap_or(0) + 1)
        .collect();
    match values.first() {
        Some(first) if first.starts_with(b"\"") || first.starts_with(b"[") => {
            if values.len() > usize::try_from(MAX_CHOICES).unwrap_or(0) {
                return Err(Fault::invalid("prompt", "must be at most 128 prompts"));
            }
            Ok(values.into_iter().map(one).collect())
        }
        Some(_) | None => Ok(vec![one(bytes(prompt))]),
    }
}

impl Completion {
    fn whole(&self) -> Value {
        let choices = self.texts.iter().enumerate().map(|(index, (text, reason))| {
            json!({"index": index, "text": &**text, "logprobs": null, "finish_reason": reason})
        });
        let mut whole = self.chunk(&Value::from_iter(choices));
        if let Some(members) = whole.as_object_mut() {
            members.insert("usage".to_owned(), self.usage.clone());
        }
        whole
    }

    fn events(self, with_usage: bool) -> impl Iterator<Item = Bytes> + Send {
        let mut last = self.chunk(&json!([]));
        if let Some(members) = last.as_object_mut() {
            members.insert("usage".to_owned(), self.usage.clone());
        }
        let last = with_usage.then(|| event::unnamed(&last));
        let texts = self.texts.clone();
        let chunks = texts
            .into_iter()
            .enumerate()
            .flat_map(|(index, (text, reason))| {
                let pieces = words(text).map(|word| (word, None));
                let end = iter::once((String::new(), Some(reason)));
                pieces.chain(end).map(move |(text, reason)| {
                json!([{"index": index, "text": text, "logprobs": null, "finish_reason": reason}])
            })
            });
        let chunks = chunks.map(move |choices| event::unnamed(&self.chunk(&choices)));
        chunks.chain(last).chain(iter::once(event::DONE))
    }

    fn chunk(&self, choices: &Value) -> Value {
        json!({
            "id": self.id, "object": "text_completion", "created": self.created,
            "model": self.model, "choices": choices,
        })
    }
}
