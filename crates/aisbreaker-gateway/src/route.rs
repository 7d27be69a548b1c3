//! The router: one `match` on the path, one on the method.

use http::Method;

use crate::operation::{self, Operation};

/// What a path stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Route {
    Root,
    Ping,
    Version,
    Mint,
    Process,
    Quota,
    Healthy,
    Ready,
    /// What agents of Anthropic ask first.
    Hello,
    /// An operation of a provider's own API.
    Relay(Operation),
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    /// Do what the route does.
    Serve,
    /// Tell a browser what it may send (CORS preflight).
    Preflight,
    /// Answer with an empty 204.
    Nothing,
    /// The route does not do that.
    WrongMethod,
}

impl Route {
    /// The route of a path, with or without a trailing slash. Clients that were given a base URL
    /// with a slash at its end send two slashes at the beginning.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let path = operation::slash_free(path);
        let below = path
            .strip_prefix("/api/v1alpha1")
            .or_else(|| path.strip_prefix("/api/v1"));
        match (path, below) {
            ("", _) => Some(Self::Root),
            ("/healthz", _) => Some(Self::Healthy),
            ("/readyz", _) => Some(Self::Ready),
            ("/api/hello", _) => Some(Self::Hello),
            (_, Some("/ping")) => Some(Self::Ping),
            (_, Some("/version")) => Some(Self::Version),
            (_, Some("/oauth/token")) => Some(Self::Mint),
            (_, Some("/process")) => Some(Self::Process),
            (_, Some("/quota")) => Some(Self::Quota),
            _ => Operation::of(path).map(Self::Relay),
        }
    }

    /// What this method asks of the route.
    pub(crate) fn action(self, method: &Method) -> Action {
        match (self, method) {
            (_, &Method::OPTIONS) => Action::Preflight,
            (Self::Relay(operation), method) if operation.has(method) => Action::Serve,
            (Self::Relay(_), _) => Action::WrongMethod,
            (Self::Process, &Method::HEAD) => Action::Nothing,
            (Self::Process | Self::Mint, &Method::POST) => Action::Serve,
            (Self::Process | Self::Mint, _) => Action::WrongMethod,
            (_, &Method::GET | &Method::HEAD) => Action::Serve,
            _ => Action::WrongMethod,
        }
    }

    /// The methods of the route, for `Allow`.
    pub(crate) fn allowed(self) -> &'static str {
        match self {
            Self::Process => "POST, HEAD, OPTIONS",
            Self::Mint => "POST, OPTIONS",
            Self::Relay(operation) => operation.allowed(),
            Self::Root
            | Self::Ping
            | Self::Version
            | Self::Quota
            | Self::Healthy
            | Self::Ready
            | Self::Hello => "GET, HEAD, OPTIONS",
        }
    }

    /// The route's own path, for logs.
    pub(crate) fn template(self) -> &'static str {
        match self {
            Self::Root => "/",
            Self::Ping => "/api/v1/ping",
            Self::Version => "/api/v1/version",
            Self::Mint => "/api/v1/oauth/token",
            Self::Process => "/api/v1/process",
            Self::Quota => "/api/v1/quota",
            Self::Healthy => "/healthz",
            Self::Ready => "/readyz",
            Self::Hello => "/api/hello",
            Self::Relay(operation) => operation.template(),
        }
    }

    /// Whether probes call it, under whatever host name they like.
    pub(crate) fn is_probe(self) -> bool {
        matches!(self, Self::Healthy | Self::Ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_routes_below_both_base_paths() {
        let rows = [
            ("/", Some(Route::Root)),
            ("/api/v1/ping", Some(Route::Ping)),
            ("/api/v1/ping/", Some(Route::Ping)),
            ("/api/v1alpha1/version", Some(Route::Version)),
            ("/api/v1/oauth/token", Some(Route::Mint)),
            ("/api/v1alpha1/process", Some(Route::Process)),
            ("/api/v1/quota/", Some(Route::Quota)),
            ("/healthz", Some(Route::Healthy)),
            ("/readyz/", Some(Route::Ready)),
            ("/api/hello", Some(Route::Hello)),
            ("/v1/embeddings/", Some(Route::Relay(Operation::Embeddings))),
            ("//v1/embeddings", Some(Route::Relay(Operation::Embeddings))),
            ("/api/v1", None),
            ("/api/v2/ping", None),
            ("/api/v1alpha1x/ping", None),
            ("//api/v1/ping", Some(Route::Ping)),
            ("///api/v1/ping", None),
            ("/api/v1/ping//", None),
            ("/API/v1/ping", None),
        ];
        for (path, route) in rows {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }
}
