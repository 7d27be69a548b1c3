//! Responses: what the client makes of one does not depend on how its bytes are cut, and is what
//! hyper's client makes of it.

use aisbreaker_egress::{Client, Outgoing, Policy, SendError, Timeouts, UrlSource};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    body::{Body, Frame},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    sync::mpsc::unbounded_channel,
};

const URL: &str = "http://127.0.0.1:1/";
const BUFFER_BYTES: usize = 64 * 1024;

/// A response, as far as it was received.
#[derive(Debug, Eq, PartialEq)]
struct Response {
    status: StatusCode,
    fields: Vec<(HeaderName, HeaderValue)>,
    content: Vec<u8>,
    is_complete: bool,
}

/// The input: a byte for the method, a byte for the cuts, then all that the server sends before it
/// closes the connection.
pub fn check(data: &[u8]) {
    let Some(([method, cut], answer)) = data.split_first_chunk::<2>() else {
        return;
    };
    let method = [Method::GET, Method::POST, Method::HEAD][usize::from(method % 3)].clone();
    let cut = usize::from(*cut).max(1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.expect("a runtime").block_on(async {
        let whole = receive(&method, &[answer]).await;
        let pieces: Vec<&[u8]> = answer.chunks(cut).collect();
        assert_eq!(receive(&method, &pieces).await, whole, "pieces of {cut}");
        if has_largest_length(answer) {
            return;
        }
        let theirs = receive_by_hyper(&method, answer).await;
        if whole.as_ref().is_ok_and(names_no_coding) || theirs.as_ref().is_some_and(names_no_coding)
        {
            return;
        }
        match whole {
            // Which hyper leaves to its caller.
            Err(SendError::TransferCoding) => {
                let is_coded = |(name, _): &(HeaderName, _)| *name == header::TRANSFER_ENCODING;
                assert!(theirs.is_none_or(|response| response.fields.iter().any(is_coded)));
            }
            ours => {
                let ours = ours.ok();
                let mut theirs = theirs;
                // hyper ends a trailer section at some of them.
                if let (Some(ours), Some(theirs)) = (&ours, &mut theirs)
                    && has_bare_line_feed(answer)
                {
                    theirs.is_complete &= ours.is_complete;
                }
                assert_eq!(ours, theirs);
            }
        }
    });
}

/// Whether a response names no transfer coding in a field for it, which hyper takes for a coding
/// without an end.
fn names_no_coding(response: &Response) -> bool {
    let fields = response.fields.iter();
    let mut values = fields.filter(|(name, _)| *name == header::TRANSFER_ENCODING);
    let is_none = |coding: &[u8]| {
        let coding = coding.trim_ascii();
        coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")
    };
    values.any(|(_, value)| value.as_bytes().split(|byte| *byte == b',').all(is_none))
}

/// Whether there may be one of the two largest lengths, which hyper keeps for itself.
fn has_largest_length(answer: &[u8]) -> bool {
    let digits = b"1844674407370955161";
    answer.windows(digits.len()).any(|window| window == digits)
}

fn has_bare_line_feed(answer: &[u8]) -> bool {
    let mut pairs = answer.windows(2);
    pairs.any(|pair| pair[1] == b'\n' && pair[0] != b'\r')
}

/// Reads a request and writes the answer in these pieces.
async fn serve(mut stream: DuplexStream, pieces: &[&[u8]]) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    for piece in pieces {
        if stream.write_all(piece).await.is_err() {
            return;
        }
        // The client reads each piece by itself.
        tokio::task::yield_now().await;
    }
}

/// Returns what the client makes of an answer.
async fn receive(method: &Method, pieces: &[&[u8]]) -> Result<Response, SendError> {
    let (servers, mut streams) = unbounded_channel();
    let policy = Policy::strict().allow(URL).expect("an exception");
    let client = Client::new(policy, Timeouts::default()).with_in_memory_servers(servers);
    let server = async {
        if let Some(stream) = streams.recv().await {
            serve(stream, pieces).await;
        }
    };
    let exchange = async {
        let url = Uri::from_static(URL);
        let outgoing = Outgoing::new(method.clone(), HeaderMap::new(), "");
        let response = client.send(&url, UrlSource::Trusted, outgoing).await?;
        Ok(read(response).await)
    };
    tokio::join!(exchange, server).0
}

/// Returns what hyper's client makes of an answer.
async fn receive_by_hyper(method: &Method, answer: &[u8]) -> Option<Response> {
    let (stream, server) = tokio::io::duplex(BUFFER_BYTES);
    let exchange = async {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(BUFFER_BYTES);
        let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.ok()?;
        let call = async {
            let mut request = Request::new(Empty::<Bytes>::new());
            *request.method_mut() = method.clone();
            let response = sender.send_request(request).await.ok()?;
            // Not asked for.
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                return None;
            }
            Some(read(response).await)
        };
        tokio::pin!(call);
        let connection = connection.with_upgrades();
        tokio::select! {
            biased;
            response = &mut call => response,
            _ended = connection => call.await,
        }
    };
    let whole = [answer];
    tokio::join!(exchange, serve(server, &whole)).0
}

/// Reads on to the end of the body, or to where it is broken.
async fn read(response: http::Response<impl Body<Data = Bytes> + Unpin>) -> Response {
    let (head, mut body) = response.into_parts();
    let (mut content, mut is_complete) = (Vec::new(), true);
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => content.extend_from_slice(&data),
            Ok(Err(_trailers)) => {}
            Err(_broken) => is_complete = false,
        }
    }
    let fields = head.headers.iter();
    Response {
        status: head.status,
        fields: fields
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        content,
        is_complete,
    }
}
