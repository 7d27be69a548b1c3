//! What a figure is to reach, which may depend on the processor.

use crate::machine::Vendor;

/// What a figure is to reach.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    AtMost(Limit),
    AtLeast(Limit),
    None,
}

/// The figure of a goal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    Everywhere(f64),
    /// Ratios of user mode to the kernel differ between processors, and with them the ratio to a
    /// proxy that is mostly in the kernel.
    ByVendor {
        amd: f64,
        intel: f64,
    },
}

impl Goal {
    pub(crate) const fn at_most(limit: f64) -> Self {
        Self::AtMost(Limit::Everywhere(limit))
    }

    pub(crate) const fn at_most_by_vendor(amd: f64, intel: f64) -> Self {
        Self::AtMost(Limit::ByVendor { amd, intel })
    }

    pub(crate) const fn at_least_by_vendor(amd: f64, intel: f64) -> Self {
        Self::AtLeast(Limit::ByVendor { amd, intel })
    }

    /// Returns the goal as text, for a processor of this vendor.
    pub(crate) fn text(self, vendor: Vendor) -> String {
        let (sign, limit) = match self {
            Self::AtMost(limit) => ('≤', limit),
            Self::AtLeast(limit) => ('≥', limit),
            Self::None => return String::new(),
        };
        match (limit, vendor) {
            (Limit::Everywhere(limit), _) => format!("{sign} {limit}"),
            (Limit::ByVendor { amd, .. }, Vendor::Amd) => format!("{sign} {amd} on AMD"),
            (Limit::ByVendor { intel, .. }, Vendor::Intel) => format!("{sign} {intel} on Intel"),
            (Limit::ByVendor { amd, intel }, Vendor::Other) => {
                format!("{sign} {amd} on AMD, {sign} {intel} on Intel")
            }
        }
    }

    /// Returns whether a figure meets the goal; `None` if there is none for a processor of this
    /// vendor.
    pub(crate) fn is_met(self, figure: f64, vendor: Vendor) -> Option<bool> {
        match self {
            Self::AtMost(limit) => limit.on(vendor).map(|limit| figure <= limit),
            Self::AtLeast(limit) => limit.on(vendor).map(|limit| figure >= limit),
            Self::None => None,
        }
    }
}

impl Limit {
    fn on(self, vendor: Vendor) -> Option<f64> {
        match (self, vendor) {
            (Self::Everywhere(limit), _) => Some(limit),
            (Self::ByVendor { amd, .. }, Vendor::Amd) => Some(amd),
            (Self::ByVendor { intel, .. }, Vendor::Intel) => Some(intel),
            (Self::ByVendor { .. }, Vendor::Other) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_that_of_the_vendor() {
        let cpu = Goal::at_most_by_vendor(1.35, 1.6);
        assert_eq!(cpu.text(Vendor::Amd), "≤ 1.35 on AMD");
        assert_eq!(cpu.text(Vendor::Intel), "≤ 1.6 on Intel");
        assert_eq!(cpu.text(Vendor::Other), "≤ 1.35 on AMD, ≤ 1.6 on Intel");
        assert_eq!(cpu.is_met(1.5, Vendor::Amd), Some(false));
        assert_eq!(cpu.is_met(1.5, Vendor::Intel), Some(true));
        assert_eq!(cpu.is_met(1.5, Vendor::Other), None);
    }

    #[test]
    fn a_goal_of_all_vendors_is_an_inclusive_limit() {
        let most = Goal::at_most(1.1);
        let least = Goal::at_least_by_vendor(0.8, 0.7);
        assert_eq!(most.text(Vendor::Other), "≤ 1.1");
        assert_eq!(most.is_met(1.1, Vendor::Other), Some(true));
        assert_eq!(most.is_met(1.11, Vendor::Other), Some(false));
        assert_eq!(least.text(Vendor::Intel), "≥ 0.7 on Intel");
        assert_eq!(least.is_met(0.8, Vendor::Amd), Some(true));
        assert_eq!(least.is_met(0.79, Vendor::Amd), Some(false));
    }

    #[test]
    fn no_goal_is_neither_met_nor_missed() {
        assert_eq!(Goal::None.text(Vendor::Amd), "");
        assert_eq!(Goal::None.is_met(1.0, Vendor::Amd), None);
    }
}
