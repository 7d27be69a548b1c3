//! Replays the corpus of each fuzz target through the target's check, on a stable toolchain.
//!
//! A crate with fuzz targets includes this file in a test module, next to `checks`, the library in
//! its `fuzz/src`.

use std::{fs, path::Path};

use super::checks::TARGETS;

#[test]
fn every_corpus_file_passes_its_check() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");

    for (target, check) in TARGETS {
        let mut file_count = 0;
        for entry in fs::read_dir(corpus.join(target)).unwrap() {
            let path = entry.unwrap().path();
            // The test harness shows this only when the check panics.
            println!("{}", path.display());
            check(&fs::read(&path).unwrap());
            file_count += 1;
        }
        assert!(
            file_count >= 20,
            "{target} has only {file_count} corpus files"
        );
    }

    let corpus_count = fs::read_dir(corpus).unwrap().count();
    assert_eq!(corpus_count, TARGETS.len(), "a corpus without a target");
}
