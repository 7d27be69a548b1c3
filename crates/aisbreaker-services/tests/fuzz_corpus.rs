//! The checks of the fuzz targets, replayed over `fuzz/corpus`.

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "the fuzz targets use this as a library")]
mod checks;
#[path = "../../fuzz_corpus.rs"]
mod replay;
