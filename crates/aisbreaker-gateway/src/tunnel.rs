//! A WebSocket between a client and a provider, once both have switched to it.
//!
//! Frames pass unchanged and unread, in buffers of a fixed size, so that neither side sends faster
//! than the other reads. Only where each message of the client is a request, they are read (`requests`).
//! Where frames end is followed all the same (`frames`): when this server ends the conversation, both
//! sides get a close frame after a complete one.

pub(crate) mod close;
mod direction;
mod frames;
mod limits;
mod requests;

use std::{
    fmt,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use aisbreaker_egress::UpgradedStream;
use aisbreaker_services::{CallInProgress, CallOutcome};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    time::{Instant, sleep_until, timeout_at},
};

pub(crate) use self::{
    close::CloseCode,
    limits::{KeyInUse, TunnelLimits},
    requests::{FILTER_BYTES, Judge, RequestFilter},
};
use self::{
    close::{close_frame, masking_key},
    direction::{BUFFER_BYTES, Direction, DirectionEnd},
    frames::{OPCODE_TEXT, frame_header},
};
use crate::{
    dialect,
    failure::{ErrorType, Failure},
    in_flight::InFlight,
    memory::MemoryHold,
    telemetry::{access_log::AccessLog, metrics::OpenWebSocket},
};

/// The memory that a tunnel holds in bytes, without a filter of requests.
pub(crate) const TUNNEL_BYTES: usize = 2 * BUFFER_BYTES;
/// How long both sides may take for what is left once a conversation ends.
const CLOSE_TIME: Duration = Duration::from_secs(3);
/// What the close frame says after a message was refused.
const REFUSED: &str = "a message was refused";

/// A WebSocket to a provider that waits for the connection of its client.
pub(crate) struct Tunnel {
    pub(crate) provider: UpgradedStream,
    pub(crate) limits: TunnelLimits,
    pub(crate) in_flight: InFlight,
    pub(crate) call: CallInProgress,
    /// Reads the messages of the client; `None`: they pass unread.
    pub(crate) requests: Option<RequestFilter>,
    pub(crate) _memory: MemoryHold,
}

/// A tunnel with the log line that is written when it ends.
pub(crate) struct LoggedTunnel {
    tunnel: Box<Tunnel>,
    to_client: Direction,
    to_provider: Direction,
    ending: Ending,
    /// The code of the provider's close frame, if the client had sent none.
    closed_by_provider: Option<CloseCode>,
    /// Why a message was refused.
    refusal: Option<Failure>,
    _open: Option<OpenWebSocket>,
    log: Option<Box<AccessLog>>,
}

/// Why a conversation ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ending {
    /// One side sent a close frame.
    Closed,
    /// The client went away without one, or does not read.
    ClientLeft,
    /// The provider went away without one.
    ProviderLeft,
    /// This server ended it.
    Ended(Reason),
    /// This server refused a message of the client.
    Refused,
}

/// What the client sends, as the provider gets it.
struct FilteredClient<'a, C> {
    client: &'a mut C,
    requests: Option<&'a mut RequestFilter>,
}

impl<C: AsyncRead + Unpin> AsyncRead for FilteredClient<'_, C> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { client, requests } = self.get_mut();
        match requests {
            Some(requests) => requests.poll_read(cx, client, buf),
            None => Pin::new(client).poll_read(cx, buf),
        }
    }
}

/// Why this server ends a conversation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reason {
    Draining,
    Idle,
    /// One side does not read.
    Blocked,
    Lifetime,
    KeyExpired,
    KeyRevoked,
    /// The configuration was replaced that the conversation began with.
    Reconfigured,
}

impl Reason {
    fn code(self) -> CloseCode {
        match self {
            Self::Draining | Self::Idle | Self::Blocked | Self::Lifetime | Self::Reconfigured => {
                CloseCode::GOING_AWAY
            }
            Self::KeyExpired | Self::KeyRevoked => CloseCode::POLICY_VIOLATION,
        }
    }

    /// Returns what the close frame says, and the log.
    fn text(self) -> &'static str {
        match self {
            Self::Draining => "this server is shutting down; connect again",
            Self::Idle => "nothing was sent for too long",
            Self::Blocked => "what was sent was not read for too long",
            Self::Lifetime => "the connection was open for as long as it may be; connect again",
            Self::KeyExpired => "the key has expired",
            Self::KeyRevoked => "the key is revoked",
            Self::Reconfigured => "the settings of this server have changed; connect again",
        }
    }
}

