//! Sends one question and prints the response. The first argument is the service, by default
//! `chat:dummy`.
#![expect(clippy::print_stdout, reason = "an example prints to its terminal")]

use aisbreaker_api::Request;
use aisbreaker_examples::{Outcome, call};
use aisbreaker_services::Reply;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let service_id = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "chat:dummy".to_owned());

    let reply = call(
        &service_id,
        Request::user_text("What is a gateway, in one sentence?"),
    )
    .await?;

    let Reply::Final(response) = reply else {
        return Err("a streamed response was not requested".into());
    };
    println!("{}", response.first_text().unwrap_or("(no text)"));
    println!("{}", serde_json::to_string_pretty(&response.usage)?);
    Ok(())
}
