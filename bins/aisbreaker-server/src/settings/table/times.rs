//! The rows about how long the server waits.

use crate::settings::setting::{PLAIN, Setting};

pub(super) const HEADER_TIMEOUT: Setting = Setting {
    key: Some("header_timeout"),
    variable: "AISBREAKER_HEADER_TIMEOUT",
    help: "Longest time to a complete request head; a response may wait ten times as long for its \
           client to take more of it",
    default: Some("30s"),
    apply: |draft, value| {
        draft.settings.limits.header_timeout = value.duration()?;
        Ok(())
    },
    ..PLAIN
};

pub(super) const IDLE_TIMEOUT: Setting = Setting {
    key: Some("idle_timeout"),
    variable: "AISBREAKER_IDLE_TIMEOUT",
    help: "Longest time that an open connection waits for its next request; set it above the \
           idle time of a balancer in front",
    default: Some("75s"),
    apply: |draft, value| {
        draft.settings.limits.idle_timeout = value.duration()?;
        Ok(())
    },
    ..PLAIN
};

pub(super) const BODY_TIMEOUT: Setting = Setting {
    key: Some("body_timeout"),
    variable: "AISBREAKER_BODY_TIMEOUT",
    help: "Longest pause while a request body is read; it must also come at 1 KiB a second on average",
    default: Some("60s"),
    apply: |draft, value| {
        draft.settings.gateway.body_timeout = value.duration()?;
        Ok(())
    },
    ..PLAIN
};

pub(super) const CONNECT_TIMEOUT: Setting = Setting {
    key: Some("connect_timeout"),
    variable: "AISBREAKER_CONNECT_TIMEOUT",
    help: "Longest time to connect to a provider",
    default: Some("10s"),
    apply: |draft, value| {
        draft.settings.timeouts.connect = value.duration()?;
        Ok(())
    },
    ..PLAIN
};

pub(super) const PROVIDER_TIMEOUT: Setting = Setting {
    key: Some("provider_timeout"),
    variable: "AISBREAKER_PROVIDER_TIMEOUT",
    help: "Longest time until the head of a provider's response; for an upload, from its end on",
    default: Some("180s"),
    apply: |draft, value| {
        draft.settings.timeouts.response = value.duration()?;
        Ok(())
    },
    ..PLAIN
};

pub(super) const STREAM_IDLE_TIMEOUT: Setting = Setting {
    key: Some("stream_idle_timeout"),
    variable: "AISBREAKER_STREAM_IDLE_TIMEOUT",
    help: "Longest pause in a provider's response, and while it takes an upload",
    default: Some("300s"),
    apply: |draft, value| {
        draft.settings.timeouts.idle = value.duration()?;
        Ok(())
    },
    ..PLAIN
};

pub(super) const POOL_IDLE_TIMEOUT: Setting = Setting {
    key: Some("pool_idle_timeout"),
    variable: "AISBREAKER_POOL_IDLE_TIMEOUT",
    help: "How long an idle connection by http to a provider is kept: less than the provider does \
           (uvicorn and Node 5 s, gunicorn 2 s)",
    default: Some("4s"),
    apply: |draft, value| {
        draft.settings.timeouts.pool_idle_http = value.duration()?;
        Ok(())
    },
    ..PLAIN
};

pub(super) const POOL_IDLE_TIMEOUT_HTTPS: Setting = Setting {
    key: Some("pool_idle_timeout_https"),
    variable: "AISBREAKER_POOL_IDLE_TIMEOUT_HTTPS",
    help: "How long an idle connection by https to a provider is kept",
    default: Some("50s"),
    apply: |draft, value| {
        draft.settings.timeouts.pool_idle_https = value.duration()?;
        Ok(())
    },
    ..PLAIN
};

pub(super) const STREAM_KEEP_ALIVE: Setting = Setting {
    key: Some("stream_keep_alive"),
    variable: "AISBREAKER_STREAM_KEEP_ALIVE",
    help: "Pause in a stream after which its client gets a keep-alive",
    default: Some("15s"),
    apply: |draft, value| {
        draft.settings.gateway.stream_keep_alive = value.duration()?;
        Ok(())
    },
    ..PLAIN
};

pub(super) const WEBSOCKET_IDLE_TIMEOUT: Setting = Setting {
    key: Some("websocket_idle_timeout"),
    variable: "AISBREAKER_WEBSOCKET_IDLE_TIMEOUT",
    help: "Longest time that nothing is sent over a WebSocket, or that one side reads nothing",
    default: Some("10m"),
    apply: |draft, value| {
        draft.settings.gateway.websocket_idle_timeout = value.duration()?;
        Ok(())
    },
    ..PLAIN
};

pub(super) const WEBSOCKET_LIFETIME: Setting = Setting {
    key: Some("websocket_lifetime"),
    variable: "AISBREAKER_WEBSOCKET_LIFETIME",
    help: "Longest time that a WebSocket stays open; OpenAI ends its own after an hour",
    default: Some("65m"),
    apply: |draft, value| {
        draft.settings.gateway.websocket_lifetime = value.duration()?;
        Ok(())
    },
    ..PLAIN
};

pub(super) const DRAIN_DELAY: Setting = Setting {
    key: Some("drain_delay"),
    variable: "AISBREAKER_DRAIN_DELAY",
    help: "How long requests are still served on shutdown, while /readyz answers 503, before the drain",
    default: Some("0s"),
    apply: |draft, value| {
        draft.settings.limits.drain_delay = value.duration_or_zero()?;
        Ok(())
    },
    ..PLAIN
};

pub(super) const DRAIN_TIMEOUT: Setting = Setting {
    key: Some("drain_timeout"),
    variable: "AISBREAKER_DRAIN_TIMEOUT",
    help: "Longest time to finish requests once the drain begins",
    default: Some("30s"),
    apply: |draft, value| {
        draft.settings.limits.drain_timeout = value.duration()?;
        Ok(())
    },
    ..PLAIN
};
