//! Where a subcommand asks: a server, or a gateway in this process with the settings of this machine.
//!
//! Both answer the same HTTP requests, so keys are made and read by one code, and by the same rules.

use std::{
    error::Error,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use aisbreaker_egress as egress;
use aisbreaker_gateway::Gateway;
use aisbreaker_token::Host;
use base64ct::{Base64, Encoding as _};
use bytes::Bytes;
use clap::{Arg, ArgMatches};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use secrecy::{ExposeSecret as _, SecretString, zeroize::Zeroizing};
use serde_json::Value;

use crate::{
    gateway_setup,
    settings::{self, Flags, Settings},
};

/// What a subcommand asks.
pub(crate) struct Target {
    kind: Kind,
    /// What proves that the caller may mint, if this machine's settings name it.
    pub(crate) mint_secret: Option<SecretString>,
}

enum Kind {
    Server(Server),
    Local { gateway: Box<Gateway>, host: Host },
}

/// A server that runs already.
#[derive(Clone)]
pub(crate) struct Server {
    /// May call any address, since the user of the command chose the server.
    pub(crate) client: egress::Client,
    /// Its URL, without a slash at the end.
    pub(crate) base: String,
}

/// The answer to a request.
pub(crate) struct Answer {
    status: StatusCode,
    json: Value,
}

/// Returns the arguments that choose the target.
pub(crate) fn args() -> [Arg; 2] {
    [
        Arg::new("server")
            .long("server")
            .value_name("URL")
            .conflicts_with("host")
            .help("Asks this server; without it, this machine's server key is used"),
        Arg::new("host").long("host").value_name("NAME").help(
            "Host name that the key is bound to; without it, the first of AISBREAKER_PUBLIC_HOSTS",
        ),
    ]
}

impl Target {
    /// Chooses the target by the arguments and the settings of this machine.
    ///
    /// # Errors
    /// Settings that cannot be used, a URL that is none, and no key or host to work with.
    pub(crate) fn of(flags: Flags, arguments: &ArgMatches) -> Result<Self, Box<dyn Error>> {
        let settings = settings::load(flags, std::env::vars_os())?;
        let mint_secret = settings.gateway.minting.secret.clone();
        let kind = match arguments.get_one::<String>("server") {
            Some(url) => Kind::Server(Server::at(url)?),
            None => {
                let host = host(&settings, arguments)?;
                local(settings, &host)?
            }
        };
        Ok(Self { kind, mint_secret })
    }

    /// Chooses a server: the one at this URL, or else the one that runs on this machine with these
    /// settings.
    ///
    /// # Errors
    /// A URL that is none.
    pub(crate) fn running(settings: &Settings, url: Option<&str>) -> Result<Self, Box<dyn Error>> {
        let server = match url {
            Some(url) => Server::at(url)?,
            None => Server::running_here(settings)?,
        };
        Ok(Self {
            kind: Kind::Server(server),
            mint_secret: settings.gateway.minting.secret.clone(),
        })
    }

    /// Creates the target for this server, where nothing proves that the caller may mint.
    pub(crate) fn at(server: Server) -> Self {
        Self {
            kind: Kind::Server(server),
            mint_secret: None,
        }
    }

    /// Creates the target with the settings of this machine, for keys bound to this host.
    ///
    /// # Errors
    /// No server key.
    pub(crate) fn local(settings: Settings, host: &Host) -> Result<Self, Box<dyn Error>> {
        let mint_secret = settings.gateway.minting.secret.clone();
        let kind = local(settings, host)?;
        Ok(Self { kind, mint_secret })
    }

    /// Creates the target for a gateway of this process, for keys bound to this host.
    pub(crate) fn of_gateway(gateway: Gateway, host: &Host) -> Self {
        let kind = Kind::Local {
            gateway: Box::new(gateway),
            host: host.clone(),
        };
        Self {
            kind,
            mint_secret: None,
        }
    }

    /// Posts a body to a path, with a key as the bearer value if there is one.
    ///
    /// # Errors
    /// A server that does not answer, or not in JSON.
    pub(crate) fn post(
        &self,
        path: &str,
        media_type: &'static str,
        body: String,
        bearer: Option<&SecretString>,
    ) -> Result<Answer, Box<dyn Error>> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        if let Some(key) = bearer {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret()))
                .map_err(|_control| "the key has a character that no key has")?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        self.send(path, headers, body)
    }

    /// Posts a form to a path, as the operator with this secret.
    ///
    /// # Errors
    /// A server that does not answer, or not in JSON.
    pub(crate) fn post_as_operator(
        &self,
        path: &str,
        form: String,
        secret: &SecretString,
    ) -> Result<Answer, Box<dyn Error>> {
        let credentials = Zeroizing::new(format!("operator:{}", secret.expose_secret()));
        let encoded = Zeroizing::new(Base64::encode_string(credentials.as_bytes()));
        let mut value = HeaderValue::from_str(&format!("Basic {}", *encoded))?;
        value.set_sensitive(true);
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        let headers = [
            (header::CONTENT_TYPE, form_type),
            (header::AUTHORIZATION, value),
        ];
        self.send(path, headers.into_iter().collect(), form)
    }

    fn send(&self, path: &str, headers: HeaderMap, body: String) -> Result<Answer, Box<dyn Error>> {
        let (status, body) = runtime()?.block_on(async {
            match &self.kind {
                Kind::Server(server) => {
                    let url = egress::parse_url(&format!("{}{path}", server.base))?;
                    let outgoing = egress::Outgoing::post(headers, body);
                    exchange(&server.client, &url, outgoing).await
                }
                Kind::Local { gateway, host } => handle(gateway, host, path, headers, body).await,
            }
        })?;
        let json = match serde_json::from_slice(&body) {
            Ok(json) => json,
            Err(_) if body.is_empty() => Value::Null,
            Err(_) => return Err(format!("the answer (status {status}) is not JSON").into()),
        };
        Ok(Answer { status, json })
    }
}

