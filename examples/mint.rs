//! Mints a key: posts secrets, quotas and a span of time to the server, which seals them and keeps
//! nothing.
//!
//! Prints the key alone, so that a shell can keep it:
//! `export AISBREAKER_API_KEY=$(… --example mint)`.
#![expect(clippy::print_stdout, reason = "an example talks to its terminal")]

use aisbreaker_examples::{Outcome, post};
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let limits = json!({"requestsPerMinute": 60, "requestsPerHour": 600, "requestsPerDay": 600});
    let request = json!({
        "requestAuthAndQuotas": {
            "requestQuotas": {"perClientRequestLimits": limits, "globalRequestLimits": limits},
            "serviceSecrets": [
                // Goes to OpenAI's own address and nowhere else; name others in "url".
                {"serviceId": "chat:openai.com", "authSecret": "sk-..."},
                {"serviceId": "chat:dummy", "authSecret": ""},
                // No other service that needs a secret may be used with this key.
                {"serviceId": "", "authSecret": "INVALID"},
            ],
        },
        "expirationTimeSpan": "30d",
    });

    let answer = post("/api/v1/oauth/token", &request).await?;

    println!(
        "{}",
        answer["access_token"]
            .as_str()
            .ok_or("the answer has no key")?
    );
    Ok(())
}
