"""Checks of the commands in docs/deploy.md, whose server listens on a free port."""
import json
import socket

from support import check_nothing

RUNS_ON = {"deploy-tls-start": "listening"}

with socket.socket() as listener:
    listener.bind(("127.0.0.1", 0))
    PORT = str(listener.getsockname()[1])


def rewrite(name, command):
    return command.replace("3443", PORT)


def check_start(text):
    assert "ERROR" not in text, text


def check_ping(text):
    assert json.loads(text)["message"] == "api-pong", text


CHECKS = {
    "deploy-tls-certificate": check_nothing,
    "deploy-tls-start": check_start,
    "deploy-tls-ping": check_ping,
}
