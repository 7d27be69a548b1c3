//! The settings while they are read. Some depend on others and are combined once all are known.

use std::{path::PathBuf, time::Duration};

use aisbreaker_egress::MemoryBudget;
use aisbreaker_token::{KeyRing, OpeningKey, RingError, ServerKey};

use super::{
    ResolvedName, Settings, StateSettings,
    faults::Faults,
    given::{Address, Given, Names, Problem, Source},
    key_files::KeyFile,
    store::StoreDraft,
    tls::TlsDraft,
};
use crate::files;

/// The memory of all bodies together, unless it is set or single bodies may be larger.
const DEFAULT_BUFFERED_BYTES: usize = 512 << 20;

/// Settings so far, and values from which [`finish`](Self::finish) makes more of them.
pub(super) struct Draft {
    pub(super) settings: Settings,
    names: Names,
    port: Option<u16>,
    pub(super) opening_keys: Vec<OpeningKey>,
    pub(super) max_buffered_bytes: Option<usize>,
    /// Whether callers may name the addresses that are allowed although they are not public.
    pub(super) egress_allow_callers: bool,
    pub(super) tls: TlsDraft,
    pub(super) store: StoreDraft,
    pub(super) state_file: Option<PathBuf>,
    pub(super) has_volatile_budgets: bool,
    pub(super) state_interval: Duration,
    pub(super) has_ceilings: bool,
    /// Whether unknown variables are faults.
    pub(super) is_strict: bool,
}

impl Draft {
    /// Creates a draft of the defaults, with the random key that seals unless another one is set.
    pub(super) fn new(random: ServerKey, names: Names) -> Self {
        Self {
            settings: Settings::new(KeyRing::new(random)),
            names,
            port: None,
            opening_keys: Vec::new(),
            max_buffered_bytes: None,
            egress_allow_callers: false,
            tls: TlsDraft::default(),
            store: StoreDraft::default(),
            state_file: None,
            has_volatile_budgets: false,
            state_interval: Duration::from_secs(60),
            has_ceilings: true,
            is_strict: false,
        }
    }

    /// Sets the port of the default address. Must be called before
    /// [`set_listen`](Self::set_listen).
    pub(super) fn set_port(&mut self, port: u16) {
        self.port = Some(port);
        self.settings.listen.set_port(port);
    }

    /// Sets the address. `PORT` replaces the port of an address from the file, since the
    /// environment beats the file. It does not change an address that was given by flag or
    /// variable, which is more specific.
    pub(super) fn set_listen(&mut self, value: &Given) -> Result<(), Problem> {
        let mut given = value.address(self.names)?;
        if let (Some(port), Source::File) = (self.port, value.source) {
            given.address.set_port(port);
        }
        self.settings.listen = given.address;
        self.note_resolved_name("listen", given);
        Ok(())
    }

    /// Sets the address of the metrics.
    pub(super) fn set_metrics_listen(&mut self, value: &Given) -> Result<(), Problem> {
        let given = value.address(self.names)?;
        self.settings.metrics_listen = Some(given.address);
        self.note_resolved_name("metrics.listen", given);
        Ok(())
    }

    /// Remembers what a name was resolved to, for the log.
    fn note_resolved_name(&mut self, setting: &'static str, given: Address) {
        let names = &mut self.settings.resolved_names;
        names.retain(|resolved| resolved.setting != setting);
        if let Some(name) = given.name {
            names.push(ResolvedName {
                setting,
                name,
                address: given.address.ip(),
            });
        }
    }

    /// Replaces the random key.
    pub(super) fn set_sealing_key(&mut self, key: ServerKey) -> Result<(), Problem> {
        if !self.settings.has_random_key {
            return Err(
                "must not be set together with AUTH_ENCRYPTION_KEYPHRASE: set the key, or the file \
                 that it is in"
                    .into(),
            );
        }
        self.settings.gateway.keys = KeyRing::new(key);
        self.settings.has_random_key = false;
        Ok(())
    }

    /// Replaces the random key by the one in this file.
    pub(super) fn set_sealing_file(&mut self, setting: &str, file: KeyFile) -> Result<(), Problem> {
        let text = file.read(setting)?;
        self.note_nearly_raw_key(&text)?;
        self.set_sealing_key(text.sealing_key()?)?;
        self.settings.key_files.sealing = Some(file);
        Ok(())
    }

