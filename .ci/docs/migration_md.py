"""Checks of the commands in docs/migration.md, with a real key of the original server."""
import json
import os
import pathlib

from support import check_nothing

VECTORS = pathlib.Path(__file__).resolve().parents[2] / "crates/aisbreaker-token/tests/vectors/original-keys.json"


def rewrite(name, command):
    """Puts in the phrase and a key of the original server."""
    vectors = json.loads(VECTORS.read_text(encoding="utf-8"))
    # It does not expire in this century.
    key = next(key for key in vectors["extra_tokens"] if key["name"] == "extra-100y")
    os.environ["AISBREAKER_API_KEY"] = key["token"]
    return command.replace("the phrase of the original server", vectors["server_env"]["AUTH_ENCRYPTION_KEYPHRASE"])


def check_key(text):
    key = json.loads(text)
    assert key["active"] is True and key["aud"] == "api.example.com", key


CHECKS = {"migration-check": check_nothing, "migration-inspect": check_key}