impl LoggedTunnel {
    /// Creates a tunnel that ends this log line.
    pub(crate) fn new(tunnel: Box<Tunnel>, log: Option<Box<AccessLog>>) -> Self {
        Self {
            tunnel,
            to_client: Direction::new(),
            to_provider: Direction::new(),
            // Unless it comes to its end.
            ending: Ending::ClientLeft,
            closed_by_provider: None,
            refusal: None,
            _open: log.as_ref().map(|log| log.open_websocket()),
            log,
        }
    }

    /// Copies between the client and the provider until the conversation ends, and writes the log
    /// line. The connection of the client stays open.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection to the provider.
    pub(crate) async fn run<C: AsyncRead + AsyncWrite + Unpin>(mut self, client: &mut C) {
        self.ending = self.converse(client).await;
        match self.ending {
            Ending::Ended(reason) => {
                let close = |mask| close_frame(reason.code(), reason.text(), mask);
                self.to_client.close(Vec::new(), close(None));
                self.to_provider
                    .close(Vec::new(), close(Some(masking_key())));
                self.take_leave(client).await;
            }
            Ending::Refused => {
                self.report_refusal();
                self.take_leave(client).await;
            }
            Ending::Closed | Ending::ClientLeft | Ending::ProviderLeft => {}
        }
        let provider = &mut self.tunnel.provider;
        let _best_effort = provider.shutdown().await;
        provider.complete();
    }

    async fn converse<C: AsyncRead + AsyncWrite + Unpin>(&mut self, client: &mut C) -> Ending {
        let in_flight = self.tunnel.in_flight.clone();
        let mut draining = pin!(in_flight.draining());
        let mut check = pin!(sleep_until(self.next_check()));
        loop {
            tokio::select! {
                biased;
                ending = poll_fn(|cx| self.poll_copy(cx, client)) => match ending {
                    // It may only have closed its sending half.
                    Ending::Closed if self.to_client.closed().is_none() => {
                        self.await_answer(client).await;
                        return Ending::Closed;
                    }
                    ending @ (Ending::Closed
                    | Ending::ClientLeft
                    | Ending::ProviderLeft
                    | Ending::Ended(_)
                    | Ending::Refused) => return ending,
                },
                () = &mut draining => return Ending::Ended(Reason::Draining),
                () = check.as_mut() => match self.judge() {
                    Some(reason) => return Ending::Ended(reason),
                    None => check.as_mut().reset(self.next_check()),
                },
            }
        }
    }

