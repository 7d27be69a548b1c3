//! The checks of the fuzz targets, replayed over `fuzz/corpus`.

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "the fuzz targets use this as a library")]
#[expect(clippy::expect_used, reason = "a failed step of a test fails the test")]
mod checks;
#[path = "../../fuzz_corpus.rs"]
mod replay;
