use super::*;

#[test]
fn joined_segments_are_parsed_whatever_their_length() {
    for length in [1, 40, SHORT_BYTES, 100, MAX_BYTES] {
        let vendor = "é".repeat(length / 2);
        for engine in [None, Some("e/f")] {
            let text = match engine {
                Some(engine) => format!("chat:{vendor}/{engine}"),
                None => format!("chat:{vendor}"),
            };
            let joined = ServiceId::from_segments("chat", &vendor, engine);
            assert_eq!(joined, ServiceId::parse(&text), "{text}");
        }
    }
}

#[test]
fn splits_task_vendor_and_engine() {
    let rows = [
        (
            "chat:openai.com/gpt-4o",
            "chat",
            Some("openai.com"),
            Some("gpt-4o"),
        ),
        ("chat:openai.com", "chat", Some("openai.com"), None),
        ("chat:openai.com/", "chat", Some("openai.com"), None),
        (
            "chat:huggingface.co/microsoft/Dialo",
            "chat",
            Some("huggingface.co"),
            Some("microsoft/Dialo"),
        ),
        ("chat:", "chat", None, None),
        ("chat", "chat", None, None),
        (
            "aisbreaker:mirror/service/chat:dummy",
            "aisbreaker",
            Some("mirror"),
            Some("service/chat:dummy"),
        ),
    ];
    for (text, task, vendor, engine) in rows {
        let id = ServiceId::parse(text).unwrap();
        assert_eq!(
            (id.task(), id.vendor(), id.engine()),
            (task, vendor, engine),
            "{text}"
        );
    }
}

#[test]
fn patterns_cover_narrower_ones() {
    let rows = [
        ("", "", true),
        ("", "chat:", true),
        ("chat:", "", false),
        ("chat:", "chat", true),
        ("chat", "chat:", true),
        ("chat:", "chat:dummy", true),
        ("chat:dummy", "chat:", false),
        ("chat:dummy", "chat:dummy/", true),
        ("chat:dummy/", "chat:dummy", true),
        ("chat:dummy/a", "chat:dummy/a/b", true),
        ("chat:dummy/a/b", "chat:dummy/a", false),
        ("chat:dum", "chat:dummy", false),
        ("chat:", "aisbreaker:", false),
    ];
    for (wide, narrow, expected) in rows {
        let [wide, narrow] = [wide, narrow].map(|text| ServicePattern::parse(text).unwrap());
        assert_eq!(wide.covers(&narrow), expected, "{wide:?} {narrow:?}");
    }
}

#[test]
fn patterns_match_on_whole_segments_only() {
    let rows = [
        ("", "chat:dummy", true),
        ("chat:", "chat:dummy", true),
        ("chat", "chat:dummy", true),
        ("chat:dummy", "chat:dummy", true),
        ("chat:dummy/", "chat:dummy", true),
        ("chat:dum", "chat:dummy", false),
        ("chat:openai.com", "chat:openai.com/gpt-4", true),
        ("chat:openai.com/gpt-4", "chat:openai.com/gpt-4o", false),
        ("chat:openai.com/gpt-4", "chat:openai.com", false),
        ("chat:openai.com", "chat:openai.community", false),
        ("text:", "text-to-image:dummy", false),
        ("cha", "chat:dummy", false),
    ];
    for (pattern, id, expected) in rows {
        let matched = ServicePattern::parse(pattern)
            .unwrap()
            .matches(&ServiceId::parse(id).unwrap());
        assert_eq!(matched, expected, "{pattern:?} on {id:?}");
    }
}

#[test]
fn matching_equals_comparison_by_segment() {
    let mut texts = vec![String::new()];
    for length in 0..5 {
        let longest: Vec<_> = texts.iter().filter(|text| text.len() == length).collect();
        let longer: Vec<_> = longest
            .iter()
            .flat_map(|text| ["a", ":", "/"].map(|next| format!("{text}{next}")))
            .collect();
        texts.extend(longer);
    }
    for (pattern, id) in texts
        .iter()
        .flat_map(|pattern| texts.iter().map(move |id| (pattern, id)))
    {
        let Ok(parsed) = ServiceId::parse(id) else {
            continue;
        };
        let mut id_segments = segments(id);
        let expected = segments(pattern).all(|segment| id_segments.next() == Some(segment));
        assert_eq!(
            ServicePattern::parse(pattern).unwrap().matches(&parsed),
            expected,
            "{pattern:?} on {id:?}"
        );
        let pattern = ServicePattern::parse(pattern).unwrap();
        let found = parsed.prefixes().any(|prefix| prefix == pattern.prefix());
        assert_eq!(found, expected, "{pattern:?} among the prefixes of {id:?}");
        let counts = parsed.prefixes().map(|prefix| segments(prefix).count());
        assert!(
            counts.is_sorted_by(|longer, shorter| longer > shorter),
            "{id:?}"
        );
    }
}

#[test]
fn a_pattern_has_the_segments_of_an_id() {
    let rows = [
        ("", None, None),
        ("chat", Some("chat"), None),
        ("chat:", Some("chat"), None),
        (":openai.com", None, Some("openai.com")),
        ("chat:/gpt", Some("chat"), None),
        ("chat:openai.com", Some("chat"), Some("openai.com")),
        ("chat:openai.com/a/b", Some("chat"), Some("openai.com")),
        ("a/b:c", Some("a/b"), Some("c")),
    ];
    for (text, task, vendor) in rows {
        let pattern = ServicePattern::parse(text).unwrap();
        assert_eq!((pattern.task(), pattern.vendor()), (task, vendor), "{text}");
    }
}

#[test]
fn rejects_empty_long_and_control_text() {
    let long = "x".repeat(MAX_BYTES + 1);
    let rows = [
        ("", InvalidServiceId::Empty),
        (long.as_str(), InvalidServiceId::TooLong),
        ("chat:\n", InvalidServiceId::Control),
        ("chat:\u{7f}", InvalidServiceId::Control),
        ("chat:é\u{85}", InvalidServiceId::Control),
    ];
    for (text, expected) in rows {
        assert_eq!(ServiceId::parse(text), Err(expected), "{text:?}");
    }
}
