#!/usr/bin/env python3
"""A local provider that speaks the dialects of OpenAI and of Anthropic, for tests of their SDKs.

It is strict: whoever sends another credential than its own, or anything of an aisbreaker key, or what the dialect does not
have, gets an error that says so. Some names of models switch faults on:

- `flaky-429…`: 429 for the first two calls, then an answer
- `endless…`: a stream that ends when the client leaves
- `cut…`: a stream whose connection is closed in the middle
- `slow-first…`: a stream whose first event comes after three seconds

`GET /seen` tells what came; with `?closed=MODEL` it waits until the stream of this model was left by its client.
The first line on stdout is its port. With `--bearer` it takes the credential of Anthropic's dialect in `Authorization`, where
current SDKs have it; else, as it is to come from our server, in `x-api-key`.
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

# What nobody but our own server may see.
OUR_MARK = b"aisbreaker_"
SECRETS = {"openai": "sk-provider-openai", "anthropic": "sk-ant-provider"}
IN_BEARER = {dialect: {"authorization": "Bearer " + secret} for dialect, secret in SECRETS.items()}
CREDENTIALS = IN_BEARER if "--bearer" in sys.argv else IN_BEARER | {"anthropic": {"x-api-key": SECRETS["anthropic"]}}
CREDENTIAL_HEADERS = ("authorization", "x-api-key", "api-key", "x-goog-api-key", "proxy-authorization", "cookie")
SLOW_SECONDS = 3.0
LONGEST_WAIT_SECONDS = 10.0


class Refused(Exception):
    """What is wrong with a call, and how it is answered."""

    def __init__(self, status, message, code=None, headers=None):
        super().__init__(message)
        self.status, self.message, self.code, self.headers = status, message, code, headers or {}


class ClientLeft(Exception):
    """The client closed the connection before the answer was over."""


class CutOff(Exception):
    """The connection was closed on purpose before the answer was over."""


class Memory:
    """What came so far."""

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

    def called(self, model, retry_count):
        """Notes a call, and tells how many there were with it."""
        with self.changed:
            calls = self.calls.setdefault(model, [])
            calls.append(retry_count)
            return len(calls)

    def left(self, model):
        with self.changed:
            self.closed.append(model)
            self.changed.notify_all()

    def seen(self, awaited):
        with self.changed:
            if awaited:
                self.changed.wait_for(lambda: awaited in self.closed, LONGEST_WAIT_SECONDS)
            return {"calls": self.calls, "closed": self.closed, "refused": self.refused}


MEMORY = Memory()


class Call:
    """One call of a client, and the ways to answer it."""

    def __init__(self, handler, dialect, path, query, body):
        self.handler, self.dialect, self.path, self.query, self.body = handler, dialect, path, query, body
        self.method, self.headers, self.memory = handler.command, handler.headers, MEMORY
        self.id = self.memory.next_id()
        self.model = None

    def refuse(self, message, status=400, code=None, headers=None):
        raise Refused(status, message, code, headers)

    def expect(self, is_right, message):
        if not is_right:
            self.refuse(message)

    def json(self):
        kind = self.headers.get("content-type", "")
        self.expect(kind.split(";")[0] == "application/json", f"the content type is {kind!r}")
        try:
            value = json.loads(self.body)
        except ValueError as error:
            self.refuse(f"the body is not JSON: {error}")
        self.expect(isinstance(value, dict), "the body is not a JSON object")
        return value

    def form(self):
        """The parts of a multipart body: (name, file name or None, bytes)."""
        kind = self.headers.get("content-type", "")
        self.expect(kind.startswith("multipart/form-data") and "boundary=" in kind, f"the content type is {kind!r}")
        mark = b"--" + kind.split("boundary=")[1].split(";")[0].strip('"').encode()
        pieces = (b"\r\n" + self.body).split(b"\r\n" + mark)
        self.expect(pieces[0] == b"" and pieces[-1].strip() == b"--", "the multipart body is not whole")
        return [self.part(piece) for piece in pieces[1:-1]]

    def part(self, piece):
        head, found, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        self.expect(found, "a part has no head")
        for line in head.decode().split("\r\n"):
            name, _, value = line.partition(":")
            if name.lower() == "content-disposition":
                members = dict(
                    (key.strip(), text.strip('"'))
                    for key, _, text in (member.partition("=") for member in value.split(";")[1:])
                )
                return members.get("name"), members.get("filename"), content
        self.refuse("a part has no content-disposition")

    def named(self, model, known):
        """Notes the model, and does what its name says about 429."""
        self.expect(isinstance(model, str), "model: a string is required")
        switches = ("flaky-429", "endless", "cut", "slow-first")
        if model not in known and not model.startswith(switches):
            self.refuse(f"The model `{model}` does not exist", 404, "model_not_found")
        self.model = model
        count = self.memory.called(model, self.headers.get("x-stainless-retry-count", ""))
        if model.startswith("flaky-429") and count <= 2:
            wait = {"retry-after-ms": "10"} if count == 1 else {"retry-after": "0"}
            self.refuse("Rate limit reached", 429, "rate_limit_exceeded", wait)

    def own_headers(self):
        ours = {"openai": provider_openai, "anthropic": provider_anthropic}[self.dialect]
        return ours.headers(self.id)

    def send(self, status, content, kind="application/json", headers=None):
        headers = self.own_headers() | {"content-type": kind, "content-length": str(len(content))} | (headers or {})
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
        """An answer of unknown length; each event is sent in two pieces, wherever its middle is."""
        self.head(200, self.own_headers() | {"content-type": kind, "transfer-encoding": "chunked"})
        try:
            for chunk in chunks:
                for piece in (chunk[: len(chunk) // 2], chunk[len(chunk) // 2 :]):
                    if piece:
                        self.handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.handler.wfile.write(b"0\r\n\r\n")
        except CutOff:
            self.handler.close_connection = True
        except (OSError, ClientLeft):
            self.handler.close_connection = True
            self.memory.left(self.model)

    def wait(self, seconds):
        """Waits, unless the client leaves."""
        connection = self.handler.connection
        readable, _, _ = select.select([connection], [], [], seconds)
        if readable and connection.recv(1, socket.MSG_PEEK) == b"":
            raise ClientLeft

    def events(self, begin, piece, end):
        """A stream with what its model switches: the events before the text, one of it, and those after it."""
        if self.model.startswith("slow-first"):
            self.wait(SLOW_SECONDS)
        yield from begin
        if self.model.startswith("endless"):
            while True:
                yield piece("again ")
                self.wait(0.02)
        if self.model.startswith("cut"):
            yield piece("half a ")
            raise CutOff
        yield from end


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        body = self.read_body()
        if url.path == "/seen":
            content = json.dumps(MEMORY.seen(query.get("closed"))).encode()
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
                module.answer(call)
            except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
                call.refuse(f"not what the dialect has: {error!r}")
        except Refused as refused:
            # Those of the switches and of unknown names are meant to happen.
            if refused.status not in (404, 429):
                MEMORY.refused.append(f"{self.command} {url.path}: {refused.message}")
            error = module.error(refused, call.id)
            call.send_json(error, refused.status, refused.headers)

    do_GET = do_POST = do_DELETE = do_HEAD = do_PUT = do_PATCH = answer

    def admit(self, call):
        """Lets nobody in without the right credential, nor with more than that."""
        sent = {name: self.headers.get_all(name) for name in CREDENTIAL_HEADERS if name in self.headers}
        wanted = {name: [value] for name, value in CREDENTIALS[call.dialect].items()}
        if sent != wanted:
            names = {name: len(values) for name, values in sent.items()}
            call.refuse(f"not the credential of this provider, but {names}", 401, "invalid_api_key")
        head = b"\r\n".join([self.requestline.encode()] + [f"{k}: {v}".encode() for k, v in self.headers.items()])
        for what, text in (("head", head), ("body", call.body)):
            call.expect(OUR_MARK not in text.lower(), f"the {what} has {OUR_MARK.decode()} in it")
        count = sum((head + call.body).count(secret.encode()) for secret in SECRETS.values())
        call.expect(count == 1, "a secret is at another place, too")
        host = self.headers.get_all("host")
        call.expect(host == ["%s:%d" % self.server.server_address], f"this is not {host}")

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
        # A client may leave between two calls as it likes.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


if __name__ == "__main__":
    with Server(("127.0.0.1", 0), Handler) as server:
        print(server.server_address[1], flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            sys.exit(0)
