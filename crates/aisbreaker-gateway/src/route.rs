//! The router: one `match` on the path, one on the method.

pub(crate) mod console_path;
pub(crate) mod family;
pub(crate) mod not_served;
pub(crate) mod operation;

use http::Method;

use self::{console_path::ConsolePath, not_served::NotServed, operation::Operation};

/// The name of `process` among the operations.
pub(crate) const PROCESS: &str = "process";

/// Why a request has no route.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RouteError<'a> {
    NotFound,
    /// The path is one of the console, which is off.
    ConsoleOff,
    /// The path is below the base of a provider's API.
    NotServed(NotServed<'a>),
    /// The path would exist under another base URL.
    WrongBaseUrl,
    MethodNotAllowed {
        allowed: &'static str,
    },
    /// The request is the handshake of a WebSocket.
    WebSocket,
}

/// What a path stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Route {
    Root,
    Ping,
    Version,
    Token,
    Revoke,
    Introspect,
    Process,
    Quota,
    Health,
    Ready,
    /// The first request of Anthropic's agents.
    Hello,
    /// The public key to seal keys with offline.
    Jwks,
    /// The metadata of an authorization server.
    Metadata,
    /// The description of the API.
    OpenApi,
    /// A file of the console.
    Console(ConsolePath),
    /// An operation of a provider's own API.
    Provider(Operation),
}

/// An operation for which providers are called: one of their own APIs, or `process`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct CalledOperation(Option<Operation>);

/// What a request to a route calls for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    Serve,
    /// A CORS preflight.
    Preflight,
    /// An empty 204.
    NoContent,
    MethodNotAllowed,
}

/// The number of routes of this server's own API.
const OWN_ROUTES: usize = 15;

impl<'a> RouteError<'a> {
    /// Returns the error for a path without a route.
    fn without_route(method: &'a Method, path: &'a str) -> Self {
        if operation::has_wrong_base(path) {
            Self::WrongBaseUrl
        } else if operation::dialect(path).is_some() {
            Self::NotServed(NotServed { method, path })
        } else {
            Self::NotFound
        }
    }
}

impl Route {
    pub(crate) const COUNT: usize = OWN_ROUTES + Operation::COUNT;

    /// Returns the route of a method and a path, with or without a trailing slash or a second leading
    /// one. Another method may have another route.
    ///
    /// # Errors
    /// [`RouteError::NotFound`], [`RouteError::NotServed`] and [`RouteError::WrongBaseUrl`].
    pub(crate) fn of<'a>(method: &'a Method, path: &'a str) -> Result<Self, RouteError<'a>> {
        let trimmed = operation::trim_slashes(path);
        let api_path = trimmed
            .strip_prefix("/api/v1alpha1")
            .or_else(|| trimmed.strip_prefix("/api/v1"));
        match (trimmed, api_path) {
            ("", _) => Ok(Self::Root),
            ("/healthz", _) => Ok(Self::Health),
            ("/readyz", _) => Ok(Self::Ready),
            ("/api/hello", _) => Ok(Self::Hello),
            ("/.well-known/jwks.json", _) => Ok(Self::Jwks),
            ("/.well-known/oauth-authorization-server", _) => Ok(Self::Metadata),
            ("/openapi.json", _) => Ok(Self::OpenApi),
            (_, Some("/ping")) => Ok(Self::Ping),
            (_, Some("/version")) => Ok(Self::Version),
            (_, Some("/oauth/token")) => Ok(Self::Token),
            (_, Some("/oauth/revoke")) => Ok(Self::Revoke),
            (_, Some("/oauth/introspect")) => Ok(Self::Introspect),
            (_, Some("/process")) => Ok(Self::Process),
            (_, Some("/quota")) => Ok(Self::Quota),
            _ => match Operation::of(trimmed) {
                Some(operation) => Ok(Self::Provider(operation.for_method(method))),
                None => match ConsolePath::of(path) {
                    Some(path) => Ok(Self::Console(path)),
                    None => Err(RouteError::without_route(method, path)),
                },
            },
        }
    }

