"""Checks of the commands in docs/keys.md."""
import json
import os
import re
import subprocess

import support
from support import check_key, check_nothing

EXCHANGE = "urn:ietf:params:oauth:token-type:access_token"


def check_named(text):
    token = json.loads(text)
    assert token["name"] == "reporting job" and token["expires_in"] == 90 * 86400, token
    assert "warnings" not in token, token
    os.environ["AISBREAKER_API_KEY"] = token["access_token"]
    os.environ["AISBREAKER_KEY_ID"] = token["keyId"]


def check_limits(text):
    """The first command of the page; and its table of limits is that of the server."""
    check_named(text)
    assert support.mint({})["expires_in"] == 2 * 3600
    secrets = [{"serviceId": "chat:openai.com", "authSecret": "s" * 6000}]
    assert "more than 6144:" in support.mint({"serviceSecrets": secrets})["error"]["message"]
    command = ["curl", "--silent", "--show-error", "--output", os.devnull, "--write-out", "%{http_code}"]
    for length, status in [(31 << 10, "200"), (33 << 10, "431")]:
        header = ["--header", "x-filler: " + "x" * length, support.SERVER + "/api/v1/ping"]
        result = subprocess.run(command + header, check=True, capture_output=True, text=True)
        assert result.stdout == status, result.stdout


def check_introspection(text):
    key = json.loads(text)
    assert key["active"] is True and key["jti"] == os.environ["AISBREAKER_KEY_ID"], key
    assert key["name"] == "reporting job" and "sk_..." not in text, key


def check_quota(text):
    assert json.loads(text)["keyId"] == os.environ["AISBREAKER_KEY_ID"], text


def check_exchange(text):
    token = json.loads(text)
    assert token["issued_token_type"] == EXCHANGE and token["expires_in"] <= 3600, token


def check_jwks(text):
    [key] = json.loads(text)["keys"]
    assert key["alg"] == "ECDH-ES" and key["crv"] == "X25519", key


def check_sealed_key(text):
    assert re.fullmatch(r"aisbreaker_[\w.-]+\n", text) and "eyJ2ZXIi" not in text, text
    process = {"service": {"serviceId": "chat:dummy"}, "request": {"inputs": [{"text": {"content": "Hi"}}]}}
    command = ["curl", "--silent", "--show-error", "--fail", support.SERVER + "/api/v1/process", "--json"]
    command += [json.dumps(process), "--header", "Authorization: Bearer " + text.strip()]
    subprocess.run(command, check=True, capture_output=True)


CHECKS = {
    "keys-mint": check_limits,
    "keys-restrict": check_named,
    "keys-introspect": check_introspection,
    "keys-quota": check_quota,
    "keys-inspect": check_introspection,
    "keys-narrow": check_exchange,
    "keys-narrow-command": check_key,
    "keys-revoke": check_nothing,
    "keys-revoke-id": lambda text: None,
    "keys-jwks": check_jwks,
    "keys-seal": check_sealed_key,
}
