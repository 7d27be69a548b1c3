//! A body that comes from no server.

use bytes::Bytes;
use http_body::SizeHint;

use crate::memory_budget::MemoryBudget;

/// Pieces that are taken one by one.
pub(crate) struct LocalBody {
    /// `None` at the end.
    pieces: Option<Box<dyn Iterator<Item = Bytes> + Send>>,
    /// How many bytes are left, if that is known.
    left: Option<u64>,
    budget: MemoryBudget,
}

impl LocalBody {
    pub(crate) fn new(
        pieces: impl Iterator<Item = Bytes> + Send + 'static,
        length: Option<u64>,
        budget: MemoryBudget,
    ) -> Self {
        Self {
            pieces: Some(Box::new(pieces)),
            left: length,
            budget,
        }
    }

    pub(crate) fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    /// Returns the next piece; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Bytes> {
        let Some(piece) = self.pieces.as_mut()?.next() else {
            self.pieces = None;
            return None;
        };
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.left = self.left.map(|left| left.saturating_sub(length));
        Some(piece)
    }

    /// Returns whether no piece is left, as far as is known.
    pub(crate) fn is_over(&self) -> bool {
        self.pieces.is_none() || self.left == Some(0)
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match (&self.pieces, self.left) {
            (None, _) => SizeHint::with_exact(0),
            (Some(_), Some(left)) => SizeHint::with_exact(left),
            (Some(_), None) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Body;

    fn pieces() -> impl Iterator<Item = Bytes> + Send {
        ["ab", "c"].map(Bytes::from).into_iter()
    }

    #[test]
    fn what_is_left_of_a_known_length_is_exact() {
        let mut body = LocalBody::new(pieces(), Some(3), MemoryBudget::default());

        assert_eq!((body.size_hint().exact(), body.is_over()), (Some(3), false));
        assert_eq!(body.next().as_deref(), Some(&b"ab"[..]));
        assert_eq!((body.size_hint().exact(), body.is_over()), (Some(1), false));
        assert_eq!(body.next().as_deref(), Some(&b"c"[..]));
        assert_eq!((body.size_hint().exact(), body.is_over()), (Some(0), true));
        assert_eq!(body.next(), None);
    }

    #[test]
    fn an_unknown_length_ends_with_the_pieces() {
        let mut body = LocalBody::new(pieces(), None, MemoryBudget::default());

        assert_eq!(body.size_hint().exact(), None);
        assert_eq!(std::iter::from_fn(|| body.next()).count(), 2);
        assert!(body.is_over());
        assert_eq!(body.next(), None);
    }

    #[tokio::test]
    async fn a_local_body_is_collected_within_its_budget() {
        let body = Body::local(pieces(), None, MemoryBudget::default());
        let (whole, _reservation) = body.collect_bounded().await.unwrap();
        assert_eq!(whole, "abc");

        let large = std::iter::once(Bytes::from(vec![0; 64 << 10]));
        let small_budget = MemoryBudget::new(16 << 10);
        let refused = Body::local(large, None, small_budget)
            .collect_bounded()
            .await;
        assert!(
            matches!(refused, Err(crate::CollectError::BudgetSpent(_))),
            "{refused:?}"
        );
    }
}
