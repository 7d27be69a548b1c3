//! The tier in which a provider served a call.

/// The tier in which a provider served a call, which its price depends on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ServiceTier {
    /// The provider's usual service.
    Standard,
    /// Faster than usual.
    Priority,
    /// Slower than usual, or refused when the provider is busy.
    Flex,
    /// Within hours.
    Batch,
}

impl ServiceTier {
    /// Returns the tier by the name that a provider has for it; `None` for an unknown name, and for
    /// `auto`, which leaves the choice to the provider.
    ///
    /// Names of tiers with capacity that was bought before (OpenAI's `scale`) are `Standard`.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            // OpenAI, Anthropic, Groq.
            "default" | "standard" | "on_demand" | "scale" => Some(Self::Standard),
            // `fast` is another name of OpenAI's, `performance` is Groq's.
            "priority" | "fast" | "performance" => Some(Self::Priority),
            "flex" => Some(Self::Flex),
            "batch" => Some(Self::Batch),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_have_the_names_of_providers() {
        let rows = [
            ("default", Some(ServiceTier::Standard)),
            ("standard", Some(ServiceTier::Standard)),
            ("on_demand", Some(ServiceTier::Standard)),
            ("scale", Some(ServiceTier::Standard)),
            ("priority", Some(ServiceTier::Priority)),
            ("fast", Some(ServiceTier::Priority)),
            ("performance", Some(ServiceTier::Priority)),
            ("flex", Some(ServiceTier::Flex)),
            ("batch", Some(ServiceTier::Batch)),
            ("auto", None),
            ("", None),
        ];
        for (name, tier) in rows {
            assert_eq!(ServiceTier::of_name(name), tier, "{name}");
        }
    }
}
