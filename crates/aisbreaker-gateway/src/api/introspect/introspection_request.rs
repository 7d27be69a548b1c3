//! The form of an introspection request (RFC 7662 section 2.1).

use aisbreaker_api::InvalidRequest;
use secrecy::SecretString;

use crate::form_urlencoded;

/// The most parameters of a form.
const MAX_PARAMETERS: usize = 64;

/// The key to tell about.
#[derive(Debug)]
pub(super) struct IntrospectionRequest {
    pub(super) token: SecretString,
}

impl IntrospectionRequest {
    /// Parses a form. Parameters without a value count as left out (RFC 6749 section 3.2), and those
    /// that are not known are ignored, `token_type_hint` among them.
    pub(super) fn parse(body: &[u8]) -> Result<Self, InvalidRequest> {
        let mut token = None;
        for (name, value) in form_urlencoded::parameters(body, MAX_PARAMETERS)? {
            if name != "token" {
                continue;
            }
            if token.is_some() {
                return Err(InvalidRequest::new("token", "must be sent once"));
            }
            // Files and shells leave line ends.
            token = Some(SecretString::from(value.trim()));
        }
        match token {
            Some(token) => Ok(Self { token }),
            None => Err(InvalidRequest::new("token", "is missing")),
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_form_names_one_token() {
        let rows = [
            ("token=aisbreaker_x", Ok("aisbreaker_x")),
            (
                "token=aisbreaker%5Fx&token_type_hint=refresh_token",
                Ok("aisbreaker_x"),
            ),
            ("x&y=1&y=2&%74oken=x%0A", Ok("x")),
            ("token=&token=x", Ok("x")),
            ("token=x&token=x", Err("token must be sent once")),
            ("token=", Err("token is missing")),
            ("Token=x", Err("token is missing")),
            ("{\"token\":\"x\"}", Err("token is missing")),
            ("", Err("token is missing")),
        ];
        for (form, expected) in rows {
            let parsed = IntrospectionRequest::parse(form.as_bytes());
            let token = parsed.as_ref().map(|request| request.token.expose_secret());
            let token = token.map_err(ToString::to_string);
            assert_eq!(token, expected.map_err(str::to_owned), "{form}");
        }
        assert!(IntrospectionRequest::parse(b"token=\xff").is_err());
    }
}
