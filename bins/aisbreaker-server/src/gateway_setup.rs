//! What gateways of this program are made of.

use aisbreaker_egress as egress;
use aisbreaker_gateway::{Clock as _, Gateway, SystemClock};

use crate::{revoked_file::RevokedFile, settings::Settings};

/// Creates a gateway that serves requests of this process. It shares no counters and saves none, and
/// refuses the keys that are in the file of revoked keys now.
///
/// # Errors
/// A file of revoked keys that cannot be read.
#[expect(clippy::print_stderr, reason = "a warning for the user of the command")]
pub(crate) fn gateway_alone(settings: Settings) -> Result<Gateway, String> {
    let Settings {
        mut gateway,
        egress,
        timeouts,
        bounds,
        services,
        store,
        revoked_file,
        ..
    } = settings;
    if store.is_some() {
        // The server that takes the keys counts there.
        gateway.long_budgets = true;
        eprintln!(
            "warning: keys that are revoked in Redis are not known here; ask with --server URL"
        );
    }
    let clock = SystemClock::new();
    let revoked = match revoked_file {
        Some(path) => RevokedFile::read_only(&path, clock.wall())
            .map_err(|problem| format!("AISBREAKER_REVOKED_FILE {problem}"))?,
        None => Vec::new(),
    };
    let client = egress::Client::new(egress, timeouts).with_bounds(bounds);
    let registry = gateway.connect(client, services).build();
    let gateway = Gateway::new(gateway, registry, clock);
    gateway.restore_revoked(revoked);
    Ok(gateway)
}
