//! What a request may cost in tokens, as far as its body shows.

mod body;

use aisbreaker_api::InvalidRequest;
use aisbreaker_services::ServiceTier;

/// The tokens that an estimate has for an image, a recording or a document in the body.
const TOKENS_PER_MEDIUM: u64 = 2_000;
/// How many bytes of text an estimate takes for a token. Of the natural languages, none has fewer.
const BYTES_PER_TOKEN: u64 = 2;
/// How many answers a form is taken to ask for: the most that OpenAI's API makes.
const CHOICES_OF_FORM: u64 = 10;

/// The members that cap what is written, somewhere.
const CAPS: [&str; 6] = [
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "maxOutputTokens",
    "max_new_tokens",
    "max_tokens_to_sample",
];
/// The caps that an API obeys. Of others, it does whatever it likes, so that they may add to what is
/// reserved and take nothing from it.
pub(crate) type ObeyedCaps = &'static [&'static str];

pub(crate) const CAPS_OF_CHAT: ObeyedCaps = &["max_tokens", "max_completion_tokens"];
pub(crate) const CAPS_OF_MESSAGES: ObeyedCaps = &["max_tokens"];
pub(crate) const CAPS_OF_RESPONSES: ObeyedCaps = &["max_output_tokens"];

/// What a body shows of the tokens that may be read and written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Demand {
    /// The bytes of the body without its media.
    text_bytes: u64,
    media: u64,
    media_bytes: u64,
    /// Which of the caps there are.
    caps: [bool; CAPS.len()],
    /// Whether a cap is not a positive number.
    has_no_cap: bool,
    /// Whether a cap is obeyed.
    is_capped: bool,
    /// The largest of all caps.
    largest_cap: u64,
    /// How many answers are written.
    choices: u64,
    /// Whether something is read that is not in the body.
    reads_elsewhere: bool,
    pub(crate) writes_cache: bool,
    pub(crate) tier: Option<ServiceTier>,
}

/// Tokens to reserve.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct NeededTokens {
    pub(crate) input: u64,
    pub(crate) output: u64,
}

impl NeededTokens {
    pub(crate) fn total(self) -> u64 {
        self.input.saturating_add(self.output)
    }
}

/// What has no upper bound.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unbounded {
    /// What is read: not all of it is in the body, and the context window of the model is unknown.
    Input,
    /// What is written: the request has no cap, and the most that the model writes is unknown.
    Output,
}

/// What is known of a model.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct ModelBounds {
    /// The most tokens that it writes.
    pub(crate) max_output: Option<u64>,
    /// The most that it reads.
    pub(crate) context: Option<u64>,
}

impl Demand {
    /// Reads a JSON body.
    ///
    /// # Errors
    /// [`InvalidRequest`] if a member that decides about the cost is there twice, of which the
    /// provider could obey the other one, or if the body is not a JSON object.
    pub(crate) fn of_json(body: &[u8]) -> Result<Self, InvalidRequest> {
        body::read(body)
    }

    /// Takes a form for one medium of a request for as many answers as there can be.
    pub(crate) fn of_form() -> Self {
        Self {
            text_bytes: 0,
            media: 1,
            media_bytes: 0,
            caps: [false; CAPS.len()],
            has_no_cap: false,
            is_capped: false,
            largest_cap: 0,
            choices: CHOICES_OF_FORM,
            reads_elsewhere: true,
            writes_cache: false,
            tier: None,
        }
    }

    /// Sets the caps that are obeyed: none until then.
    pub(crate) fn obeying(mut self, obeyed: ObeyedCaps) -> Self {
        let mut caps = CAPS.iter().zip(self.caps);
        let is_capped = caps.any(|(name, is_there)| is_there && obeyed.contains(name));
        self.is_capped = is_capped && !self.has_no_cap;
        self
    }

    fn cap(&self) -> Option<u64> {
        self.is_capped.then_some(self.largest_cap)
    }

    /// Adds texts that are sent beside this body.
    pub(crate) fn with_text(mut self, other: &Self) -> Self {
        self.text_bytes = self.text_bytes.saturating_add(other.text_bytes);
        self.media = self.media.saturating_add(other.media);
        self.media_bytes = self.media_bytes.saturating_add(other.media_bytes);
        self.reads_elsewhere |= other.reads_elsewhere;
        self
    }

    /// Returns whether a cap bounds what is written.
    pub(crate) fn is_capped(&self) -> bool {
        self.is_capped
    }

    /// Returns whether a medium is read, in the body or elsewhere.
    pub(crate) fn has_media(&self) -> bool {
        self.media > 0 || self.reads_elsewhere
    }

    /// Returns how many answers are written: one at least.
    pub(crate) fn choices(&self) -> u64 {
        self.choices
    }

    /// Returns the tokens that natural text and common media have, and as output the cap, or what is
    /// to be reserved without one.
    pub(crate) fn estimate(&self, output_reserve: u64, bounds: ModelBounds) -> NeededTokens {
        let media = self.media.saturating_mul(TOKENS_PER_MEDIUM);
        let text = self.text_bytes.div_ceil(BYTES_PER_TOKEN);
        let uncapped = bounds
            .max_output
            .map_or(output_reserve, |most| most.min(output_reserve))
            .max(self.largest_cap);
        NeededTokens {
            input: text.saturating_add(media),
            output: self.cap().unwrap_or(uncapped).saturating_mul(self.choices),
        }
    }

    /// Returns the most tokens that can be read and written.
    pub(crate) fn bound(&self, bounds: ModelBounds) -> Result<NeededTokens, Unbounded> {
        let input = if self.reads_elsewhere || self.media > 0 {
            bounds.context.ok_or(Unbounded::Input)?
        } else {
            // No byte-level tokenizer has more tokens than bytes.
            self.text_bytes
        };
        let most = self.cap().or(bounds.max_output).ok_or(Unbounded::Output)?;
        Ok(NeededTokens {
            input,
            output: most.saturating_mul(self.choices),
        })
    }
}

#[cfg(test)]
mod tests;
