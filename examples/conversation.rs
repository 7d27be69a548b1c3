//! A conversation of two turns: the first response carries the state that the second request sends
//! back.
#![expect(clippy::print_stdout, reason = "an example prints to its terminal")]

use aisbreaker_api::{ConversationState, Request};
use aisbreaker_examples::{Outcome, call};
use aisbreaker_services::Reply;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let mut state = None;
    for question in ["My name is Ada.", "What is my name?"] {
        let request = Request::user_text(question).with_conversation_state(state);

        let Reply::Final(response) = call("chat:dummy", request).await? else {
            return Err("a streamed response was not requested".into());
        };

        println!(
            "> {question}\n{}",
            response.first_text().unwrap_or("(no text)")
        );
        state = response.conversation_state;
    }
    // The client can read the state: two turns with an input and an output each.
    let messages = ConversationState::decode(&state.unwrap_or_default())?.messages;
    println!("{} messages", messages.len());
    if messages.len() == 4 {
        Ok(())
    } else {
        Err("the state does not hold both turns".into())
    }
}
