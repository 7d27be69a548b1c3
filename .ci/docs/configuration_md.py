"""Checks of the commands in docs/configuration.md."""
import re
from pathlib import Path

from support import check_nothing


def check_example(text):
    check_nothing(text)
    assert "#listen = " in Path("aisbreaker.toml").read_text(encoding="utf-8")


def check_settings(text):
    assert re.search(r"^AISBREAKER_CONFIG +flag +aisbreaker\.toml$", text, re.MULTILINE), text
    assert re.search(r"^keys\.sealing +environment +set$", text, re.MULTILINE), text


CHECKS = {
    "configuration-example": check_example,
    "configuration-check": check_settings,
    "configuration-keygen": check_nothing,
}
