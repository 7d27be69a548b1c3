//! The console of a gateway in another program: there only if it asks for it.

use std::error::Error;

use aisbreaker_gateway::{Gateway, token};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use token::{KeyRing, ServerKey};

async fn get(gateway: &Gateway, path: &str) -> Result<(StatusCode, Bytes), Box<dyn Error>> {
    let request = Request::get(path).header("host", "localhost");
    let request = request.body(Empty::<Bytes>::new())?;
    let response = gateway.handle(request, [127, 0, 0, 1].into()).await;
    let (parts, body) = response.into_parts();
    Ok((parts.status, body.collect().await?.to_bytes()))
}

#[tokio::test]
async fn a_gateway_has_a_console_only_if_its_builder_says_so() {
    let keys = || KeyRing::new(ServerKey::from_bytes([7; 32]));
    let without = Gateway::builder(keys()).build();
    let with = Gateway::builder(keys()).console().build();
    for path in [
        "/console",
        "/console/",
        "/console/console.js",
        "/console/console.css",
    ] {
        let (status, _) = get(&without, path).await.unwrap();
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        let (status, content) = get(&with, path).await.unwrap();
        let is_redirect = status == StatusCode::PERMANENT_REDIRECT;
        assert!(is_redirect || status == StatusCode::OK, "{path}: {status}");
        assert_eq!(is_redirect, path == "/console");
        assert_eq!(content.is_empty(), is_redirect, "{path}");
    }
    let has_link = |content: &[u8]| String::from_utf8_lossy(content).contains("href=\"console/\"");
    assert!(!has_link(&get(&without, "/").await.unwrap().1));
    assert!(has_link(&get(&with, "/").await.unwrap().1));
}
