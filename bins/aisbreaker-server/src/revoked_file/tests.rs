use std::time::UNIX_EPOCH;

use super::*;

const NOW: u64 = 1_800_000_000;
const IDS: [&str; 3] = [
    "AAAAAAAAAAAAAAAAAAAAAA",
    "AQEBAQEBAQEBAQEBAQEBAQ",
    "6rHI2bx7BKzdXAccu18lWCJOHRHCKhf8Aag8Z2TSxF4",
];

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn revoked(index: usize, seconds: u64) -> Revocation {
    Revocation::new(IDS[index].parse().unwrap(), at(seconds))
}

/// A directory that is removed on drop, and the file in it.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str, content: &str) -> Self {
        let directory =
            std::env::temp_dir().join(format!("aisbreaker-{name}-{}", std::process::id()));
        let _left_over = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
        let file = Self(directory.join("revoked"));
        fs::write(&file.0, content).unwrap();
        file
    }

    fn open(&self) -> (RevokedFile, Vec<Revocation>) {
        RevokedFile::open(&self.0, at(NOW)).unwrap()
    }

    fn content(&self) -> String {
        fs::read_to_string(&self.0).unwrap()
    }

    /// What was set aside.
    fn aside(&self) -> Vec<String> {
        let names = fs::read_dir(self.0.parent().unwrap()).unwrap();
        let paths = names.map(|entry| entry.unwrap().path());
        let aside = paths.filter(|path| path.to_string_lossy().contains(".unreadable-"));
        aside
            .map(|path| fs::read_to_string(path).unwrap())
            .collect()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _removed = fs::remove_dir_all(self.0.parent().unwrap());
    }
}

#[test]
fn a_start_drops_what_is_over_and_keeps_what_can_be_read() {
    let [a, b, c] = IDS;
    let cut = &c[..30];
    let (later, sooner, never) = (NOW + 9, NOW + 1, u32::MAX);
    // The content, what it is after the start, and whether it is set aside.
    let rows = [
        (String::new(), String::new(), false),
        (format!("{a} {later}\n"), format!("{a} {later}\n"), false),
        (
            format!("{a} {NOW}\n{b} {later}\n"),
            format!("{b} {later}\n"),
            false,
        ),
        (
            format!("{a} {sooner}\n\n{b} {later}\r\n{a} {later}\n{a} {sooner}\n"),
            format!("{a} {later}\n{b} {later}\n"),
            false,
        ),
        (
            format!("{c} {later}\nhello\n{a} {later}\n"),
            format!("{c} {later}\n{a} {later}\n"),
            true,
        ),
        ("[server]\nlisten = 1\n".to_owned(), String::new(), true),
        ("a phrase that seals".to_owned(), String::new(), true),
        // Torn at every kind of place.
        (
            format!("{a} {later}\n{b} {later}"),
            format!("{a} {later}\n{b} {later}\n"),
            true,
        ),
        (
            format!("{a} {later}\n{b} 18"),
            format!("{a} {later}\n{b} {never}\n"),
            true,
        ),
        (
            format!("{a} {later}\n{b} "),
            format!("{a} {later}\n{b} {never}\n"),
            true,
        ),
        (
            format!("{a} {later}\n{b}"),
            format!("{a} {later}\n{b} {never}\n"),
            true,
        ),
        (
            format!("{a} {later}\n{cut}"),
            format!("{a} {later}\n"),
            true,
        ),
        (format!("{a} {later}\nx"), format!("{a} {later}\n"), true),
        // Not of this form, though nearly.
        (
            format!("{a} -{later}\n{a}  {later}\n{a} +{later}\n{a}\n{a}= {later}\n"),
            String::new(),
            true,
        ),
    ];
    for (content, expected, is_aside) in rows {
        let file = TempFile::new("starts", &content);
        let (_, revocations) = file.open();
        assert_eq!(file.content(), expected, "{content:?}");
        assert_eq!(lines::format(&revocations), expected, "{content:?}");
        let aside = if is_aside {
            vec![content.clone()]
        } else {
            vec![]
        };
        assert_eq!(file.aside(), aside, "{content:?}");
    }
}

