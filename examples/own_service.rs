//! A custom service in one file: `chat:shout` responds in capitals. It is registered next to the
//! standard services.
#![expect(clippy::print_stdout, reason = "an example prints to its terminal")]

use std::sync::Arc;

use aisbreaker_examples::{Outcome, client};
use aisbreaker_services::{
    Call, Credentials, Reply, ReplyFuture, Service, ServiceError,
    api::{Request, Response, ServiceId, ServiceProps},
    services::{Options, standard},
};

struct Shout;

impl Service for Shout {
    fn call(&self, call: Call) -> ReplyFuture<'_> {
        Box::pin(async move {
            let Some(text) = call.request.first_text() else {
                return Err(ServiceError::BadRequest(
                    "request.inputs must have a text".into(),
                ));
            };
            let response = Response::text(call.service_id.as_str(), text.to_uppercase());
            Ok(Reply::Final(response))
        })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let registry = standard(client()?, Options::default())
        .with(&ServiceId::parse("chat:shout")?, Shout)
        .build();

    // A filter can be put in front of it, as in front of any other service.
    let service =
        ServiceProps::new("aisbreaker:mirror").with_forward_to(ServiceProps::new("chat:shout"));
    let call = Call::new(
        service,
        Request::user_text("hello"),
        Arc::new(Credentials::None),
        registry.clone(),
    )?;
    let Reply::Final(response) = registry.call(call).await? else {
        return Err("a streamed response was not requested".into());
    };

    println!("{}", response.first_text().unwrap_or_default());
    if response.first_text() == Some("OLLEH") {
        Ok(())
    } else {
        Err("the response should be OLLEH".into())
    }
}
