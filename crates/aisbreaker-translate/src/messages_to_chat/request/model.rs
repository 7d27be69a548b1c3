//! What the name of a model tells about the members that it takes.
//!
//! Providers of chat completions differ in two members: how the answer is limited, and how reasoning is controlled.
//! OpenAI's own models refuse what many others demand. A request does not say who answers it, so the model's name has
//! to: OpenAI's are `gpt-…`, `chatgpt-…` and `o` with a digit, with or without `openai/` or `ft:` in front.

use super::chat::Limit;

/// What a model takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Traits {
    is_openai: bool,
    tools: EffortWithTools,
    reasons: bool,
}

/// What a model does if there are tools.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum EffortWithTools {
    /// It takes any effort.
    Any,
    /// It takes tools only without an effort.
    Absent,
    /// It takes tools only with the effort `none`.
    None,
}

/// How much a model shall reason.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Effort {
    Low,
    Medium,
    /// The default of Anthropic's models, so it asks for nothing.
    High,
    Xhigh,
    Max,
}

impl Effort {
    pub(super) fn of_name(name: &str) -> Option<Self> {
        match name {
            "low" => Some(Self::Low),
            "medium" => Some(Self::Medium),
            "high" => Some(Self::High),
            "xhigh" => Some(Self::Xhigh),
            "max" => Some(Self::Max),
            _ => None,
        }
    }

    /// Returns the effort that comes closest to a number of tokens to think with.
    pub(super) fn of_budget(tokens: u64) -> Self {
        match tokens {
            0..4096 => Self::Low,
            4096..16384 => Self::Medium,
            _ => Self::High,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
            Self::Max => "max",
        }
    }
}

impl Traits {
    const OTHER: Self = Self {
        is_openai: false,
        tools: EffortWithTools::Any,
        reasons: false,
    };

    pub(super) fn of(model: &str) -> Self {
        let (host, name) = model.rsplit_once('/').unwrap_or(("", model));
        let name = name.strip_prefix("ft:").unwrap_or(name);
        let openai = |reasons, tools| Self {
            is_openai: true,
            // Others that offer OpenAI's models do not call them by chat completions.
            tools: if host.is_empty() {
                tools
            } else {
                EffortWithTools::Any
            },
            reasons,
        };
        if let Some(version) = name.strip_prefix("gpt-") {
            return match gpt_version(version) {
                // Open weights, which any provider can serve.
                _ if version.starts_with("oss") => Self::OTHER,
                Some((0..5, _)) | None => openai(false, EffortWithTools::Any),
                Some((5, 0..=1)) => openai(true, EffortWithTools::Any),
                Some((5, 2..=5)) => openai(true, EffortWithTools::Absent),
                Some(_) => openai(true, EffortWithTools::None),
            };
        }
        if name.starts_with("chatgpt-") {
            return openai(false, EffortWithTools::Any);
        }
        match name.strip_prefix('o').and_then(|rest| rest.bytes().next()) {
            Some(b'0'..=b'9') => openai(true, EffortWithTools::Any),
            _ => Self::OTHER,
        }
    }

    pub(super) fn limit(self, tokens: u64) -> Limit {
        if self.is_openai {
            Limit::MaxCompletionTokens(tokens)
        } else {
            Limit::MaxTokens(tokens)
        }
    }

    /// Returns the effort to send.
    pub(super) fn reasoning_effort(
        self,
        effort: Option<Effort>,
        has_tools: bool,
    ) -> Option<&'static str> {
        let tools = if has_tools {
            self.tools
        } else {
            EffortWithTools::Any
        };
        match (effort, tools) {
            (Some(effort), _) if effort != Effort::High => Some(effort.name()),
            (_, EffortWithTools::None) => Some("none"),
            (Some(effort), EffortWithTools::Any) if self.reasons => Some(effort.name()),
            _ => None,
        }
    }
}

/// Reads `5.4-mini` as 5 and 4. A version without a dot is followed by a zero.
fn gpt_version(version: &str) -> Option<(u32, u32)> {
    let end = version.find(|c: char| c != '.' && !c.is_ascii_digit());
    let numbers = version.get(..end.unwrap_or(version.len()))?;
    let (major, minor) = numbers.split_once('.').unwrap_or((numbers, "0"));
    Some((major.parse().ok()?, minor.parse().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_openai_models_are_limited_by_max_completion_tokens() {
        for model in [
            "gpt-4o",
            "gpt-5",
            "gpt-6-astra",
            "o3",
            "o4-mini",
            "openai/gpt-5.1",
            "ft:gpt-4.1:org",
            "chatgpt-4o-latest",
        ] {
            assert_eq!(
                Traits::of(model).limit(9),
                Limit::MaxCompletionTokens(9),
                "{model}"
            );
        }
        for model in [
            "gpt-oss-120b",
            "openai/gpt-oss-20b",
            "deepseek-chat",
            "olmo-3",
            "mistral-large",
            "o",
            "",
        ] {
            assert_eq!(Traits::of(model).limit(9), Limit::MaxTokens(9), "{model}");
        }
    }

    #[test]
    fn effort_is_sent_where_models_take_it() {
        let high = Some(Effort::High);
        let low = Some(Effort::Low);
        for (model, effort, has_tools, sent) in [
            ("gpt-5", high, true, Some("high")),
            ("gpt-5.1", None, true, None),
            ("gpt-5.4", high, false, Some("high")),
            ("gpt-5.4-mini", high, true, None),
            ("gpt-5.4", low, true, Some("low")),
            ("gpt-5.6-terra", high, true, Some("none")),
            ("gpt-5.10", None, true, Some("none")),
            ("gpt-6-astra", None, true, Some("none")),
            ("gpt-6-astra", None, false, None),
            ("gpt-6-astra", low, true, Some("low")),
            ("openai/gpt-6", high, true, Some("high")),
            ("o3", high, true, Some("high")),
            ("gpt-4.1", high, false, None),
            ("mistral-large", high, true, None),
            ("mistral-large", low, true, Some("low")),
        ] {
            assert_eq!(
                Traits::of(model).reasoning_effort(effort, has_tools),
                sent,
                "{model} {effort:?} {has_tools}"
            );
        }
    }
}
