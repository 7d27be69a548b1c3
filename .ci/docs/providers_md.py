"""Checks of the commands in docs/providers.md."""
import json
import os

from support import check_minted, response

ROW = {
    "id": "llm.example.com", "aliases": "llm", "url": "https://llm.example.com", "openai": "/v1",
    "anthropic": "/anthropic/v1", "auth": "bearer", "secret": "required", "engine": "small", "headers.x-team": "set",
    "usage": "openai", "stream_usage": "true", "translate": "false",
}


def check_row(text):
    printed = dict(line.split(maxsplit=2)[::2] for line in text.splitlines())
    assert printed == {f"provider.1.{name}": value for name, value in ROW.items()}, printed


def check_fallback_minted(text):
    check_minted(text)
    os.environ["AISBREAKER_API_KEY"] = json.loads(text)["access_token"]


def check_fallback(text):
    status, fields, completion = response(text)
    assert (status, completion["choices"][0]["message"]["content"]) == (200, "Hello"), text
    attempts = '"chat:dummy/error-503";status=503, "chat:dummy/echo";status=200'
    assert fields["x-aisbreaker-attempts"] == attempts, fields


CHECKS = {
    "providers-add": check_row,
    "providers-mint": check_minted,
    "providers-fallback-mint": check_fallback_minted,
    "providers-fallback": check_fallback,
}