impl Answer {
    /// Returns the answer if it is a success.
    ///
    /// # Errors
    /// The message of a refusal.
    pub(crate) fn success(self) -> Result<Value, Box<dyn Error>> {
        if self.status.is_success() {
            return Ok(self.json);
        }
        let own = self.json.pointer("/error/message");
        let message = own.or_else(|| self.json.get("message"));
        let text = message.and_then(Value::as_str).unwrap_or("no reason given");
        Err(format!("refused with status {}: {text}", self.status.as_u16()).into())
    }
}

impl Server {
    /// Creates the one at this URL.
    ///
    /// # Errors
    /// A text that is no URL.
    pub(crate) fn at(url: &str) -> Result<Self, Box<dyn Error>> {
        let base = url.trim_end_matches('/').to_owned();
        let url = egress::parse_url(&base).map_err(|error| format!("--server {error}"))?;
        warn_about_clear_text(&url);
        let client = client()?;
        Ok(Self { client, base })
    }

    /// Creates the one that listens as these settings say, under a host name to which it answers.
    ///
    /// # Errors
    /// No such name: one that is an address would be called itself, wherever it is.
    pub(crate) fn running_here(settings: &Settings) -> Result<Self, Box<dyn Error>> {
        let mut address = settings.listen;
        if address.ip().is_unspecified() {
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        let is_name = |host: &&Host| {
            let text = host.as_str();
            !text.starts_with('[') && text.parse::<IpAddr>().is_err()
        };
        let hosts = &settings.gateway.public_hosts;
        let scheme = if settings.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let base = match hosts.iter().find(is_name) {
            Some(host) => format!("{scheme}://{}:{}", host.as_str(), address.port()),
            None if hosts.is_empty() => format!("{scheme}://{address}"),
            None => return Err("no public host of this server is a name: use --server URL".into()),
        };
        let resolver = Arc::new(ThisMachine(address.ip()));
        let timeouts = egress::Timeouts::default();
        let client = egress::Client::with_resolver(any_address()?, timeouts, resolver);
        Ok(Self { client, base })
    }
}

/// Creates a client that may call any address, since the user of the command chose it.
fn client() -> Result<egress::Client, Box<dyn Error>> {
    Ok(egress::Client::new(
        any_address()?,
        egress::Timeouts::default(),
    ))
}

fn any_address() -> Result<egress::Policy, egress::InvalidException> {
    let any = egress::Policy::strict().allow("0.0.0.0/0")?.allow("::/0")?;
    Ok(any.extend_to_untrusted())
}

/// Warns of secrets that would cross the network in clear text.
#[expect(clippy::print_stderr, reason = "a warning for the user of the command")]
fn warn_about_clear_text(url: &Uri) {
    let host = url.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_here = bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if url.scheme_str() == Some("http") && !is_here {
        eprintln!("warning: secrets are sent to {host} in clear text; use https");
    }
}

/// Gets what a URL names, as text.
///
/// # Errors
/// A text that is no URL, and a server that does not answer with status 200.
pub(crate) fn get(url: &str) -> Result<String, Box<dyn Error>> {
    let (uri, client) = (egress::parse_url(url)?, client()?);
    let outgoing = egress::Outgoing::get(HeaderMap::new());
    let (status, body) = runtime()?.block_on(exchange(&client, &uri, outgoing))?;
    if status != StatusCode::OK {
        return Err(format!("{url} answered with status {}", status.as_u16()).into());
    }
    Ok(String::from_utf8(body.into())?)
}

/// Creates the runtime of a command, which does one thing at a time.
pub(crate) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

async fn exchange(
    client: &egress::Client,
    url: &Uri,
    outgoing: egress::Outgoing,
) -> Result<(StatusCode, Bytes), Box<dyn Error>> {
    let response = client
        .send(url, egress::UrlSource::Trusted, outgoing)
        .await?;
    let (parts, body) = response.into_parts();
    let (bytes, _reservation) = body.collect_bounded().await?;
    Ok((parts.status, bytes))
}

/// Resolves every name to this address.
struct ThisMachine(IpAddr);

impl egress::Resolve for ThisMachine {
    fn resolve(&self, _host: &str) -> egress::ResolveFuture {
        Box::pin(std::future::ready(Ok(vec![self.0])))
    }
}

fn local(settings: Settings, host: &Host) -> Result<Kind, Box<dyn Error>> {
    if settings.has_random_key {
        let problem = "there is no server key: set AUTH_ENCRYPTION_KEYPHRASE, or ask a server with \
                       --server URL";
        return Err(problem.into());
    }
    Ok(Kind::Local {
        gateway: Box::new(gateway_setup::gateway_alone(settings)?),
        host: host.clone(),
    })
}

/// Returns the host that keys are bound to.
///
/// # Errors
/// No host, or a text that is none.
pub(crate) fn host(settings: &Settings, arguments: &ArgMatches) -> Result<Host, Box<dyn Error>> {
    if let Some(host) = arguments.get_one::<String>("host") {
        return Host::parse(host).map_err(|error| format!("--host is {error}").into());
    }
    let public = settings.gateway.public_hosts.first();
    match public {
        Some(host) => Ok(host.clone()),
        None => Err("a key is bound to a host: name it with --host NAME".into()),
    }
}

async fn handle(
    gateway: &Gateway,
    host: &Host,
    path: &str,
    headers: HeaderMap,
    body: String,
) -> Result<(StatusCode, Bytes), Box<dyn Error>> {
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = path.parse()?;
    *request.headers_mut() = headers;
    let host = HeaderValue::from_str(host.as_str())?;
    request.headers_mut().insert(header::HOST, host);
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let (parts, body) = gateway.handle(request, peer).await.into_parts();
    let bytes = body.collect().await?.to_bytes();
    Ok((parts.status, bytes))
}
