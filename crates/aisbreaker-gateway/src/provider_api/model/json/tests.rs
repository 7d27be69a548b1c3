//! The scanner, compared with the parser.

use proptest::{prelude::*, test_runner::Config};

use super::*;

fn assert_is_as_parsed<const SOUGHT: u8>(text: &str) {
    let Some(scanned) = scan::<SOUGHT>(text) else {
        return;
    };
    let Ok(parsed) = parse_members::<SOUGHT>(text) else {
        panic!("the parser refuses {text}");
    };
    assert_eq!(scanned, parsed, "{text}");
}

fn assert_all_are_as_parsed(text: &str) {
    assert_is_as_parsed::<MODEL_ONLY>(text);
    assert_is_as_parsed::<WITH_STREAM>(text);
    assert_is_as_parsed::<WITH_TYPE>(text);
}

/// Pieces of which JSON, and what is nearly JSON, is made.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "\\u",
        "00e9",
        "\\n",
        "\\x",
        " ",
        "\n",
        "\u{1}",
        "\u{a0}",
        "true",
        "false",
        "null",
        "tru",
        "-",
        "0",
        "01",
        "1",
        ".",
        "5",
        "e",
        "E+",
        "é",
        "\"a\"",
        "\"model\"",
        "\"Model\"",
        "\"stream\"",
        "\"stream_options\"",
        "\"type\"",
        "\"models\"",
        "\"mod\\u0065l\"",
        "{}",
        "[]",
        "\"model\":\"m\"",
        ",\"stream\":true",
        "{\"a\":[1,{\"b\":null}]}",
    ])
}

/// Objects as clients write them.
fn object() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?",
        "\"([ -!#-\\[\\]-~é]|\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-f]{4}){0,12}\"",
    ];
    let value = leaf.prop_recursive(4, 24, 4, |inner| {
        let name = prop::sample::select(vec![
            "a",
            "model",
            "stream",
            "type",
            "Model",
            "fallbacks",
            "",
        ]);
        let member =
            (name, inner.clone()).prop_map(|(name, value)| format!("\"{name}\" : {value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..4)
                .prop_map(|values| format!("[{}]", values.join(", "))),
            prop::collection::vec(member, 0..4)
                .prop_map(|members| format!("{{{}}}", members.join(" ,\n"))),
        ]
    });
    value.prop_map(|value| format!("{{\"messages\":{value},\"model\":\"m\"}}"))
}

proptest! {
    #![proptest_config(Config { cases: 2_000, failure_persistence: None, ..Config::default() })]

    #[test]
    fn pieces_are_scanned_as_they_are_parsed(pieces in prop::collection::vec(piece(), 0..16)) {
        let text = pieces.concat();
        assert_all_are_as_parsed(&text);
        assert_all_are_as_parsed(&format!("{{{text}}}"));
        assert_all_are_as_parsed(&format!("{{\"a\":{text}}}"));
    }

    #[test]
    fn objects_are_scanned_as_they_are_parsed(text in object(), place in any::<prop::sample::Index>()) {
        assert_all_are_as_parsed(&text);
        // What the scanner is for is left to the parser only where a member is ambiguous.
        prop_assert!(scan::<MODEL_ONLY>(&text).is_some(), "{text}");
        // The same, cut off or with a piece missing.
        let mut cut = text.clone();
        let at = place.index(cut.len());
        if cut.is_char_boundary(at) && cut.is_char_boundary(at + 1) {
            cut.remove(at);
            assert_all_are_as_parsed(&cut);
            assert_all_are_as_parsed(&text[..at]);
        }
    }
}

#[test]
fn what_is_nested_deeper_than_the_scanner_goes_is_parsed() {
    for depth in [1, 127, 128, 129, 10_000] {
        let [open, close] = ["[", "]"].map(|bracket| bracket.repeat(depth));
        let text = format!("{{\"a\":{open}{close},\"model\":\"m\"}}");
        assert_all_are_as_parsed(&text);
        assert_eq!(scan::<MODEL_ONLY>(&text).is_some(), depth <= 128);
        let found = find_members::<MODEL_ONLY>(&text);
        assert_eq!(found.unwrap().model, Some("\"m\""));
    }
}

#[test]
fn what_is_not_json_is_left_to_the_parser() {
    let values = [
        "\"\u{1}\"",
        "\"a\n\"",
        "\"a",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\\u12\"",
        "01",
        "1.",
        ".5",
        "-",
        "1e",
        "+1",
        "tru",
        "nulll",
        "[1,]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "[}",
        "{]",
        "",
        "1,",
    ];
    for value in values {
        let text = format!("{{\"a\":{value}}}");
        assert_eq!(scan::<MODEL_ONLY>(&text), None, "{text}");
        assert!(parse_members::<MODEL_ONLY>(&text).is_err(), "{text}");
        let name = format!("{{{value}:1}}");
        assert_eq!(scan::<MODEL_ONLY>(&name), None, "{name}");
    }
    for text in ["", "[]", "{} x", "{\"a\":1}}", "{\"a\":1"] {
        assert_eq!(scan::<MODEL_ONLY>(text), None, "{text}");
    }
}
