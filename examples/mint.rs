//! Mints a key: posts secrets, quotas and a lifetime to the server, which seals them and stores
//! nothing.
//!
//! Prints only the key, so that a shell can store it:
//! `export AISBREAKER_API_KEY=$(… --example mint)`.
#![expect(clippy::print_stdout, reason = "an example prints to its terminal")]

use aisbreaker_examples::{Outcome, post};
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let limits = json!({"requestsPerMinute": 60, "requestsPerHour": 600, "requestsPerDay": 600});
    let request = json!({
        "requestAuthAndQuotas": {
            "requestQuotas": {"perClientRequestLimits": limits, "globalRequestLimits": limits},
            "serviceSecrets": [
                // Sent to OpenAI's own address and nowhere else, unless "url" names another.
                {"serviceId": "chat:openai.com", "authSecret": "sk-..."},
                {"serviceId": "chat:dummy", "authSecret": ""},
                // Any other service that needs a secret is refused with this key.
                {"serviceId": "", "authSecret": "INVALID"},
            ],
        },
        "expirationTimeSpan": "30d",
    });

    let response = post("/api/v1/oauth/token", &request).await?;

    let key = response["access_token"].as_str();
    println!("{}", key.ok_or("the response has no key")?);
    Ok(())
}
