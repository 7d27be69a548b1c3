#!/usr/bin/env python3
"""A local provider that speaks the dialects of OpenAI and Anthropic, for tests of their SDKs.

It is strict: it refuses any credential except its own, any part of an aisbreaker key, and whatever the dialect does not
define. Some model names switch on faults:

- `flaky-429…`: 429 for the first two calls, then an answer
- `endless…`: a stream that ends when the client disconnects
- `cut…`: a stream whose connection is closed in the middle
- `slow-first…`: a stream whose first event follows after three seconds

`GET /seen` returns what was received. With `?closed=MODEL`, it waits until the client of this model has disconnected.
The first line on stdout is the port. With `--bearer`, the credential of Anthropic's dialect must be in `Authorization`, where
current SDKs send it; otherwise it must be in `x-api-key`, where the server sends it.
"""
import json
import select
import socket
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import provider_anthropic
import provider_openai

# The prefix of keys, which only the server may see.
KEY_PREFIX = b"aisbreaker_"
SECRETS = {"openai": "sk-provider-openai", "anthropic": "sk-ant-provider"}
IN_BEARER = {dialect: {"authorization": "Bearer " + secret} for dialect, secret in SECRETS.items()}
CREDENTIALS = IN_BEARER if "--bearer" in sys.argv else IN_BEARER | {"anthropic": {"x-api-key": SECRETS["anthropic"]}}
CREDENTIAL_HEADERS = ("authorization", "x-api-key", "api-key", "x-goog-api-key", "proxy-authorization", "cookie")
SLOW_SECONDS = 3.0
LONGEST_WAIT_SECONDS = 10.0


class RefusedCall(Exception):
    """A call that is refused, with the error to send."""

    def __init__(self, status, message, code=None, headers=None):
        super().__init__(message)
        self.status, self.message, self.code, self.headers = status, message, code, headers or {}


class ClientDisconnected(Exception):
    """The client closed the connection before the end of the response."""


class ConnectionCut(Exception):
    """The connection was closed on purpose before the end of the response."""


class CallLog:
    """The calls so far."""

    def __init__(self):
        self.changed = threading.Condition()
        self.calls = {}
        self.closed = []
        self.refused = []
        self.responses = {}
        self.count = 0

    def next_id(self):
        with self.changed:
            self.count += 1
            return self.count

    def record_call(self, model, retry_count):
        """Records a call of a model, and returns how many there are."""
        with self.changed:
            calls = self.calls.setdefault(model, [])
            calls.append(retry_count)
            return len(calls)

    def record_disconnect(self, model):
        with self.changed:
            self.closed.append(model)
            self.changed.notify_all()

    def snapshot(self, awaited):
        with self.changed:
            if awaited:
                self.changed.wait_for(lambda: awaited in self.closed, LONGEST_WAIT_SECONDS)
            return {"calls": self.calls, "closed": self.closed, "refused": self.refused}


CALL_LOG = CallLog()


