//! Every file of `fuzz/corpus` passes the check of its fuzz target.

use std::{fs, path::Path};

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "a library of its own for the fuzz targets")]
mod checks;

#[test]
fn every_file_of_the_corpus_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (target, check) in checks::TARGETS {
        let files = fs::read_dir(corpus.join(target))
            .unwrap()
            .map(|file| file.unwrap().path());
        let mut count = 0;
        for file in files {
            // Printed only if the check panics.
            println!("{}", file.display());
            check(&fs::read(&file).unwrap());
            count += 1;
        }
        assert!(count >= 20, "only {count} files for {target}");
    }
    assert_eq!(
        fs::read_dir(corpus).unwrap().count(),
        checks::TARGETS.len(),
        "a corpus without a target"
    );
}
