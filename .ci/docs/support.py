"""What the checks of the pages share.

The checks of docs/some-page.md are in some_page_md.py beside this file, those of README.md in readme_md.py. It has:

    CHECKS         for each name in a comment `<!-- try: NAME -->` a function of what its command has printed, which
                   raises if that is not what the page says. It may set os.environ for the commands after it.
    REFUSED        optional, names of commands whose curl is answered with an error
    STATUS         optional, the exit status for each name whose command does not end with 0
    RUNS_ON        optional, for each name whose command does not end by itself, such as a server: the regular
                   expression of the output to wait for. It runs until the page is over.
    KEEPS_ADDRESS  optional, names of commands in which http://localhost:3000 is not the server that is tried
    rewrite        optional, a function of name and command that returns the command to run

Every page starts with the environment of the whole run: OPENAI_API_KEY, a new AISBREAKER_API_KEY for the
dummy, the settings of the server (AUTH_ENCRYPTION_KEYPHRASE, AISBREAKER_ADMIN_SECRET), and a PATH with
aisbreaker-server.
"""
import http.server
import json
import re
import subprocess
import threading

# The URL of the server, and of a provider of this program that speaks chat completions.
SERVER = PROVIDER = ""


class Provider(http.server.BaseHTTPRequestHandler):
    """Answers every chat completion with the usage that docs/budgets.md has."""

    protocol_version = "HTTP/1.1"
    ANSWER = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "A door."}, "finish_reason": "stop"}],
              "usage": {"prompt_tokens": 12, "completion_tokens": 150, "total_tokens": 162}}

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = json.dumps(self.ANSWER).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def start_provider():
    """Returns the URL of a provider on a port of its own."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def mint(grant):
    """Mints a key, or returns the error."""
    command = ["curl", "--silent", "--show-error", SERVER + "/api/v1/oauth/token", "--json"]
    command.append(json.dumps({"requestAuthAndQuotas": grant}))
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def response(text):
    """Splits what `curl --include` prints into status, fields and the JSON of the body."""
    head, body = text.replace("\r\n", "\n").split("\n\n", 1)
    status, *fields = head.split("\n")
    return int(status.split()[1]), dict(field.lower().split(": ", 1) for field in fields), json.loads(body)


def events(text):
    """The names of the events of a stream."""
    return [block.split("\n")[0].removeprefix("event: ") for block in text.strip().split("\n\n")]


def check_minted(text):
    """A key was minted, without a warning."""
    token = json.loads(text)
    assert token["token_type"] == "Bearer" and "warnings" not in token, token


def check_key(text):
    """A key alone."""
    assert re.fullmatch(r"aisbreaker_eyJ2ZXIi[\w.-]+\n", text), text


def check_nothing(text):
    assert text.strip() == "", text