    /// Returns what a request with this method calls for.
    pub(crate) fn action(self, method: &Method) -> Action {
        match (self, method) {
            (Self::Console(_), &Method::GET | &Method::HEAD) => Action::Serve,
            // No page of another origin may call them, so there is no preflight.
            (Self::Console(_), _) => Action::MethodNotAllowed,
            (_, &Method::OPTIONS) => Action::Preflight,
            (Self::Provider(operation), method) if operation.has_method(method) => Action::Serve,
            (Self::Provider(_), _) => Action::MethodNotAllowed,
            (Self::Process, &Method::HEAD) => Action::NoContent,
            (Self::Process | Self::Token | Self::Revoke | Self::Introspect, &Method::POST) => {
                Action::Serve
            }
            (Self::Process | Self::Token | Self::Revoke | Self::Introspect, _) => {
                Action::MethodNotAllowed
            }
            (_, &Method::GET | &Method::HEAD) => Action::Serve,
            _ => Action::MethodNotAllowed,
        }
    }

    /// Returns the methods of the route, for `Allow`.
    pub(crate) fn methods(self) -> &'static str {
        match self {
            Self::Process => "POST, HEAD, OPTIONS",
            Self::Token | Self::Revoke | Self::Introspect => "POST, OPTIONS",
            Self::Console(_) => "GET, HEAD",
            Self::Provider(operation) => operation.methods(),
            Self::Root
            | Self::Ping
            | Self::Version
            | Self::Quota
            | Self::Health
            | Self::Ready
            | Self::Hello
            | Self::Jwks
            | Self::Metadata
            | Self::OpenApi => "GET, HEAD, OPTIONS",
        }
    }

    /// Returns the path of the route, for logs.
    pub(crate) fn template(self) -> &'static str {
        match self {
            Self::Root => "/",
            Self::Ping => "/api/v1/ping",
            Self::Version => "/api/v1/version",
            Self::Token => "/api/v1/oauth/token",
            Self::Revoke => "/api/v1/oauth/revoke",
            Self::Introspect => "/api/v1/oauth/introspect",
            Self::Process => "/api/v1/process",
            Self::Quota => "/api/v1/quota",
            Self::Health => "/healthz",
            Self::Ready => "/readyz",
            Self::Hello => "/api/hello",
            Self::Jwks => "/.well-known/jwks.json",
            Self::Metadata => "/.well-known/oauth-authorization-server",
            Self::OpenApi => "/openapi.json",
            Self::Console(path) => path.template(),
            Self::Provider(operation) => operation.template(),
        }
    }

    /// Returns the path of the route in metrics, where a family of resources has one, and the console.
    pub(crate) fn label(self) -> &'static str {
        if let Self::Provider(operation) = self {
            operation.label()
        } else if self.is_console() {
            ConsolePath::Page.template()
        } else {
            self.template()
        }
    }

    /// Returns the operation for which the route calls providers, if it does.
    pub(crate) fn operation(self) -> Option<CalledOperation> {
        match self {
            Self::Process => Some(CalledOperation(None)),
            Self::Provider(operation) => Some(CalledOperation(Some(operation))),
            Self::Root
            | Self::Ping
            | Self::Version
            | Self::Token
            | Self::Revoke
            | Self::Introspect
            | Self::Quota
            | Self::Health
            | Self::Ready
            | Self::Hello
            | Self::Jwks
            | Self::Metadata
            | Self::OpenApi
            | Self::Console(_) => None,
        }
    }

    /// Returns a number below [`COUNT`](Self::COUNT) that no route with another label has.
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Root => 0,
            Self::Ping => 1,
            Self::Version => 2,
            Self::Token => 3,
            Self::Revoke => 4,
            Self::Introspect => 5,
            Self::Process => 6,
            Self::Quota => 7,
            Self::Health => 8,
            Self::Ready => 9,
            Self::Hello => 10,
            Self::Jwks => 11,
            Self::Metadata => 12,
            Self::OpenApi => 13,
            Self::Console(_) => 14,
            Self::Provider(operation) => OWN_ROUTES + operation.index(),
        }
    }

    /// Returns whether the route has files that are the same for everybody.
    pub(crate) fn is_console(self) -> bool {
        matches!(self, Self::Console(_))
    }

    /// Returns whether probes use the route. They may send any host name.
    pub(crate) fn is_probe(self) -> bool {
        matches!(self, Self::Health | Self::Ready)
    }
}

impl CalledOperation {
    pub(crate) const COUNT: usize = 1 + Operation::COUNT;

