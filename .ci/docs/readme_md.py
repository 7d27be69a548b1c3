"""Checks of the commands in README.md."""
import json
import os

from support import check_key, check_minted


def rewrite(name, command):
    # The settings name the file of the server key, so it may not be in the environment as well.
    return "unset AUTH_ENCRYPTION_KEYPHRASE\n" + command if name == "production" else command


def check_mint(text):
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
