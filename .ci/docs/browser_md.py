"""Checks of the commands in docs/browser.md. Its programs are run by bins/aisbreaker-server/tests/sdks."""
import json
import os
import urllib.error
import urllib.request

import support
from support import check_minted

APP = "https://app.example.com"


def call(key, origin):
    """The status of a call from a page of this origin, and whose scripts may read the response."""
    body = {"model": "dummy", "messages": [{"role": "user", "content": "Hello"}]}
    fields = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Origin": origin}
    request = urllib.request.Request(f"{support.SERVER}/v1/chat/completions", json.dumps(body).encode(), fields)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers["access-control-allow-origin"]
    except urllib.error.HTTPError as error:
        return error.code, error.headers["access-control-allow-origin"]


def check_app_key(text):
    check_minted(text)
    os.environ["AISBREAKER_API_KEY"] = json.loads(text)["access_token"]


def check_user_key(text):
    token = json.loads(text)
    assert (token["name"], token["expires_in"]) == ("user 4711", 3600), token
    key = token["access_token"]
    assert call(key, APP) == (200, APP)
    assert call(key, "https://evil.example.com") == (403, None)


CHECKS = {"browser-mint": check_app_key, "browser-narrow": check_user_key}
