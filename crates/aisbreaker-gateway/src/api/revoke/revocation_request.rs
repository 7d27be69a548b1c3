//! The form of a revocation request (RFC 7009 section 2.1).

use aisbreaker_api::InvalidRequest;
use aisbreaker_token::KeyId;
use secrecy::SecretString;

use crate::form_urlencoded;

/// The most ids of one request.
const MAX_IDS: usize = 1_000;
/// The most parameters of a form: all ids, and some that are not known.
const MAX_PARAMETERS: usize = 1_100;

/// What a request revokes.
#[derive(Debug)]
pub(super) enum RevocationRequest {
    /// The key itself.
    Token(SecretString),
    /// Keys by their ids.
    Ids(Vec<KeyId>),
}

impl RevocationRequest {
    /// Parses a form. Parameters without a value count as left out (RFC 6749 section 3.1), and those
    /// that are not known are ignored, `token_type_hint` among them: the server finds out by itself.
    pub(super) fn parse(body: &[u8]) -> Result<Self, InvalidRequest> {
        let (mut token, mut ids) = (None, Vec::new());
        for (name, value) in form_urlencoded::parameters(body, MAX_PARAMETERS)? {
            // Files and shells leave line ends.
            let value = value.trim();
            match name.as_str() {
                _ if value.is_empty() => {}
                "token" if token.is_some() => {
                    return Err(InvalidRequest::new("token", "must be sent once"));
                }
                "token" => token = Some(SecretString::from(value)),
                "id" if ids.len() == MAX_IDS => {
                    let problem = format!("must be sent {MAX_IDS} times at most");
                    return Err(InvalidRequest::new("id", problem));
                }
                "id" => ids.push(key_id(value)?),
                _ => {}
            }
        }
        match token {
            Some(token) if ids.is_empty() => Ok(Self::Token(token)),
            Some(_) => Err(InvalidRequest::new("token", "must not be sent with id")),
            None if ids.is_empty() => Err(InvalidRequest::new("token", "is missing")),
            None => Ok(Self::Ids(ids)),
        }
    }
}

fn key_id(text: &str) -> Result<KeyId, InvalidRequest> {
    text.parse().map_err(|_error| {
        InvalidRequest::new(
            "id",
            "must be the id of a key: 22 or 43 characters of base64url",
        )
    })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    const ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

    fn parse(form: &str) -> Result<String, String> {
        match RevocationRequest::parse(form.as_bytes()) {
            Ok(RevocationRequest::Token(token)) => Ok(token.expose_secret().to_owned()),
            Ok(RevocationRequest::Ids(ids)) => Ok(format!("{ids:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_form_names_one_token_or_some_ids() {
        let rows = [
            ("token=aisbreaker_x", "aisbreaker_x"),
            (
                "token=aisbreaker%5Fx&token_type_hint=refresh_token",
                "aisbreaker_x",
            ),
            ("token_type_hint=a&token_type_hint=b&token=x&other=1&x", "x"),
            ("%74oken=x", "x"),
            ("token=x%0D%0A", "x"),
            ("token=&token=x", "x"),
            ("token=+x+", "x"),
            (
                &format!("id={ID}&id={ID}"),
                &format!("[KeyId({ID}), KeyId({ID})]"),
            ),
        ];
        for (form, expected) in rows {
            assert_eq!(parse(form).as_deref(), Ok(expected), "{form}");
        }
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        let long = "A".repeat(44);
        let many = format!("id={ID}&").repeat(MAX_IDS + 1);
        let rows = [
            ("", "token is missing"),
            ("token", "token is missing"),
            ("token=", "token is missing"),
            ("Token=x", "token is missing"),
            ("{\"token\":\"x\"}", "token is missing"),
            ("token=x&token=x", "token must be sent once"),
            ("token=x&token=", "x"),
            (
                &format!("token=x&id={ID}"),
                "token must not be sent with id",
            ),
            ("id=x", "id must be"),
            (&format!("id={long}"), "id must be"),
            (&format!("id={ID}%2B"), "id must be"),
            (&many, "id must be sent 1000 times at most"),
        ];
        for (form, expected) in rows {
            let answer = parse(form).unwrap_or_else(|error| error);
            assert!(answer.contains(expected), "{form}: {answer}");
        }
        assert!(RevocationRequest::parse(b"token=\xff").is_err());
    }
}