#[test]
fn appended_lines_are_found_by_those_who_share_the_file() {
    let file = TempFile::new("shared", "");
    let [(one, _), (other, _)] = [file.open(), file.open()];
    let read = |of: &RevokedFile| of.0.read_new().unwrap();
    assert_eq!(read(&other), []);

    one.append(&[revoked(0, NOW + 5), revoked(1, NOW + 6)])
        .unwrap();
    assert_eq!(read(&other), [revoked(0, NOW + 5), revoked(1, NOW + 6)]);
    assert_eq!(read(&other), []);
    other.append(&[revoked(2, NOW + 7)]).unwrap();
    assert_eq!(read(&other), [revoked(2, NOW + 7)], "its own as well");
    assert_eq!(read(&one).len(), 3);

    // A third one that starts may rewrite the file.
    let late = RevokedFile::open(&file.0, at(NOW + 6)).unwrap();
    assert_eq!(late.1, [revoked(2, NOW + 7)]);
    one.append(&[revoked(0, NOW + 8)]).unwrap();
    assert_eq!(read(&other), [revoked(2, NOW + 7), revoked(0, NOW + 8)]);
    assert_eq!(read(&late.0), [revoked(0, NOW + 8)], "the rest is known");
}

#[test]
fn what_follows_a_line_that_was_cut_off_again_is_read() {
    let file = TempFile::new("cut-off", "");
    let [(one, _), (other, _)] = [file.open(), file.open()];
    one.append(&[revoked(0, NOW + 5)]).unwrap();
    let read = |of: &RevokedFile| of.0.read_new().unwrap();
    assert_eq!(read(&other).len(), 1);

    // As after a failed write, of which the other one has read the line.
    OpenOptions::new()
        .write(true)
        .open(&file.0)
        .and_then(|file| file.set_len(0))
        .unwrap();
    one.0.must_be_replaced.store(true, Ordering::Relaxed);
    one.append(&[revoked(1, NOW + 5)]).unwrap();

    assert_eq!(read(&other), [revoked(1, NOW + 5)]);
}

#[test]
fn servers_that_start_at_once_lose_no_line() {
    let lines: Vec<_> = (0..2).map(|index| revoked(index, NOW + 5)).collect();
    for round in 0..50 {
        // An expired line makes each of them rewrite the file.
        let content = format!(
            "{}{}",
            lines::format(&lines),
            lines::format(&[revoked(2, NOW - 5)])
        );
        let file = TempFile::new("at-once", &content);
        std::thread::scope(|scope| {
            for _server in 0..4 {
                scope.spawn(|| RevokedFile::open(&file.0, at(NOW)).unwrap());
            }
        });
        assert_eq!(file.open().1, lines, "round {round}");
    }
}

#[test]
fn a_line_that_is_being_written_is_read_once_it_ends() {
    let file = TempFile::new("partly", "");
    let (reader, _) = file.open();
    let whole = lines::format(&[revoked(0, NOW + 5)]);
    for end in 1..whole.len() {
        fs::write(&file.0, &whole[..end]).unwrap();
        assert_eq!(reader.0.read_new().unwrap(), [], "{end}");
    }
    fs::write(&file.0, &whole).unwrap();
    assert_eq!(reader.0.read_new().unwrap(), [revoked(0, NOW + 5)]);
}

#[test]
fn appending_after_a_torn_line_loses_neither() {
    let file = TempFile::new("torn", "");
    let (writer, _) = file.open();
    writer.append(&[revoked(0, 4_000_000_000)]).unwrap();
    let whole = file.content();
    fs::write(&file.0, format!("{whole}{} 40", IDS[1])).unwrap();

    writer.append(&[revoked(2, 4_000_000_001)]).unwrap();

    let expected = [
        revoked(0, 4_000_000_000),
        revoked(1, u32::MAX.into()),
        revoked(2, 4_000_000_001),
    ];
    assert_eq!(file.content(), lines::format(&expected));
    assert_eq!(file.aside().len(), 1);
}

#[test]
fn a_file_that_was_removed_begins_anew() {
    let file = TempFile::new("removed", "");
    let (writer, _) = file.open();
    writer.append(&[revoked(0, NOW + 5)]).unwrap();
    assert_eq!(writer.0.read_new().unwrap().len(), 1);
    fs::remove_file(&file.0).unwrap();
    assert_eq!(writer.0.read_new().unwrap(), []);
    writer.append(&[revoked(1, NOW + 5)]).unwrap();
    assert_eq!(writer.0.read_new().unwrap(), [revoked(1, NOW + 5)]);
}

#[test]
fn unusable_paths_are_reported() {
    let file = TempFile::new("paths", "");
    let directory = file.0.parent().unwrap();
    let rows = [
        (directory.to_owned(), "is a directory"),
        (directory.join("no/such/file"), "no file can be created"),
        ("/dev/null".into(), "is not a regular file"),
    ];
    for (path, expected) in rows {
        let problem = RevokedFile::open(&path, at(NOW)).unwrap_err();
        assert!(problem.contains(expected), "{problem}");
    }
}
