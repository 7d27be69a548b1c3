//! Parameters without a counterpart. A value that asks for nothing passes.

use serde_json::value::RawValue;

use crate::{
    Untranslatable,
    members::{self, Members, NO_COUNTERPART},
};

/// Which value of a parameter asks for nothing. Besides, `null` always does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Neutral {
    Null,
    False,
    Zero,
    One,
    EmptyObject,
    EmptyArray,
    /// The array `["text"]`.
    Text,
    /// The string `medium`.
    Medium,
}

const RETIRED: &str = "is retired by OpenAI and not translated: use tools and tool_choice";

const REFUSED: [(&str, Neutral, &str); 20] = [
    ("audio", Neutral::Null, NO_COUNTERPART),
    ("frequency_penalty", Neutral::Zero, NO_COUNTERPART),
    ("function_call", Neutral::Null, RETIRED),
    ("functions", Neutral::EmptyArray, RETIRED),
    ("logit_bias", Neutral::EmptyObject, NO_COUNTERPART),
    ("logprobs", Neutral::False, NO_COUNTERPART),
    ("metadata", Neutral::EmptyObject, NO_COUNTERPART),
    ("modalities", Neutral::Text, NO_COUNTERPART),
    ("moderation", Neutral::Null, NO_COUNTERPART),
    ("n", Neutral::One, NO_COUNTERPART),
    ("prediction", Neutral::Null, NO_COUNTERPART),
    ("presence_penalty", Neutral::Zero, NO_COUNTERPART),
    ("prompt_cache_key", Neutral::Null, NO_COUNTERPART),
    ("prompt_cache_options", Neutral::Null, NO_COUNTERPART),
    ("prompt_cache_retention", Neutral::Null, NO_COUNTERPART),
    ("seed", Neutral::Null, NO_COUNTERPART),
    ("store", Neutral::False, NO_COUNTERPART),
    ("top_logprobs", Neutral::Zero, NO_COUNTERPART),
    ("verbosity", Neutral::Medium, NO_COUNTERPART),
    ("web_search_options", Neutral::Null, NO_COUNTERPART),
];

/// Takes out of a request what asks for nothing, and refuses what asks for something.
pub(super) fn check(request: &mut Members<'_>) -> Result<(), Untranslatable> {
    for (name, neutral, reason) in REFUSED {
        if let Some(value) = request.take(name)
            && !asks_for_nothing(value, neutral)
        {
            return Err(Untranslatable::new(name, reason));
        }
    }
    Ok(())
}

fn asks_for_nothing(value: &RawValue, neutral: Neutral) -> bool {
    let is_number = |expected: f64| members::number(value).is_ok_and(|number| number == expected);
    match neutral {
        Neutral::Null => false,
        Neutral::False => value.get() == "false",
        Neutral::Zero => is_number(0.0),
        Neutral::One => is_number(1.0),
        Neutral::EmptyObject => Members::read(value).is_ok_and(|members| members.is_empty()),
        Neutral::EmptyArray => strings(value).is_some_and(|strings| strings.is_empty()),
        Neutral::Text => strings(value).is_some_and(|strings| strings == ["text"]),
        Neutral::Medium => members::text(value).is_ok_and(|text| text == "medium"),
    }
}

/// Returns the strings of an array that holds at most one.
fn strings(array: &RawValue) -> Option<Vec<String>> {
    let mut strings = Vec::new();
    let read = members::for_each_item(array, |index, item| {
        if index > 0 {
            return Err(Untranslatable::new("", "is too many"));
        }
        strings.push(members::text(item)?.into_owned());
        Ok(())
    });
    read.is_ok().then_some(strings)
}
