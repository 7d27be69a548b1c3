"""What the commands of docs/start.md print."""
import json
import os
import re
import urllib.request

from support import events

ANSWER = "the reponse to 'What is a gateway?' from DummyAssistantService"
CARGO = "cargo run --release --locked -p aisbreaker-server --"
# The last line that the demo prints before it serves.
RUNS_ON = {"start-demo": r"Each call has a line below\."}


def rewrite(name, command):
    """Takes the program that is built already, and shows the key that a command leaves in its shell."""
    command = command.replace(CARGO, "aisbreaker-server")
    return command + 'echo "$AISBREAKER_API_KEY"\n' if name == "start-provider" else command


def check_demo(text):
    urls = dict(re.findall(r"^ +(Console|Metrics) +(http://localhost:\d+/console/)$", text, re.MULTILINE))
    assert urls.keys() == {"Console", "Metrics"}, text
    for url in urls.values():
        with urllib.request.urlopen(url) as page:
            assert page.status == 200, url
    [key] = re.findall(r"^ +Key +(aisbreaker_[\w.-]+)$", text, re.MULTILINE)
    assert text.count(key) == 2 and "\ncurl " in text, text


def check_ping(text):
    assert json.loads(text) == {"message": "api-pong"}, text


def check_chat(text):
    completion = json.loads(text)
    assert completion["object"] == "chat.completion" and completion["model"] == "dummy", completion
    assert ANSWER in completion["choices"][0]["message"]["content"], completion
    counts = [completion["usage"][name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")]
    assert counts == [13, 37, 50], completion


def check_process(text):
    assert ANSWER in json.loads(text)["outputs"][0]["text"]["content"], text


def check_mint(text):
    token = json.loads(text)
    assert list(token) == ["access_token", "token_type", "expires_in", "keyId", "name"], token
    assert token["access_token"].startswith("aisbreaker_eyJ2ZXIiOiJhaXNi"), token
    assert (token["token_type"], token["expires_in"], token["name"]) == ("Bearer", 2592000, "first key"), token
    os.environ["AISBREAKER_API_KEY"] = token["access_token"]


def check_stream(text):
    *chunks, last = events(text)
    assert last == "data: [DONE]" and len(chunks) > 10, text


def check_quota(text):
    quota = json.loads(text)
    assert list(quota)[:5] == ["keyId", "expiresAt", "expiresInSeconds", "areDefaultQuotas", "areShares"], quota
    first = quota["limits"][0]
    assert (first["scope"], first["window"], first["limit"], first["remaining"]) == ("client", "minute", 60, 59), quota
    assert len(quota["limits"]) == 6 and quota["areDefaultQuotas"] is False, quota


def check_provider(text):
    assert re.fullmatch(r"aisbreaker_[\w.-]+\n", text), text


CHECKS = {
    "start-demo": check_demo,
    "start-ping": check_ping,
    "start-chat": check_chat,
    "start-process": check_process,
    "start-mint": check_mint,
    "start-stream": check_stream,
    "start-quota": check_quota,
    "start-provider": check_provider,
}