    /// Adds the keys of these files, which only open.
    pub(super) fn add_opening_files(
        &mut self,
        setting: &str,
        files: Vec<KeyFile>,
    ) -> Result<(), Problem> {
        if !self.opening_keys.is_empty() {
            return Err(
                "must not be set together with AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES: set the keys, \
                 or the files that they are in"
                    .into(),
            );
        }
        for file in files {
            let text = file.read(setting)?;
            self.note_nearly_raw_key(&text)?;
            self.opening_keys.extend(file.opening_keys(&text)?);
            self.settings.key_files.opening.push(file);
        }
        Ok(())
    }

    /// Remembers the name of a setting if one of its keys is nearly a 32-byte key.
    pub(super) fn note_nearly_raw_key(&mut self, given: &Given) -> Result<(), Problem> {
        let names = &mut self.settings.nearly_raw_keys;
        if given.has_nearly_raw_key()? && !names.contains(&given.name) {
            names.push(given.name.clone());
        }
        Ok(())
    }

    /// Combines what was read.
    ///
    /// # Errors
    /// The faults found before, and those of settings that do not fit together.
    pub(super) fn finish(mut self, mut faults: Faults) -> Result<Settings, Faults> {
        self.share_budget(&mut faults);
        let mut settings = self.settings;
        if self.egress_allow_callers {
            settings.egress = settings.egress.extend_to_untrusted();
            settings.is_network_open = settings.gateway.minting.secret.is_none();
        }
        settings.tls = self.tls.finish(&mut faults);
        if let Some(tls) = &settings.tls {
            settings.gateway.has_tls_listener = true;
            if files::is_exposed(&tls.key_file) {
                settings.exposed_secret_files.push(tls.key_file.clone());
            }
        }
        settings.store = self.store.finish(&mut faults);
        settings.gateway.long_budgets = self.has_volatile_budgets || self.state_file.is_some();
        settings.state = self.state_file.map(|path| StateSettings {
            path,
            interval: self.state_interval,
            has_ceilings: self.has_ceilings,
        });
        match with_opening_keys(settings.gateway.keys, self.opening_keys) {
            Ok(keys) if faults.is_empty() => {
                settings.gateway.keys = keys;
                Ok(settings)
            }
            Ok(_) => Err(faults),
            Err(error) => {
                let problem = format_args!("has an unusable entry: {error}");
                faults.add("AUTH_ADDITIONAL_DECRYPTION_KEYPHRASES", problem);
                Err(faults)
            }
        }
    }

    /// Gives requests and responses one memory budget. If it is not set, it has room for the
    /// largest of each with all that is derived from it; if it is set, each must fit by itself.
    fn share_budget(&mut self, faults: &mut Faults) {
        let Settings {
            gateway, bounds, ..
        } = &mut self.settings;
        let body = gateway.max_body_bytes;
        let response = bounds.max_collected_bytes;
        // For a response: its text, the whole of it, and both in the state, in base64, with the
        // request. For a service that repeats its request: each event of its stream.
        let largest = ((response * 13 + body * 7) / 3).max(body * 6);
        let limit_bytes = self
            .max_buffered_bytes
            .unwrap_or(largest.max(DEFAULT_BUFFERED_BYTES));
        for (variable, bytes) in [
            ("AISBREAKER_MAX_BODY_BYTES", body),
            ("AISBREAKER_MAX_ANSWER_BYTES", response),
        ] {
            if bytes > limit_bytes {
                faults.add(
                    variable,
                    "must not be larger than AISBREAKER_MAX_BUFFERED_BYTES",
                );
            }
        }
        gateway.memory_budget = MemoryBudget::new(limit_bytes);
        self.settings.max_buffered_bytes = limit_bytes;
        let gateway = &mut self.settings.gateway;
        // One client cannot keep all others out, and each can do whatever is allowed at all.
        gateway.max_client_bytes = (limit_bytes / 4)
            .max(largest)
            .max(aisbreaker_gateway::Config::UPLOAD_MEMORY_BYTES);
    }
}

fn with_opening_keys(mut ring: KeyRing, keys: Vec<OpeningKey>) -> Result<KeyRing, RingError> {
    for key in keys {
        ring = ring.with_opening_key(key)?;
    }
    Ok(ring)
}
