//! The model in a body: it is the one that other parsers find, and only its name is replaced.

use aisbreaker_gateway::fuzzing::replace_model;
use bytes::Bytes;
use http::HeaderValue;
use serde_json::Value;

const OTHER: &str = "another/model:1";

/// Parses the bytes as JSON, and as a form.
pub fn check(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    if let Ok(found) = replace_model(&body, None, OTHER) {
        check_json(&body, found);
    }
    let content_type = HeaderValue::from_static("multipart/form-data; boundary=b");
    if let Ok(Some((name, pieces))) = replace_model(&body, Some(&content_type), OTHER) {
        check_pieces(&body, &pieces);
        assert_eq!(pieces[1], OTHER);
        let field = [pieces[0].as_ref(), name.as_bytes(), pieces[2].as_ref()].concat();
        assert_eq!(field, body, "the name and the bytes around it are the body");
        assert!(pieces[0].ends_with(b"\r\n\r\n") && pieces[2].starts_with(b"\r\n--b"));
        check_again(&pieces, Some(&content_type));
    }
}

fn check_json(body: &Bytes, found: Option<(String, [Bytes; 3])>) {
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    // Skipped values are not inspected.
    let Ok(value) = serde_json::from_slice::<Value>(text) else {
        return;
    };
    let Some((name, pieces)) = found else {
        return assert!(value["model"].is_null(), "{value}");
    };
    assert_eq!(value["model"], name.as_str());
    check_pieces(body, &pieces);
    let whole = pieces.concat();
    let mut expected = value;
    expected["model"] = Value::from(OTHER);
    let text = whole.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&whole);
    assert_eq!(
        serde_json::from_slice::<Value>(text).expect("the renamed body is JSON"),
        expected
    );
    check_again(&pieces, None);
}

/// The bytes around the name stay the same.
fn check_pieces(body: &Bytes, [before, _, behind]: &[Bytes; 3]) {
    assert!(
        body.starts_with(before)
            && body.ends_with(behind)
            && before.len() + behind.len() < body.len()
    );
}

/// The new name is found where the old one was.
fn check_again(pieces: &[Bytes; 3], content_type: Option<&HeaderValue>) {
    let whole = Bytes::from(pieces.concat());
    let (name, again) = replace_model(&whole, content_type, "x")
        .expect("the renamed body is accepted")
        .expect("the renamed body has a model");
    assert_eq!(
        (name.as_str(), &again[0], &again[2]),
        (OTHER, &pieces[0], &pieces[2])
    );
}
