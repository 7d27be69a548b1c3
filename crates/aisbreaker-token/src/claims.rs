//! The claims of an opened key, read in one pass: registered claims (RFC 7519 section 4.1) go to
//! [`Registered`], all other members to the payload's own `Deserialize`.

mod filter;
mod registered;
mod validity;

use std::fmt;

use serde::{
    Deserialize, Deserializer as _,
    de::{IgnoredAny, MapAccess, Visitor},
};

use crate::SealError;

pub(crate) use registered::Registered;
use registered::{Claim, Text};
pub(crate) use validity::Times;

/// Reads claims that hold a payload of type `P`.
///
/// On an error `registered` holds what was read before it.
pub(crate) fn read<'de, P: Deserialize<'de>>(
    json: &'de str,
    registered: &mut Registered<'de>,
) -> Result<P, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(json);
    let payload = P::deserialize(filter::Members::new(&mut json, registered))?;
    json.end()?;
    Ok(payload)
}

/// Checks that a payload's JSON is an object whose members can stand beside the registered claims.
pub(crate) fn require_payload_members(json: &[u8]) -> Result<(), SealError> {
    struct Names;

    impl<'de> Visitor<'de> for Names {
        type Value = Option<Claim>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<Claim>, A::Error> {
            let mut reserved = None;
            while let Some((Text(name), IgnoredAny)) = map.next_entry()? {
                reserved = reserved.or(Claim::from_name(&name));
            }
            Ok(reserved)
        }
    }

    match serde_json::Deserializer::from_slice(json).deserialize_map(Names) {
        Ok(None) => Ok(()),
        Ok(Some(claim)) => Err(SealError::ReservedMember(claim.name())),
        Err(_) => Err(SealError::NotAnObject),
    }
}
