"""Checks of the commands in README.md."""
import json
import os
import pathlib
import re

from support import check_key, check_minted

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# The columns of the comparison that are measured, as docs/performance.md calls them.
MEASURED = ["**aisbreaker**", "LiteLLM proxy", "Portkey gateway"]


def check_figures():
    """The figures in the comparison are those of docs/performance.md."""
    measured = (ROOT / "docs/performance.md").read_text(encoding="utf-8")
    rows = [re.search(rf"^\| {re.escape(name)} \| (.+) \|$", measured, re.MULTILINE)[1].split(" | ") for name in MEASURED]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for title, column in [("calls per second", 0), ("memory, MB", 2)]:
        row = " | ".join([title, *(cells[column].split()[0] for cells in rows)])
        assert f"| {row} | – |" in readme, f"README.md lacks the row {row}"


def rewrite(name, command):
    # The settings name the file of the server key, so it may not be in the environment as well.
    return "unset AUTH_ENCRYPTION_KEYPHRASE\n" + command if name == "production" else command


def check_mint(text):
    check_figures()
    token = json.loads(text)
    shown = ["access_token", "token_type", "expires_in", "keyId", "name"]
    assert list(token) == shown and token["expires_in"] == 30 * 86400, token
    os.environ["AISBREAKER_API_KEY"] = token["access_token"]


def check_call(text):
    completion = json.loads(text)
    content = completion["choices"][0]["message"]["content"]
    assert completion["model"] == "dummy/echo" and content == "Hello, gateway.", completion


def check_settings(text):
    assert text == "", text


CHECKS = {
    "mint": check_mint,
    "call": check_call,
    "hand-out": check_key,
    "browser": check_key,
    "fallback": check_minted,
    "budget": check_key,
    "production": check_settings,
}
