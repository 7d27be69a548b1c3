//! The variables of the OpenTelemetry specification that the SDK does not read itself.

use std::{collections::HashMap, ffi::OsString, time::Duration};

use http::Uri;
use opentelemetry_sdk::trace::OTEL_BSP_MAX_QUEUE_SIZE_DEFAULT;

/// The only protocol that is spoken.
const PROTOCOL: &str = "http/protobuf";
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// What the environment says about the export of traces.
#[derive(Debug)]
pub(super) struct Environment {
    endpoint: String,
    /// How long one request to the collector may take.
    pub(super) timeout: Duration,
    /// How many spans wait for the collector.
    pub(super) max_queue_size: usize,
    /// The requested protocol.
    protocol: Option<String>,
}

impl Environment {
    /// Reads the variables. `None` without a collector, or if traces are switched off.
    pub(super) fn read(variables: impl Iterator<Item = (OsString, OsString)>) -> Option<Self> {
        let mut values = HashMap::new();
        for (name, value) in variables {
            if let (Ok(name), Ok(value)) = (name.into_string(), value.into_string())
                && name.starts_with("OTEL_")
                // The specification reads an empty variable as one that is not set.
                && !value.is_empty()
            {
                values.insert(name, value);
            }
        }
        let first = |names: [&str; 2]| names.iter().find_map(|name| values.get(*name));
        let endpoint = first([
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
        ])?;
        let is = |name: &str, text: &str| {
            let value = values.get(name);
            value.is_some_and(|value| value.eq_ignore_ascii_case(text))
        };
        if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
            return None;
        }
        let protocol = first([
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            "OTEL_EXPORTER_OTLP_PROTOCOL",
        ]);
        let timeout = first([
            "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
            "OTEL_EXPORTER_OTLP_TIMEOUT",
        ]);
        let queue_size = values.get("OTEL_BSP_MAX_QUEUE_SIZE");
        Some(Self {
            endpoint: endpoint.clone(),
            timeout: match timeout.and_then(|text| text.parse().ok()) {
                Some(milliseconds) => Duration::from_millis(milliseconds),
                None => DEFAULT_TIMEOUT,
            },
            max_queue_size: match queue_size.and_then(|text| text.parse().ok()) {
                Some(size) if size > 0 => size,
                Some(_) | None => OTEL_BSP_MAX_QUEUE_SIZE_DEFAULT,
            },
            protocol: protocol.cloned(),
        })
    }

    /// Returns whether the collector can be spoken to.
    pub(super) fn is_protocol_known(&self) -> bool {
        match &self.protocol {
            Some(protocol) => protocol == PROTOCOL,
            None => true,
        }
    }

    /// Returns scheme, host and port of the collector; empty if its URL has none. The rest of the
    /// URL may be secret.
    pub(super) fn origin(&self) -> String {
        let Ok(uri) = self.endpoint.parse::<Uri>() else {
            return String::new();
        };
        match (uri.scheme_str(), uri.authority()) {
            // A user name and a password are not sent, and not for the log.
            (Some(scheme), Some(authority)) if !authority.as_str().contains('@') => {
                format!("{scheme}://{authority}")
            }
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Option<Environment> {
        let pairs = variables.iter();
        Environment::read(pairs.map(|(name, value)| (name.into(), value.into())))
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c.example:4318/x?y");

    #[test]
    fn traces_are_off_without_a_collector_and_when_switched_off() {
        for variables in [
            &[][..],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")],
            &[("OTEL_SERVICE_NAME", "a")],
            &[ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")],
            &[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")],
        ] {
            assert!(read(variables).is_none(), "{variables:?}");
        }
        assert!(read(&[ENDPOINT, ("OTEL_SDK_DISABLED", "false")]).is_some());
    }

    #[test]
    fn variables_of_traces_come_before_those_of_all_signals() {
        let environment = read(&[
            ENDPOINT,
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://t.example/p"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "1500"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "7"),
        ])
        .unwrap();

        assert_eq!(environment.origin(), "https://t.example");
        assert_eq!(environment.timeout, Duration::from_millis(1500));
        assert_eq!(environment.max_queue_size, 7);
    }

    #[test]
    fn unusable_numbers_leave_the_defaults() {
        let environment = read(&[
            ENDPOINT,
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ])
        .unwrap();

        assert_eq!(environment.origin(), "http://c.example:4318");
        assert_eq!(environment.timeout, DEFAULT_TIMEOUT);
        assert_eq!(environment.max_queue_size, OTEL_BSP_MAX_QUEUE_SIZE_DEFAULT);
    }
}
