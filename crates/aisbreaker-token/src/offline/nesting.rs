//! Nested keys: offline keys that narrow another key, their parent, which is whole inside them.
//!
//! Their holder needs no server to make one. Whoever gets one cannot take the parent out of it,
//! since only a server can open it. The rules are those of [`delegation`](crate::delegation).

use std::time::SystemTime;

use secrecy::{ExposeSecret as _, SecretString};

use super::SealingPublicKey;
use crate::{
    claims::Grant,
    delegation::{ChildRequest, DelegationError, child_of},
    error::{NestingFault, OpenError, SealError},
    format::MAX_DELEGATION_DEPTH,
    host::Host,
    opening::Opened,
    ring::KeyRing,
    sealing::{SealedKey, ValidityPeriod},
};

impl KeyRing {
    /// Opens a key as [`open_grant`](Self::open_grant) does, and has every offline key checked: the
    /// key itself and, if it is nested, each that it was made from.
    ///
    /// `check` gets an offline key as its sealer wrote it, once it is valid by itself, and before
    /// its parent is opened. So it sees a nested key without what that has from its parent. It
    /// should refuse whatever the server would not have sealed. Keys that a server sealed are not
    /// checked.
    ///
    /// # Errors
    /// Returns those of [`open_grant`](Self::open_grant), and the first error of `check`.
    pub fn open_grant_with<E: From<OpenError>>(
        &self,
        key: &str,
        host: &Host,
        now: SystemTime,
        mut check: impl FnMut(&Opened<Grant>) -> Result<(), E>,
    ) -> Result<Opened<Grant>, E> {
        let opened = self.open_grant_alone(key, host, now)?;
        if !opened.is_offline() {
            return Ok(opened);
        }
        check(&opened)?;
        if !opened.is_nested() {
            return Ok(opened);
        }
        self.unfold(opened, host, now, &mut check)
    }

    /// Opens all keys around which this one is nested, and joins their grants.
    fn unfold<E: From<OpenError>>(
        &self,
        innermost: Opened<Grant>,
        host: &Host,
        now: SystemTime,
        check: &mut impl FnMut(&Opened<Grant>) -> Result<(), E>,
    ) -> Result<Opened<Grant>, E> {
        let mut children = vec![innermost];
        let mut root = None;
        while let Some(child) = children.last()
            && let Some(parent) = child.parent()
        {
            if children.len() > MAX_DELEGATION_DEPTH {
                return Err(refused(child, DelegationError::TooDeep.into()).into());
            }
            if !child.payload().service_secrets.is_empty()
                || !child.payload().model_aliases.is_empty()
            {
                return Err(refused(child, NestingFault::NotNarrower).into());
            }
            let opened = self.open_grant_alone(parent.expose_secret(), host, now)?;
            if opened.is_offline() {
                check(&opened)?;
            }
            if opened.is_nested() {
                children.push(opened);
            } else {
                root = Some(opened);
                break;
            }
        }
        let Some(mut joined) = root else {
            // Not expected: the loop ends with a key that has no parent.
            return Err(OpenError::Malformed.into());
        };
        for child in children.into_iter().rev() {
            joined = join(joined, child, now)?;
        }
        Ok(joined)
    }
}

/// Returns the child with the grant that it has as a child of this parent.
fn join(
    parent: Opened<Grant>,
    mut child: Opened<Grant>,
    now: SystemTime,
) -> Result<Opened<Grant>, OpenError> {
    let (expires_at, not_before) = (parent.expires_at(), parent.not_before());
    let grant = std::mem::take(child.payload_mut());
    let request = ChildRequest {
        lifetime: None,
        not_before: None,
        name: grant.name,
        request_quotas: grant.request_quotas,
        budgets: grant.budgets,
        restrict: grant.restrict,
        delegation: grant.delegation,
    };
    // What the child cannot use is left to the server, which alone knows what restrictions mean.
    match child_of(parent, request, now, |_, _| true) {
        Ok((grant, _valid_from_now)) => *child.payload_mut() = grant,
        Err(error) => return Err(refused(&child, error.into())),
    }
    let validity = child.validity_mut();
    validity.expires_at = validity.expires_at.min(expires_at);
    validity.not_before = validity.not_before.max(not_before);
    Ok(child)
}

fn refused(key: &Opened<Grant>, fault: NestingFault) -> OpenError {
    OpenError::Nested {
        id: key.id(),
        fault,
    }
}

impl SealingPublicKey {
    /// Seals a key that narrows `parent`, around it, for the same host.
    ///
    /// The grant is what is asked of the child: its name, quotas and budgets of its own, further restrictions,
    /// and how far it may be delegated. `period` counts within that of the parent. The key may have
    /// [`MAX_OPEN_CHARS`](crate::MAX_OPEN_CHARS), since it holds a whole key.
    ///
    /// # Errors
    /// Returns those of [`seal`](Self::seal), and [`SealError::NotNarrower`] if the grant has
    /// secrets, model aliases or ancestors.
    pub fn seal_child(
        &self,
        parent: &SecretString,
        grant: &Grant,
        host: &Host,
        period: ValidityPeriod,
    ) -> Result<SealedKey, SealError> {
        let Grant {
            service_secrets,
            model_aliases,
            ancestors,
            ..
        } = grant;
        if !service_secrets.is_empty() || !model_aliases.is_empty() || !ancestors.is_empty() {
            return Err(SealError::NotNarrower);
        }
        self.seal_around(parent, grant, host, period)
    }
}
