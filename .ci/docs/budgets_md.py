"""Checks of the commands in docs/budgets.md, which call the provider of support.py."""
import json
import os

import support
from support import response

REFUSED = {"budgets-refused"}


def rewrite(name, command):
    return command.replace('"authSecret": "sk_..."', f'"authSecret": "sk_...", "url": "{support.PROVIDER}"')


def check_mint(text):
    token = json.loads(text)
    assert token["expires_in"] == 30 * 86400 and "warnings" not in token, token
    os.environ["AISBREAKER_API_KEY"] = token["access_token"]


def check_call(text):
    status, fields, body = response(text)
    assert status == 200 and body["usage"]["total_tokens"] == 162, text
    reported = [fields[f"x-ratelimit-{name}-tokens"] for name in ("limit", "remaining", "reset")]
    assert reported == ["30000", "29744", "61s"], reported


def check_quota(text):
    limits = [limit for limit in json.loads(text)["limits"] if limit["unit"] != "requests"]
    reported = [(limit["unit"], limit["scope"], limit["window"], limit["limit"], limit["remaining"]) for limit in limits]
    assert reported == [("tokens", "client", "minute", 30000, 29838), ("usd", "client", "day", "2.5", "2.498776"),
                        ("tokens", "global", "day", 5000000, 4999838), ("usd", "global", "day", "20", "19.998776")], text


def check_refused(text):
    status, fields, body = response(text)
    assert status == 429 and fields["x-should-retry"] == "false" and "retry-after" not in fields, text
    assert (body["error"]["type"], body["error"]["code"]) == ("tokens", "rate_limit_exceeded"), body
    message = "per minute and client, requested 32057 tokens; it fits now with max_tokens of up to 29943 "
    assert message in body["error"]["message"], body


CHECKS = {
    "budgets-mint": check_mint,
    "budgets-call": check_call,
    "budgets-quota": check_quota,
    "budgets-refused": check_refused,
}
