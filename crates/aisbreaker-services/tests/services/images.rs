//! The services that make images: their requests, and how they read answers.

use std::sync::Arc;

use aisbreaker_api::{ErrorObject, Output, Response};
use aisbreaker_services::{Credentials, Reply, ServiceError};
use base64ct::{Base64, Encoding as _};
use serde_json::{Value, json};

use crate::support::{
    SECRET, answer, call_with, check_head, check_refused_unsent, events, golden, golden_json,
    json_bytes, json_of, pieces,
    provider::{self, Provider},
    registry, sealed_call, user_text,
};

const OPENAI: &str = "text-to-image:openai.com";
const STABILITY: &str = "text-to-image:stability.ai";
const DUMMY: &str = "text-to-image:dummy";

/// Returns the headers of a JSON request with a sealed secret.
fn request_headers(content_type: &str) -> [(&'static str, String); 4] {
    [
        ("authorization", format!("Bearer {SECRET}")),
        ("x-aisbreaker-sealed", "1".to_owned()),
        ("accept", "application/json".to_owned()),
        ("content-type", content_type.to_owned()),
    ]
}

fn otter_request(options: Value) -> Value {
    json!({
        "inputs": [
            {"text": {"role": "user", "content": "A baby otter"}},
            {"text": {"role": "user", "content": "in watercolours"}},
        ],
        "internOptions": options,
    })
}

async fn paint(id: &str, url: &str, request: Value) -> Result<Response, ServiceError> {
    let registry = registry();
    let Reply::Final(response) = registry
        .call(sealed_call(&registry, id, url, request))
        .await?
    else {
        panic!("{id}: a stream")
    };
    Ok(response)
}

fn check_golden_head(provider: &Provider, path: &str, content_type: &str) {
    let headers = request_headers(content_type);
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    check_head(&provider.request(), &format!("POST {path}"), &headers);
}

#[tokio::test]
async fn openai_gets_its_golden_request_and_is_understood() {
    let provider = Provider::start([json_bytes(golden("images.openai.com", "answer.json"))]).await;
    let options = json!({
        "n": 2, "size": "1024x1024", "quality": "low", "stream": true, "partial_images": 2,
        "prompt": "x",
    });
    let response = paint(OPENAI, &provider.url(), otter_request(options))
        .await
        .unwrap();

    check_golden_head(&provider, "/v1/images/generations", "application/json");
    assert_eq!(
        provider.request().body,
        golden_json("images.openai.com", "request.json")
    );
    let mut response_json = json_of(&response);
    assert!(response_json["usage"]["totalMilliseconds"].take().is_u64());
    let image = |index: u32, base64: &str| {
        let image = json!({"index": index, "role": "assistant", "base64": base64});
        json!({"image": image})
    };
    let mut rest = golden_json("images.openai.com", "answer.json");
    rest["data"] = json!([{}, {}]);
    assert_eq!(
        response_json,
        json!({
            "outputs": [image(0, "iVBORw0KGgo="), image(1, "iVBORw0KGgoB")],
            "usage": {
                "service": {
                    "serviceId": OPENAI,
                    "engine": "gpt-image-1",
                    "url": format!("{}/v1/images/generations", provider.url()),
                },
                "inputTokens": 14, "outputTokens": 544, "totalTokens": 558,
                "totalMilliseconds": null,
            },
            "internResponse": rest,
        })
    );
}

#[tokio::test]
async fn an_image_may_be_a_url() {
    let provider_json =
        json!({"created": 1, "data": [{"url": "https://a.example/1.png", "revised_prompt": "r"}]});
    let provider = Provider::start([json_bytes(provider_json.to_string())]).await;
    let id = "text-to-image:openai.com/dall-e-3";
    let response = paint(
        id,
        &format!("{}/v1/", provider.url()),
        otter_request(json!({"model": "other"})),
    )
    .await
    .unwrap();

    assert_eq!(provider.request().body["model"], "dall-e-3");
    let image =
        json!({"image": {"index": 0, "role": "assistant", "url": "https://a.example/1.png"}});
    assert_eq!(json_of(&response.outputs), json!([image]));
    assert_eq!(response.intern_response, Some(provider_json.into()));
    assert_eq!(response.usage.total_tokens, None);
}

#[tokio::test]
async fn stability_gets_its_golden_request_and_is_understood() {
    let provider =
        Provider::start([json_bytes(golden("images.stability.ai", "answer.json"))]).await;
    let options = json!({"output_format": "webp", "seed": 7, "style_preset": null, "prompt": "x"});
    let response = paint(STABILITY, &provider.url(), otter_request(options))
        .await
        .unwrap();

    let form = "multipart/form-data; boundary=aisbreaker-form-0";
    check_golden_head(&provider, "/v2beta/stable-image/generate/core", form);
    let expected = String::from_utf8(golden("images.stability.ai", "request.txt")).unwrap();
    assert_eq!(
        String::from_utf8(provider.request().bytes).unwrap(),
        expected
    );
    let image = json!({"image": {"index": 0, "role": "assistant", "base64": "iVBORw0KGgo="}});
    assert_eq!(json_of(&response.outputs), json!([image]));
    assert_eq!(
        response.intern_response,
        Some(json!({"finish_reason": "SUCCESS", "seed": 343940597}).into())
    );
    assert_eq!(response.usage.service.engine.as_deref(), Some("core"));
    assert_eq!(response.conversation_state, None);
}

#[tokio::test]
async fn stability_engines_are_paths_and_sd3_models_are_fields() {
    let rows = [
        ("", "core", None),
        ("/ultra", "ultra", None),
        ("/sd3", "sd3", Some("of-option")),
        ("/sd3.5-large", "sd3", Some("sd3.5-large")),
    ];
    for (engine, path, model) in rows {
        let provider =
            Provider::start([json_bytes(golden("images.stability.ai", "answer.json"))]).await;
        let options = if engine.starts_with("/sd3") {
            json!({"model": "of-option"})
        } else {
            json!({})
        };
        let id = format!("{STABILITY}{engine}");
        let url = format!("{}/v2beta", provider.url());
        paint(&id, &url, otter_request(options)).await.unwrap();

        let received = provider.request();
        let start = format!("POST /v2beta/stable-image/generate/{path} HTTP/1.1\r\n");
        assert!(
            received.head.starts_with(&start),
            "{engine}: {}",
            received.head
        );
        let form = String::from_utf8(received.bytes).unwrap();
        let sent_model = form
            .split_once("name=\"model\"\r\n\r\n")
            .map(|(_, rest)| rest.split("\r\n").next().unwrap());
        assert_eq!(sent_model, model, "{engine}");
    }
}

#[tokio::test]
async fn a_prompt_cannot_break_out_of_its_form_field() {
    let provider =
        Provider::start([json_bytes(golden("images.stability.ai", "answer.json"))]).await;
    let prompt = "a\r\n--aisbreaker-form-0\r\nContent-Disposition: form-data; name=\"seed\"\r\n\r\n\
                  1\r\n--aisbreaker-form-1--";
    let mut request = user_text(prompt);
    request["internOptions"] = json!({"x\"\r\ny": "z"});
    paint(STABILITY, &provider.url(), request).await.unwrap();

    let received = provider.request();
    assert_eq!(
        received.header("content-type"),
        Some("multipart/form-data; boundary=aisbreaker-form-2")
    );
    let expected = format!(
        "--aisbreaker-form-2\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\n{prompt}\r\n\
         --aisbreaker-form-2\r\nContent-Disposition: form-data; name=\"x%22%0D%0Ay\"\r\n\r\nz\r\n\
         --aisbreaker-form-2--\r\n"
    );
    assert_eq!(String::from_utf8(received.bytes).unwrap(), expected);
}

#[tokio::test]
async fn images_are_streamed_as_one_piece() {
    for (id, golden_id) in [
        (OPENAI, "images.openai.com"),
        (STABILITY, "images.stability.ai"),
        (DUMMY, ""),
    ] {
        let scripts = if golden_id.is_empty() {
            vec![]
        } else {
            vec![json_bytes(golden(golden_id, "answer.json"))]
        };
        let provider = Provider::start(scripts).await;
        let (pieces, response) = pieces(
            json!({"serviceId": id, "url": provider.url()}),
            otter_request(json!({})),
        )
        .await;

        assert_eq!(pieces.len(), 1, "{id}");
        assert_eq!(pieces[0].outputs, response.outputs, "{id}");
        assert!(!response.outputs.is_empty(), "{id}");
    }
}

#[tokio::test]
async fn unusable_prompts_are_refused_before_anything_is_sent() {
    let picture =
        json!({"inputs": [{"text": {"content": "a"}}, {"image": {"base64": "iVBORw0KGgo="}}]});
    let structured = otter_request(json!({"x": {}}));
    let rows = [
        (
            DUMMY,
            picture.clone(),
            "makes pictures of texts only; leave image inputs out",
        ),
        (
            OPENAI,
            picture.clone(),
            "makes pictures of texts only; leave image inputs out",
        ),
        (
            STABILITY,
            picture,
            "makes pictures of texts only; leave image inputs out",
        ),
        (
            DUMMY,
            user_text(" "),
            "needs a text that says what to paint",
        ),
        (
            OPENAI,
            user_text(""),
            "needs a text that says what to paint",
        ),
        (
            STABILITY,
            user_text("\n"),
            "needs a text that says what to paint",
        ),
        (
            STABILITY,
            structured,
            "request.internOptions must hold texts, numbers and truth values only",
        ),
    ];
    for (id, request, expected) in rows {
        check_refused_unsent(id, request, expected).await;
    }
}

#[tokio::test]
async fn the_secret_goes_nowhere_else_and_nothing_is_sent_without_it() {
    for id in [OPENAI, STABILITY] {
        let provider = Provider::start([]).await;
        let registry = registry();
        let mut call = sealed_call(&registry, id, "https://bound.invalid", user_text("a"));
        call.service.url = Some(provider.url());
        let elsewhere = registry.call(call.clone()).await.unwrap_err();
        call.credentials = Arc::new(Credentials::None);
        let without = registry.call(call).await.unwrap_err();

        assert!(
            matches!(elsewhere, ServiceError::Forbidden(_)),
            "{id}: {elsewhere:?}"
        );
        assert!(
            matches!(without, ServiceError::MissingSecret { .. }),
            "{id}: {without:?}"
        );
        assert_eq!(provider.connections(), 0, "{id}");
    }
}

#[tokio::test]
async fn a_refusal_has_the_providers_status_and_retry_after() {
    let openai = json!({"error": {"message": format!("no {SECRET}"),
        "type": "image_generation_user_error"}});
    let stability = json!({"id": "x", "name": "rate_limit", "errors": [format!("no {SECRET}")]});
    let rows = [
        (OPENAI, openai, "image_generation_user_error"),
        (STABILITY, stability, "rate_limit"),
    ];
    for (id, body, kind) in rows {
        let headers = "retry-after: 9\r\n";
        let script = || provider::plain("429 Too Many Requests", headers, body.to_string());
        let provider = Provider::start([script(), script()]).await;
        let mut error = ErrorObject::new(429, "Too Many Requests", format!("{id}: no ***"));
        error.kind = Some(kind.to_owned());
        let retry_after = Some(std::time::Duration::from_secs(9));
        let expected = ServiceError::Provider {
            error: Box::new(error),
            retry_after,
            is_in_answer: false,
        };
        let service = json!({"serviceId": id, "url": provider.url()});
        assert_eq!(
            answer(service.clone(), user_text("a")).await,
            Err(expected.clone())
        );
        assert_eq!(events(service, user_text("a")).await, [Err(expected)]);
    }
}

#[tokio::test]
async fn a_filtered_image_is_an_error_with_the_reason() {
    let provider_json =
        json!({"image": "", "finish_reason": "CONTENT_FILTERED", "seed": 1}).to_string();
    let provider = Provider::start([json_bytes(provider_json)]).await;
    let text = "text-to-image:stability.ai: the provider withholds \
                the picture (CONTENT_FILTERED); change the prompt";
    let mut error = ErrorObject::new(400, "Bad Request", text);
    error.kind = Some("CONTENT_FILTERED".to_owned());
    let result = paint(STABILITY, &provider.url(), user_text("a")).await;
    assert_eq!(
        result,
        Err(ServiceError::Provider {
            error: Box::new(error),
            retry_after: None,
            is_in_answer: true,
        })
    );
}

#[tokio::test]
async fn unusable_answers_are_errors() {
    let cut = || {
        vec![
            provider::Act::Send(
                b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"data\":".to_vec(),
            ),
            provider::Act::Close,
        ]
    };
    let many = json!({"data": vec![json!({"url": "u"}); 129]}).to_string();
    let rows = [
        (OPENAI, json_bytes("<html>"), "the provider's answer"),
        (
            OPENAI,
            json_bytes("{}"),
            "the provider's answer has no pictures",
        ),
        (
            OPENAI,
            json_bytes(r#"{"data":[]}"#),
            "the provider's answer has no pictures",
        ),
        (
            OPENAI,
            json_bytes(r#"{"data":[{"b64_json":null}]}"#),
            "the provider's answer has a picture without",
        ),
        (
            OPENAI,
            json_bytes(many),
            "the provider's answer has too many pictures",
        ),
        (OPENAI, cut(), "the service's answer was cut short"),
        (
            STABILITY,
            json_bytes("{\"seed\":1}"),
            "the provider's answer has no picture",
        ),
        (STABILITY, json_bytes("\u{89}PNG"), "the provider's answer"),
        (STABILITY, cut(), "the service's answer was cut short"),
        (
            STABILITY,
            provider::plain("302 Found", "location: /x\r\n", ""),
            "the service answered with status 302",
        ),
    ];
    for (id, script, expected) in rows {
        let provider = Provider::start([script]).await;
        let result = paint(id, &provider.url(), user_text("a")).await;
        let Err(ServiceError::BadAnswer(detail)) = result else {
            panic!("{id} {expected}: {result:?}")
        };
        let (_, text) = detail.text().split_once(": ").unwrap();
        assert!(text.starts_with(expected), "{id}: {text}");
    }
}

#[tokio::test]
async fn dummy_makes_a_png_of_the_prompt_without_a_secret() {
    let registry = registry();
    let mut pictures = Vec::new();
    for prompt in ["a cat", "a dog", "a cat"] {
        let mut call = call_with(&registry, json!({"serviceId": DUMMY}), user_text(prompt));
        call.credentials = Arc::new(Credentials::None);
        let Reply::Final(response) = registry.call(call).await.unwrap() else {
            panic!("a stream")
        };
        let [Output::Image(image)] = &response.outputs[..] else {
            panic!("{:?}", response.outputs)
        };
        let file = Base64::decode_vec(image.members["base64"].as_str().unwrap()).unwrap();
        assert!(file.len() < 2000, "{} bytes", file.len());
        let mut reader = png::Decoder::new(std::io::Cursor::new(file))
            .read_info()
            .unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!(
            (info.width, info.height, info.color_type),
            (64, 64, png::ColorType::Rgb)
        );
        let colours: std::collections::BTreeSet<_> = pixels.chunks(3).collect();
        assert_eq!(colours.len(), 2, "{prompt}: a pattern of two colours");
        pictures.push(pixels);
    }

    assert_eq!(pictures[0], pictures[2], "the same text, the same picture");
    assert_ne!(pictures[0], pictures[1], "another text, another picture");
}
