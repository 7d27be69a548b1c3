//! Sends one question and prints the response piece by piece, as it arrives.
#![expect(clippy::print_stdout, reason = "an example prints to its terminal")]

use std::io::Write as _;

use aisbreaker_api::{Output, Request};
use aisbreaker_examples::{Outcome, call};
use aisbreaker_services::{Event, Reply};
use futures_util::StreamExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let service_id = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "chat:dummy".to_owned());
    let request = Request::user_text("Count to ten.").with_stream(true);

    let Reply::Stream(mut events) = call(&service_id, request).await? else {
        return Err("a streamed response was requested".into());
    };

    while let Some(event) = events.next().await {
        match event? {
            Event::Progress(progress) => {
                for output in progress.outputs {
                    if let Output::Text(piece) = output {
                        print!("{}", piece.content);
                        std::io::stdout().flush()?;
                    }
                }
            }
            Event::Final(response) => println!("\n({} ms)", response.usage.total_milliseconds),
        }
    }
    Ok(())
}
