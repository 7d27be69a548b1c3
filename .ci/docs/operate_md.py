"""Checks of the commands in docs/operate.md, whose server listens on free ports."""
import os
import re
import socket
from pathlib import Path

import support

PAGE = Path(__file__).resolve().parents[2] / "docs/operate.md"
RUNS_ON = {"operate-start": "listening"}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


PORTS = {"3000": str(free_port()), "9090": str(free_port())}


def rewrite(name, command):
    command = command.replace(support.SERVER, "http://localhost:3000")
    return re.sub(r"(?<=:)(3000|9090)\b", lambda port: PORTS[port[0]], command)


def check_start(text):
    # The commands after it are about this server.
    os.environ["AISBREAKER_LISTEN"] = "127.0.0.1:" + PORTS["3000"]


def check_ready(text):
    assert text == "ready\n", text


def check_doctor(text):
    assert re.search(r"^ok +settings +all settings can be used$", text, re.MULTILINE), text
    assert "warn settings  AISBREAKER_PUBLIC_HOSTS is not set" in text, text


def check_metrics(text):
    """Every metric of a server is in the table of the page."""
    table = PAGE.read_text(encoding="utf-8").split("\n## Metrics\n")[1].split("\n## ")[0]
    documented = set(re.findall(r"`([a-z_]+)(?:\{[a-z_,]+\})?`", table))
    metrics = re.findall(r"^# TYPE aisbreaker_(\w+) ", text, re.MULTILINE)
    assert len(metrics) > 10 and set(metrics) <= documented, set(metrics) - documented


def check_help(text):
    """Every subcommand is in the table of the page."""
    table = PAGE.read_text(encoding="utf-8").split("\n## The command line\n")[1]
    documented = {word.split()[0] for word in re.findall(r"`([a-z-]+(?: [^`]+)?)`", table)}
    commands = text.split("\nCommands:\n")[1].split("\n\n")[0]
    subcommands = set(re.findall(r"^  ([a-z-]+) ", commands, re.MULTILINE)) - {"help"}
    assert len(subcommands) > 10 and subcommands <= documented, subcommands - documented


CHECKS = {
    "operate-start": check_start,
    "operate-healthcheck": check_ready,
    "operate-doctor": check_doctor,
    "operate-metrics": check_metrics,
    "operate-help": check_help,
}
