//! The services that make pictures of a text.

mod dummy;
mod openai;
mod stability;

use aisbreaker_api::{Input, ServiceId};
use aisbreaker_egress::{Client, Outgoing};

pub use self::{dummy::DummyImages, openai::OpenAiImages, stability::StabilityImages};
use super::{
    exchange::whole,
    told::{MAX_ERROR_TEXT_BYTES, Pending, Told, in_one_piece},
    turn::Turn,
    upstream::Context,
};
use crate::{destination::Destination, error::ServiceError, service::Reply};

/// What to paint: the texts of this turn, a line each.
fn prompt(id: &ServiceId, turn: &Turn) -> Result<String, ServiceError> {
    let bad = |problem: &str| ServiceError::BadRequest(format!("{id}: {problem}"));
    let mut texts = Vec::new();
    for input in turn.inputs() {
        let Input::Text(text) = input else {
            return Err(bad("makes pictures of texts only; leave image inputs out"));
        };
        texts.push(&*text.content);
    }
    let prompt = texts.join("\n");
    if prompt.trim().is_empty() {
        return Err(bad("needs a text that says what to paint"));
    }
    Ok(prompt)
}

/// A request that is ready to be sent.
struct Ready {
    destination: Destination,
    outgoing: Outgoing,
    pending: Pending,
    /// Whether to answer with a stream, which has the pictures in one piece.
    stream: bool,
}

/// Sends a request, and reads its answer as a whole.
async fn paint(
    name: &str,
    id: &ServiceId,
    client: Client,
    ready: Ready,
    read: fn(&[u8]) -> Result<Told, ServiceError>,
) -> Result<Reply, ServiceError> {
    let Ready {
        destination,
        outgoing,
        pending,
        stream,
    } = ready;
    let context = Context::new(name, id.as_str(), &destination, MAX_ERROR_TEXT_BYTES);
    let exchange = async move {
        let (answer, _held) = whole(&client, &destination, outgoing).await?;
        let response = pending.finish_for_good(read(&answer)?);
        Ok(if stream {
            in_one_piece(response)
        } else {
            Reply::Final(response)
        })
    };
    context.reply(stream, exchange).await
}