    /// Copies in both directions until one of them ends.
    fn poll_copy<C: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut C,
    ) -> Poll<Ending> {
        let provider = &mut self.tunnel.provider;
        let polled = self.to_client.poll_copy(cx, provider, client);
        if self.to_provider.closed().is_none() {
            self.closed_by_provider = self.to_client.closed();
        }
        if let Poll::Ready(end) = polled {
            return Poll::Ready(match end {
                DirectionEnd::ReceiverBroken => self.closed_or(Ending::ClientLeft),
                DirectionEnd::SenderLeft | DirectionEnd::SenderBroken | DirectionEnd::Closed => {
                    self.closed_or(Ending::ProviderLeft)
                }
            });
        }
        let mut client = FilteredClient {
            client,
            requests: self.tunnel.requests.as_mut(),
        };
        if let Poll::Ready(end) = self.to_provider.poll_copy(cx, &mut client, provider) {
            if let Some(failure) = self.take_refusal() {
                self.refusal = Some(failure);
                return Poll::Ready(Ending::Refused);
            }
            return Poll::Ready(match end {
                DirectionEnd::ReceiverBroken => self.closed_or(Ending::ProviderLeft),
                DirectionEnd::SenderLeft | DirectionEnd::SenderBroken | DirectionEnd::Closed => {
                    self.closed_or(Ending::ClientLeft)
                }
            });
        }
        Poll::Pending
    }

    /// Returns how it ended if one side has left, by which it may just have followed a close frame.
    fn closed_or(&self, left: Ending) -> Ending {
        match (self.to_client.closed(), self.to_provider.closed()) {
            (None, None) => left,
            (Some(_), _) | (_, Some(_)) => Ending::Closed,
        }
    }

    /// Waits for the provider's answer to the close frame of the client.
    async fn await_answer<C: AsyncRead + AsyncWrite + Unpin>(&mut self, client: &mut C) {
        let Self {
            tunnel, to_client, ..
        } = self;
        let provider = &mut tunnel.provider;
        let _best_effort = provider.shutdown().await;
        let answer = poll_fn(|cx| to_client.poll_copy(cx, provider, client));
        let _in_time = timeout_at(Instant::now() + CLOSE_TIME, answer).await;
    }

    fn take_refusal(&mut self) -> Option<Failure> {
        let requests = self.tunnel.requests.as_mut()?;
        requests.take_failure()
    }

    /// Has the client get an error event, and both sides a close frame.
    fn report_refusal(&mut self) {
        let (Some(failure), Some(log)) = (&mut self.refusal, &self.log) else {
            return;
        };
        failure.name_request(log.request_id());
        let event = dialect::websocket_error(failure, log.request_id());
        let mut message = frame_header(OPCODE_TEXT, event.len(), None);
        message.extend(event);
        let close = |mask| close_frame(CloseCode::POLICY_VIOLATION, REFUSED, mask);
        self.to_client.close(message, close(None));
        self.to_provider
            .close(Vec::new(), close(Some(masking_key())));
    }

    /// Sends both sides their last frames, and waits until the provider has read its own.
    async fn take_leave<C: AsyncRead + AsyncWrite + Unpin>(&mut self, client: &mut C) {
        let deadline = Instant::now() + CLOSE_TIME;
        let Self {
            tunnel,
            to_client,
            to_provider,
            ..
        } = self;
        let Tunnel {
            provider, requests, ..
        } = &mut **tunnel;
        let mut are_closed = [false; 2];
        let sent = poll_fn(|cx| {
            let [client_is_closed, provider_is_closed] = &mut are_closed;
            *client_is_closed =
                *client_is_closed || to_client.poll_copy(cx, provider, client).is_ready();
            let mut client = FilteredClient {
                client: &mut *client,
                requests: requests.as_mut(),
            };
            *provider_is_closed =
                *provider_is_closed || to_provider.poll_copy(cx, &mut client, provider).is_ready();
            if *client_is_closed && *provider_is_closed {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        let _in_time = timeout_at(deadline, sent).await;
        // A connection that is closed with unread bytes is reset, and the close frame may be lost.
        let mut unread = vec![0; 4 << 10];
        let answered = async {
            let _best_effort = provider.shutdown().await;
            while matches!(provider.read(&mut unread).await, Ok(1..)) {}
        };
        let _in_time = timeout_at(deadline, answered).await;
    }

    fn next_check(&self) -> Instant {
        self.tunnel
            .limits
            .next_check(&self.to_client, &self.to_provider)
    }

    fn judge(&self) -> Option<Reason> {
        self.tunnel.limits.judge(&self.to_client, &self.to_provider)
    }

    /// Returns the code of the close frame that was sent first.
    fn close_code(&self) -> Option<CloseCode> {
        match self.ending {
            Ending::Ended(reason) => Some(reason.code()),
            Ending::Refused => Some(CloseCode::POLICY_VIOLATION),
            Ending::Closed | Ending::ClientLeft | Ending::ProviderLeft => {
                self.to_client.closed().or(self.to_provider.closed())
            }
        }
    }
}

impl Drop for LoggedTunnel {
    fn drop(&mut self) {
        let code = self.close_code();
        let call = &mut self.tunnel.call;
        let (outcome, error) = match self.ending {
            Ending::Closed if self.closed_by_provider.is_some_and(CloseCode::is_failure) => {
                (CallOutcome::ServerError, Some(ErrorType::ProviderError))
            }
            Ending::Closed => (CallOutcome::Ok, None),
            Ending::ClientLeft => (CallOutcome::Left, Some(ErrorType::ClientLeft)),
            Ending::ProviderLeft => (CallOutcome::Cut, Some(ErrorType::ProviderCut)),
            Ending::Ended(Reason::Draining) => (CallOutcome::Left, Some(ErrorType::Draining)),
            Ending::Ended(_) => (CallOutcome::Left, None),
            Ending::Refused => {
                let error = self.refusal.as_ref().map(|failure| failure.error_type);
                (CallOutcome::Left, error)
            }
        };
        call.end(outcome);
        let Some(mut log) = self.log.take() else {
            return;
        };
        log.set_websocket(self.to_provider.written(), self.to_client.written(), code);
        if let Some(error) = error {
            log.set_error(error);
        }
        if let Ending::Ended(reason) = self.ending {
            log.set_cause(reason.text().to_owned());
        }
        if let Some(failure) = self.refusal.take() {
            log.set_cause(failure.cause.unwrap_or(failure.message));
        }
        log.mark_complete();
    }
}

/// Shows no bytes.
impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tunnel(..)")
    }
}
