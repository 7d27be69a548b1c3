//! The buckets of the histograms, in seconds.

/// Doubles from 10 ms to 82 s: from a fast answer to one that is about to time out.
pub(super) const DURATION: [f64; 14] = doubling(0.01);
/// Doubles from 1 ms to 66 s.
pub(super) const FIRST_BYTE: [f64; 17] = doubling(0.001);
/// Doubles from 0.1 ms to 0.8 s. This server's own part is far below a duration.
pub(super) const OVERHEAD: [f64; 14] = doubling(0.0001);
/// From a nearby store to the longest sensible deadline.
pub(super) const STORE: [f64; 10] = [
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1,
];

const fn doubling<const N: usize>(first: f64) -> [f64; N] {
    let mut buckets = [first; N];
    let mut index = 1;
    while index < N {
        buckets[index] = buckets[index - 1] * 2.0;
        index += 1;
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_reach_82_seconds() {
        assert_eq!(DURATION.last(), Some(&81.92));
    }
}
