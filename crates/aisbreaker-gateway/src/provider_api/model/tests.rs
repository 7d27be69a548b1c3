//! Tables of rules, and random bodies against simple oracles.

use http::HeaderValue;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn named(body: &str) -> Result<Option<String>, String> {
    model_in_json(body.as_bytes())
        .map(|model| model.map(|model| model.name))
        .map_err(|fault| fault.to_string())
}

fn in_form(body: &[u8], content_type: &str) -> Result<Option<BodyModel>, String> {
    model_in_multipart(body, &HeaderValue::from_str(content_type).unwrap())
        .map_err(|fault| fault.to_string())
}

fn joined(pieces: &[Bytes; 3]) -> Vec<u8> {
    pieces.concat()
}

#[test]
fn model_of_an_object_is_found_in_any_json_spelling() {
    let found = |name: &str| Ok(Some(name.to_owned()));
    let rows = [
        (r#"{"model":"a"}"#, found("a")),
        (
            r#"{ "x" : {"model":"b"} , "mod\u0065l" : "\u0061\/" }"#,
            found("a/"),
        ),
        (r#"{"x":"\"model\":\"b\"","model":"a"}"#, found("a")),
        ("\u{feff}\n{\"model\":\"a\"}\n", found("a")),
        (r#"{"model":null}"#, Ok(None)),
        (r#"{"models":"a"," model":"b"}"#, Ok(None)),
        ("{}", Ok(None)),
        (r#"{"x":"\ud800","model":"a"}"#, found("a")),
    ];
    for (body, expected) in rows {
        assert_eq!(named(body), expected, "{body}");
    }
}

#[test]
fn ambiguous_bodies_are_refused() {
    let twice = "model is there twice";
    let long = format!(r#"{{"model":"{}"}}"#, "x".repeat(513));
    let name = "model must be 1 to 512 bytes without control characters";
    let object = "request body must be a JSON object";
    let rows = [
        (r#"{"model":"a","model":"a"}"#, twice),
        (r#"{"model":"a","\u006dodel":"b"}"#, twice),
        (r#"{"model":null,"model":"b"}"#, twice),
        (
            r#"{"model":"a","MODEL":"b"}"#,
            "model must be written in small letters",
        ),
        (
            r#"{"\u004dodel":"b","model":"a"}"#,
            "model must be written in small letters",
        ),
        (r#"{"Model":"a"}"#, "model must be written in small letters"),
        (r#"{"model":["a"]}"#, "model must be a string"),
        (r#"{"model":1}"#, "model must be a string"),
        (r#"{"model":""}"#, name),
        (r#"{"model":"a\n"}"#, name),
        (&long, name),
        ("[]", object),
        (r#""model""#, object),
        ("", "request body is not valid JSON at line 1 column 0"),
        (
            r#"{"model":"a"} x"#,
            "request body is not valid JSON at line 1 column 15",
        ),
        (
            r#"{"model":"a"}{"model":"b"}"#,
            "request body is not valid JSON at line 1 column 14",
        ),
        (
            r#"{"model":"a",}"#,
            "request body is not valid JSON at line 1 column 14",
        ),
        (
            r#"{'model':"a"}"#,
            "request body is not valid JSON at line 1 column 2",
        ),
        (
            "\u{feff}\u{feff}{}",
            "request body is not valid JSON at line 1 column 1",
        ),
    ];
    for (body, expected) in rows {
        let shown = named(body).expect_err(body).replace(", ", " ");
        assert!(
            shown.starts_with(expected.split(" at ").next().unwrap()),
            "{body}: {shown}"
        );
    }
}

#[test]
fn json_that_is_not_utf8_is_refused() {
    let bodies: [&[u8]; 8] = [
        b"{\"\xff\":1}",
        b"{\"model\":\"\xff\"}",
        b"{\"a\":\"\xff\"}",
        b"{\"model\":\"m\",\"a\":[{\"b\":\"gr\xf6\xdfe\"}]}",
        b"{\"a\":\"\xed\xa0\x80\"}",
        b"{\"a\":\"\xc0\x80\"}",
        b"{\"a\":\"\xf0\x9f\x98\"}",
        b"\xff\xfe{\0}\0",
    ];
    for body in bodies {
        let fault = model_in_json(body).expect_err("no UTF-8").to_string();
        assert_eq!(fault, "request body must be JSON in UTF-8");
    }
}

#[test]
fn deeply_nested_values_are_skipped() {
    let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
    assert_eq!(
        named(&format!(r#"{{"x":{deep},"model":"a"}}"#)),
        Ok(Some("a".to_owned()))
    );
}

#[test]
fn only_the_name_is_replaced() {
    let body = Bytes::from_static(br#"{"a":1.50,"model" : "x\u0079" ,"b":"xy"}"#);
    let model = model_in_json(&body).unwrap().unwrap();
    assert_eq!(
        joined(&replace_model(&body, &model, "q\"\\\u{e9}")),
        "{\"a\":1.50,\"model\" : \"q\\\"\\\\\u{e9}\" ,\"b\":\"xy\"}".as_bytes()
    );
}

const PART: &str = "Content-Disposition: form-data; name=\"model\"";

fn form(head: &str, content: &str) -> Vec<u8> {
    format!("--b\r\n{head}\r\n\r\n{content}\r\n--b--\r\n").into_bytes()
}

const TYPE: &str = "multipart/form-data; boundary=b";

#[test]
fn the_model_of_a_form_is_its_field() {
    let heads = [
        PART,
        "content-disposition:form-data;name=model",
        "Content-Type: text/plain\r\nContent-Disposition: FORM-DATA ; NAME = \"model\"",
        "Content-Disposition: form-data; name=\"model\"\r\nContent-Transfer-Encoding: 8BIT",
    ];
    for head in heads {
        assert_eq!(
            in_form(&form(head, "a"), TYPE)
                .unwrap()
                .map(|model| model.name)
                .as_deref(),
            Some("a"),
            "{head}"
        );
    }
    let types = [
        "multipart/form-data; boundary=\"b\"",
        "Multipart/Form-Data;charset=utf-8; Boundary=b",
    ];
    for content_type in types {
        assert!(
            in_form(&form(PART, "a"), content_type).unwrap().is_some(),
            "{content_type}"
        );
    }
    for head in [
        "Content-Disposition: form-data; name=\"models\"",
        "Content-Disposition: form-data; name=\"file\"; filename=\"model\"",
        "Content-Disposition: form-data; name=\"model[]\"",
    ] {
        assert_eq!(in_form(&form(head, "a"), TYPE), Ok(None), "{head}");
    }
    for blank in ["\r\n", "\r\n\r\n"] {
        let around = [blank.as_bytes(), &form(PART, "a"), b"epilogue\r\n"].concat();
        assert!(in_form(&around, TYPE).unwrap().is_some());
    }
    assert_eq!(in_form(b"--b--", TYPE), Ok(None));
}

#[test]
fn boundaries_of_all_clients_are_accepted() {
    let boundaries = [
        "b",
        "----WebKitFormBoundary7MA4YWxkTrZu0gW",
        "----=_Part_0_1234567.1690000000",
        "a=b:c/d",
        "a,b+c.d?e_f-(g)'h'",
        "==",
        "*****",
        "<a@b>[c]{d}!#$%&^`|~",
    ];
    let part = |boundary: &str| {
        format!("--{boundary}\r\n{PART}\r\n\r\na\r\n--{boundary}--\r\n").into_bytes()
    };
    for boundary in boundaries {
        let types = [
            format!("multipart/form-data; boundary=\"{boundary}\"; charset=utf-8"),
            format!("multipart/form-data;charset=utf-8;boundary={boundary}"),
            format!("multipart/form-data; Boundary = {boundary} ; charset=utf-8;"),
        ];
        for content_type in types {
            let found = in_form(&part(boundary), &content_type);
            assert!(matches!(found, Ok(Some(_))), "{content_type}: {found:?}");
        }
    }
    let spaced = part("=_mixed 1");
    assert!(in_form(&spaced, "multipart/form-data; boundary=\"=_mixed 1\"").is_ok());
    assert!(in_form(&spaced, "multipart/form-data; boundary==_mixed 1").is_err());
}

#[test]
fn names_of_files_are_accepted_as_clients_write_them() {
    let names: [&[u8]; 21] = [
        b"my file (1).png",
        b"a=b.png",
        b"/tmp/a.png",
        b"a@b{c}<d>[e]?.png",
        b"it's.png",
        "gr\u{f6}\u{df}e \u{1f600}.png".as_bytes(),
        b"gr\xf6\xdfe.png",
        b"\x93smart\x94 \x80.png",
        b"",
        b"\"my file (1).png\"",
        b"\"\"",
        b"\"C:\\dir\\a.png\"",
        b"\"C:\\\\dir\\\\\"",
        b"\"a\\\"b\\\".png\"",
        b"\"a%22b;c=d,e.png\"",
        b"\"name=model\"",
        b"\"gr\xf6\xdfe.png\"",
        "\"gr\u{f6}\u{df}e.png\"".as_bytes(),
        b"\"a.png\"; filename*=UTF-8''gr%C3%B6%C3%9Fe.png",
        "\"a.png\"; filename*=utf-8''gr\u{f6}\u{df}e.png".as_bytes(),
        b"\"a.png\";",
    ];
    for name in names {
        let shown = name.escape_ascii();
        let part = [
            b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=".as_slice(),
            name,
            b"\r\nContent-Type: image/png\r\n\r\nx\r\n",
        ]
        .concat();
        let body = [&part, &*form(PART, "a"), b""].concat();
        let found = in_form(&body, TYPE);
        assert!(matches!(found, Ok(Some(_))), "{shown}: {found:?}");
    }
}

#[test]
fn ambiguous_forms_are_refused() {
    let heads = [
        "",
        "Content-Type: text/plain",
        "Content-Disposition: attachment; name=\"model\"",
        "Content-Disposition: form-data",
        "Content-Disposition: form-data; name=\"model\"; name=\"x\"",
        "Content-Disposition: form-data; name=\"model",
        "Content-Disposition: form-data; name=mo del",
        "Content-Disposition: form-data; name=\"x\"; name*=utf-8''model",
        "Content-Disposition: form-data; name=\"Model\"",
        "Content-Disposition: form-data; name=\" model\"",
        "Content-Disposition: form-data; name=\"mod%65l\"",
        "Content-Disposition: form-data; name=\"mod\\el\"",
        "Content-Disposition: form-data; name=\"x\"; name*0=\"model\"",
        "Content-Disposition: form-data; name=\"model\"; filename=\"a\"",
        "Content-Disposition: form-data; name=\"model\"; filename*=utf-8''a",
        "Content-Disposition: form-data; name=\"model\"\r\nContent-Transfer-Encoding: base64",
        "Content-Disposition: form-data; name=\"x\"\r\n\
         Content-Disposition: form-data; name=\"model\"",
        "Content-Disposition: form-data; name=\"x\"\n\
         Content-Disposition: form-data; name=\"model\"",
        " Content-Disposition: form-data; name=\"model\"",
        "Content-Disposition: form-data;\r\n name=\"model\"",
        "Content-Disposition : form-data; name=\"model\"",
        "Content-Disposition: form-data; name=\"x\"; filename=a name=model",
        "Content-Disposition: form-data; name=\"x\"; filename=a,name=model",
        "Content-Disposition: form-data; name=\"x\"; filename=a name=\"model\"",
        "Content-Disposition: form-data; name=\"x\"; filename=a\tname=model",
        "Content-Disposition: form-data; name=\"x\"; filename=\"a\\\"; name=model; y=\\\"\"",
        "Content-Disposition: form-data; name=\"x\"; filename=\"a\\\"",
        "Content-Disposition: form-data; name=\"m\u{85}odel\"",
    ];
    for head in heads {
        assert!(in_form(&form(head, "a"), TYPE).is_err(), "{head:?}");
    }
    let two = [
        &form(PART, "a")[..form(PART, "a").len() - 7],
        &form(PART, "b"),
    ]
    .concat();
    let file = |content: &str| {
        let file = form(
            "Content-Disposition: form-data; name=\"f\"; filename=\"f\"",
            content,
        );
        [&file[..file.len() - 7], &form(PART, "a")].concat()
    };
    let hidden = |end: &str| file(&format!("x{end}--b{end}{PART}{end}{end}b"));
    assert!(in_form(&file("x"), TYPE).unwrap().is_some());
    let bodies: [(&str, Vec<u8>); 13] = [
        (
            "a text before",
            [b"{\"model\":\"b\"}\r\n".as_slice(), &form(PART, "a")].concat(),
        ),
        ("a delimiter behind a line feed", hidden("\n")),
        ("a delimiter behind a carriage return", hidden("\r")),
        ("a delimiter behind nothing", file("x--b--")),
        (
            "a part behind the end",
            [form(PART, "a"), form(PART, "b")].concat(),
        ),
        ("two fields", two),
        ("no end", form(PART, "a")[..60].to_vec()),
        ("nothing", Vec::new()),
        (
            "line feeds",
            String::from_utf8(form(PART, "a"))
                .unwrap()
                .replace("\r\n", "\n")
                .into_bytes(),
        ),
        ("no text", form(PART, "")),
        ("another boundary", b"--c\r\n".to_vec()),
        ("text behind a delimiter", b"--bx\r\n\r\n".to_vec()),
        (
            "a head that does not end",
            [b"--b\r\n".as_slice(), PART.as_bytes(), b"\r\n--b--\r\n"].concat(),
        ),
    ];
    for (row, body) in bodies {
        assert!(in_form(&body, TYPE).is_err(), "{row}");
    }
    for content_type in [
        "multipart/form-data",
        "multipart/mixed; boundary=b",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=b; boundary=c",
        "multipart/form-data; boundary=b; boundary*=utf-8''c",
        "multipart/form-data; boundary=b; boundary*0=c",
        "multipart/form-data; boundary=\"b",
        "multipart/form-data; boundary=b\"",
        "multipart/form-data; boundary=b c",
        "multipart/form-data; boundary=\"b \"",
        "multipart/form-data; boundary=\"b\\c\"",
    ] {
        assert!(
            in_form(&form(PART, "a"), content_type).is_err(),
            "{content_type}"
        );
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[\\PC\"\\\\]{0,8}".prop_map(Value::from),
        Just(json!("model"))
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("model|[a-z]{1,3}", inner), 0..4)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// Returns a JSON string, with every character escaped or as few as possible.
fn text(text: &str, is_escaped: bool) -> String {
    if !is_escaped {
        return json!(text).to_string();
    }
    let units = text.encode_utf16();
    let escaped: String = units.map(|unit| format!("\\u{unit:04x}")).collect();
    format!("\"{escaped}\"")
}

const FILE_PART: &str = "Content-Disposition: form-data; name=\"image[]\"; filename=\"model\"\r\n\
                         Content-Type: image/png";
const TEXT_PART: &str = "Content-Disposition: form-data; name=\"prompt\"";

fn file_content() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![any::<u8>(), Just(b'-'), Just(b'\r'), Just(b'\n')];
    prop::collection::vec(byte, 0..60)
}

/// Bytes that often mean something in JSON or in a form.
fn body_bytes() -> impl Strategy<Value = Vec<u8>> {
    let special = prop::sample::select(b"-b\r\n\":{}model;=".to_vec());
    prop::collection::vec(prop_oneof![any::<u8>(), special], 0..200)
}

proptest! {
    /// Replacing the name equals parsing, setting and writing it, and every other byte stays.
    #[test]
    fn a_renamed_object_is_the_object_with_another_model(
        members in prop::collection::vec(("[a-z\"\\\\]{1,4}", value(), any::<bool>()), 0..6),
        place in 0_usize..6,
        name in "[a-z/:.\"\\\\é]{1,20}",
        other in "[ -~é]{0,20}",
        blank in "[ \n\t]{0,3}",
    ) {
        let mut written: Vec<String> = members
            .iter()
            .map(|(key, value, is_escaped)| format!("{}{blank}:{value}", text(key, *is_escaped)))
            .collect();
        let escaped = place % 2 == 0;
        let model = format!("{}:{blank}{}", text("model", escaped), text(&name, !escaped));
        written.insert(place.min(written.len()), model);
        let body = Bytes::from(format!("{blank}{{{blank}{}{blank}}}{blank}", written.join(",")));

        let model = model_in_json(&body).unwrap().unwrap();
        prop_assert_eq!(&model.name, &name);
        let renamed = joined(&replace_model(&body, &model, &other));

        let mut expected: Value = serde_json::from_slice(&body).unwrap();
        expected["model"] = json!(other);
        prop_assert_eq!(serde_json::from_slice::<Value>(&renamed).unwrap(), expected);
        prop_assert_eq!(&renamed[..model.span.start], &body[..model.span.start]);
        prop_assert!(renamed.ends_with(&body[model.span.end..]));
    }

    /// The model of a form is found, whatever its files hold.
    #[test]
    fn the_field_of_a_form_is_found_among_files(
        files in prop::collection::vec(
            (any::<bool>(), file_content(), "\r?\n?-{0,3}[bB]?"),
            0..5,
        ),
        place in 0_usize..5,
        name in "[a-z/:.-]{1,20}",
    ) {
        let boundary = "bB-b";
        let part = |head: &str, content: &[u8]| {
            let head = format!("--{boundary}\r\n{head}\r\n\r\n");
            [head.as_bytes(), content, b"\r\n"].concat()
        };
        let mut parts = Vec::new();
        for (is_file, content, end) in &files {
            let head = if *is_file { FILE_PART } else { TEXT_PART };
            parts.push(part(head, &[content, end.as_bytes()].concat()));
        }
        parts.insert(place.min(parts.len()), part(PART, name.as_bytes()));
        parts.push(format!("--{boundary}--\r\n").into_bytes());
        let body = Bytes::from(parts.concat());
        let content_type = format!("multipart/form-data; boundary={boundary}");

        let model = in_form(&body, &content_type).unwrap().unwrap();
        prop_assert_eq!(&model.name, &name);
        let renamed = joined(&replace_model(&body, &model, "other"));
        let expected = [&body[..model.span.start], b"other", &body[model.span.end..]].concat();
        prop_assert_eq!(renamed, expected);
    }

    /// No input causes a panic.
    #[test]
    fn any_bytes_are_read_or_refused(body in body_bytes()) {
        let _read = model_in_json(&body);
        let _read = in_form(&body, TYPE);
        let _read = in_form(&[b"--b\r\n".as_slice(), &body].concat(), TYPE);
    }
}
