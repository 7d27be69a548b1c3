//! The calls of a simulation.

use fastrand::Rng;

/// The longest call, in seconds.
const MAX_SECONDS: u64 = 300;
/// The most tokens that the model writes.
const MAX_OUTPUT: u64 = 16_384;
/// What an estimate reserves for the output if the call has no cap.
const OUTPUT_RESERVE: u64 = 4_096;

/// A call to a model.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) millis: u64,
    /// The text of the input in bytes, and the tokens that it has.
    text_bytes: u64,
    input: u64,
    /// The tokens of the output, and the most of them that the caller allows.
    output: u64,
    cap: Option<u64>,
}

/// How much is reserved for a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reserve {
    /// What a call of its kind probably uses.
    Estimate,
    /// The most that it can use.
    Strict,
}

impl Call {
    /// Returns the tokens that it costs.
    pub(crate) const fn used(&self) -> u64 {
        self.input.saturating_add(self.output)
    }

    /// Returns the tokens that are reserved for it.
    pub(crate) fn reservation(&self, reserve: Reserve) -> u64 {
        match reserve {
            Reserve::Estimate => self.text_bytes.div_ceil(2) + self.cap.unwrap_or(OUTPUT_RESERVE),
            Reserve::Strict => self.text_bytes + self.cap.unwrap_or(MAX_OUTPUT),
        }
    }
}

/// Calls in an order that follows from a seed.
pub(crate) struct Traffic {
    random: Rng,
}

impl Traffic {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Rng::with_seed(seed),
        }
    }

    /// Returns the next call.
    pub(crate) fn call(&mut self) -> Call {
        let random = &mut self.random;
        // Every doubling of the length is equally likely.
        let shortest = 1 << random.u64(0..=8);
        let longest = MAX_SECONDS.min(2 * shortest);
        let millis = random.u64(1_000 * shortest..=1_000 * longest);
        let tokens_per_second = random.u64(20..=60);
        let output = (millis * tokens_per_second / 1_000).min(MAX_OUTPUT);
        let input = random.u64(200..=4_000);
        let bytes_per_ten_tokens = random.u64(26..=44);
        let tenths_of_output = random.u64(10..=40);
        let has_cap = random.u64(0..4) > 0;
        Call {
            millis,
            text_bytes: input * bytes_per_ten_tokens / 10,
            input,
            output,
            cap: has_cap.then(|| (output * tenths_of_output / 10).min(MAX_OUTPUT)),
        }
    }
}