class Call:
    """One call of a client, and how to respond to it."""

    def __init__(self, handler, dialect, path, query, body):
        self.handler, self.dialect, self.path, self.query, self.body = handler, dialect, path, query, body
        self.method, self.headers, self.call_log = handler.command, handler.headers, CALL_LOG
        self.id = self.call_log.next_id()
        self.model = None

    def refuse(self, message, status=400, code=None, headers=None):
        raise RefusedCall(status, message, code, headers)

    def require(self, is_right, message):
        if not is_right:
            self.refuse(message)

    def json(self):
        kind = self.headers.get("content-type", "")
        self.require(kind.split(";")[0] == "application/json", f"the content type is {kind!r}")
        try:
            value = json.loads(self.body)
        except ValueError as error:
            self.refuse(f"the body is not JSON: {error}")
        self.require(isinstance(value, dict), "the body is not a JSON object")
        return value

    def form(self):
        """The parts of a multipart body: (name, file name or None, bytes)."""
        kind = self.headers.get("content-type", "")
        self.require(kind.startswith("multipart/form-data") and "boundary=" in kind, f"the content type is {kind!r}")
        mark = b"--" + kind.split("boundary=")[1].split(";")[0].strip('"').encode()
        pieces = (b"\r\n" + self.body).split(b"\r\n" + mark)
        self.require(pieces[0] == b"" and pieces[-1].strip() == b"--", "the multipart body is incomplete")
        return [self.part(piece) for piece in pieces[1:-1]]

    def part(self, piece):
        head, found, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        self.require(found, "a part has no head")
        for line in head.decode().split("\r\n"):
            name, _, value = line.partition(":")
            if name.lower() == "content-disposition":
                members = dict(
                    (key.strip(), text.strip('"'))
                    for key, _, text in (member.partition("=") for member in value.split(";")[1:])
                )
                return members.get("name"), members.get("filename"), content
        self.refuse("a part has no content-disposition")

    def select_model(self, model, known):
        """Records the model, and refuses the call if its name asks for 429."""
        self.require(isinstance(model, str), "model: a string is required")
        switches = ("flaky-429", "endless", "cut", "slow-first")
        if model not in known and not model.startswith(switches):
            self.refuse(f"The model `{model}` does not exist", 404, "model_not_found")
        self.model = model
        count = self.call_log.record_call(model, self.headers.get("x-stainless-retry-count", ""))
        if model.startswith("flaky-429") and count <= 2:
            wait = {"retry-after-ms": "10"} if count == 1 else {"retry-after": "0"}
            self.refuse("Rate limit reached", 429, "rate_limit_exceeded", wait)

    def dialect_headers(self):
        modules = {"openai": provider_openai, "anthropic": provider_anthropic}[self.dialect]
        return modules.headers(self.id)

    def send(self, status, content, kind="application/json", headers=None):
        headers = self.dialect_headers() | {"content-type": kind, "content-length": str(len(content))} | (headers or {})
        self.head(status, headers)
        self.handler.wfile.write(content)

    def send_json(self, value, status=200, headers=None):
        self.send(status, json.dumps(value).encode(), headers=headers)

    def head(self, status, headers):
        self.handler.send_response(status)
        for name, value in headers.items():
            self.handler.send_header(name, value)
        self.handler.end_headers()

    def send_chunked(self, chunks, kind):
        """Sends a response of unknown length. Each event is split into two chunks in its middle."""
        self.head(200, self.dialect_headers() | {"content-type": kind, "transfer-encoding": "chunked"})
        try:
            for chunk in chunks:
                for piece in (chunk[: len(chunk) // 2], chunk[len(chunk) // 2 :]):
                    if piece:
                        self.handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.handler.wfile.write(b"0\r\n\r\n")
        except ConnectionCut:
            self.handler.close_connection = True
        except (OSError, ClientDisconnected):
            self.handler.close_connection = True
            self.call_log.record_disconnect(self.model)

    def wait(self, seconds):
        """Waits, or raises if the client disconnects."""
        connection = self.handler.connection
        readable, _, _ = select.select([connection], [], [], seconds)
        if readable and connection.recv(1, socket.MSG_PEEK) == b"":
            raise ClientDisconnected

    def events(self, begin, piece, end):
        """Returns the events of a stream, with the faults of its model. `piece` creates an event with a text."""
        if self.model.startswith("slow-first"):
            self.wait(SLOW_SECONDS)
        yield from begin
        if self.model.startswith("endless"):
            while True:
                yield piece("again ")
                self.wait(0.02)
        if self.model.startswith("cut"):
            yield piece("half a ")
            raise ConnectionCut
        yield from end


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def serve(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        body = self.read_body()
        if url.path == "/seen":
            content = json.dumps(CALL_LOG.snapshot(query.get("closed"))).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            return
        is_anthropic = url.path.startswith("/v1/messages") or "anthropic-version" in self.headers
        dialect = "anthropic" if is_anthropic else "openai"
        call = Call(self, dialect, url.path, query, body)
        module = provider_anthropic if is_anthropic else provider_openai
        try:
            self.admit(call)
            try:
                module.serve(call)
            except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
                call.refuse(f"not part of the dialect: {error!r}")
        except RefusedCall as refused:
            # The checks cause 404 and 429 on purpose.
            if refused.status not in (404, 429):
                CALL_LOG.refused.append(f"{self.command} {url.path}: {refused.message}")
            error = module.error(refused, call.id)
            call.send_json(error, refused.status, refused.headers)

    do_GET = do_POST = do_DELETE = do_HEAD = do_PUT = do_PATCH = serve

    def admit(self, call):
        """Refuses a call without exactly the right credential."""
        sent = {name: self.headers.get_all(name) for name in CREDENTIAL_HEADERS if name in self.headers}
        wanted = {name: [value] for name, value in CREDENTIALS[call.dialect].items()}
        if sent != wanted:
            names = {name: len(values) for name, values in sent.items()}
            call.refuse(f"not the credential of this provider, but {names}", 401, "invalid_api_key")
        head = b"\r\n".join([self.requestline.encode()] + [f"{k}: {v}".encode() for k, v in self.headers.items()])
        for what, text in (("head", head), ("body", call.body)):
            call.require(KEY_PREFIX not in text.lower(), f"the {what} contains {KEY_PREFIX.decode()}")
        count = sum((head + call.body).count(secret.encode()) for secret in SECRETS.values())
        call.require(count == 1, "the secret is also in another place")
        host = self.headers.get_all("host")
        call.require(host == ["%s:%d" % self.server.server_address], f"the host is {host}")

    def read_body(self):
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        # A client may disconnect between two calls.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


if __name__ == "__main__":
    with Server(("127.0.0.1", 0), Handler) as server:
        print(server.server_address[1], flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            sys.exit(0)