    /// Returns the names in the order of [`index`](Self::index).
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        std::iter::once(PROCESS).chain(Operation::names())
    }

    /// Returns the name in restrictions of keys, logs and metrics.
    pub(crate) fn name(self) -> &'static str {
        match self.0 {
            Some(operation) => operation.name(),
            None => PROCESS,
        }
    }

    /// Returns a number below [`COUNT`](Self::COUNT) that no operation with another name has.
    pub(crate) fn index(self) -> usize {
        match self.0 {
            Some(operation) => 1 + operation.index(),
            None => 0,
        }
    }

    /// Returns whether the operation calls several providers at a time.
    pub(crate) fn lists_models(self) -> bool {
        self.0 == Some(Operation::Models)
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
            ("/api/v1/oauth/token", Some(Route::Token)),
            ("/api/v1/oauth/revoke/", Some(Route::Revoke)),
            ("/api/v1/oauth/introspect", Some(Route::Introspect)),
            ("/api/v1alpha1/process", Some(Route::Process)),
            ("/api/v1/quota/", Some(Route::Quota)),
            ("/healthz", Some(Route::Health)),
            ("/readyz/", Some(Route::Ready)),
            ("/api/hello", Some(Route::Hello)),
            ("/.well-known/jwks.json", Some(Route::Jwks)),
            ("/.well-known/jwks.json/", Some(Route::Jwks)),
            (
                "/.well-known/oauth-authorization-server",
                Some(Route::Metadata),
            ),
            ("/openapi.json", Some(Route::OpenApi)),
            ("/console", Some(Route::Console(ConsolePath::NoSlash))),
            ("/console/", Some(Route::Console(ConsolePath::Page))),
            ("//console/", Some(Route::Console(ConsolePath::Page))),
            (
                "/console/console.js",
                Some(Route::Console(ConsolePath::Script)),
            ),
            (
                "/console/console.css",
                Some(Route::Console(ConsolePath::Style)),
            ),
            ("/console//", None),
            ("///console/", None),
            ("/console/console.js/", None),
            ("/console/index.html", None),
            ("/console/live.js", None),
            ("/consoles", None),
            ("/v1/console/", None),
            ("/openapi.yaml", None),
            ("/.well-known/openid-configuration", None),
            ("/.well-known", None),
            (
                "/v1/embeddings/",
                Some(Route::Provider(Operation::Embeddings)),
            ),
            (
                "//v1/embeddings",
                Some(Route::Provider(Operation::Embeddings)),
            ),
            ("/api/v1", None),
            ("/api/v2/ping", None),
            ("/api/v1alpha1x/ping", None),
            ("//api/v1/ping", Some(Route::Ping)),
            ("///api/v1/ping", None),
            ("/api/v1/ping//", None),
            ("/API/v1/ping", None),
        ];
        for (path, route) in rows {
            assert_eq!(Route::of(&Method::GET, path).ok(), route, "{path}");
        }
    }

    #[test]
    fn completions_are_made_and_listed_on_one_path() {
        let path = "/v1/chat/completions";
        let route = |method| Route::of(&method, path).unwrap();
        for method in [Method::POST, Method::OPTIONS, Method::PUT] {
            assert_eq!(route(method), Route::Provider(Operation::ChatCompletions));
        }
        for method in [Method::GET, Method::HEAD] {
            let Route::Provider(list) = route(method) else {
                panic!("not a provider's");
            };
            assert_eq!(
                (list.name(), list.template()),
                ("chat/completions/{id}", path)
            );
        }
    }

    #[test]
    fn every_route_and_operation_has_its_own_index() {
        let own = [
            Route::Root,
            Route::Ping,
            Route::Version,
            Route::Token,
            Route::Revoke,
            Route::Introspect,
            Route::Process,
            Route::Quota,
            Route::Health,
            Route::Ready,
            Route::Hello,
            Route::Jwks,
            Route::Metadata,
            Route::OpenApi,
            Route::Console(ConsolePath::Page),
        ];
        let provider = Operation::CALLS.map(Route::Provider);
        let resources =
            || family::resources().map(|found| Route::Provider(Operation::Resource(found)));
        let routes = || own.into_iter().chain(provider).chain(resources());

        let mut indices: Vec<_> = routes().map(Route::index).collect();
        indices.dedup();
        assert!(indices.into_iter().eq(0..Route::COUNT));
        let names: Vec<_> = CalledOperation::names().collect();
        assert_eq!(names.len(), CalledOperation::COUNT);
        for operation in routes().filter_map(Route::operation) {
            assert_eq!(names[operation.index()], operation.name());
        }
    }
}
