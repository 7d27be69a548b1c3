"""What the checks of all Python SDKs share: the server, its keys, and the state of the provider."""
import base64
import hashlib
import json
import os
import sys
import time
import traceback
import urllib.request

from provider_openai import PNG

SERVER = os.environ["SDKS_SERVER"]
PROVIDER = os.environ["SDKS_PROVIDER"]
# Without the server in between, to show that the checks hold for the provider itself.
IS_DIRECT = SERVER == PROVIDER
# What the server itself adds to every list of models.
DUMMIES = [] if IS_DIRECT else ["dummy", "dummy/echo"]
SECRETS = {"openai": "sk-provider-openai", "anthropic": "sk-ant-provider"}
PNG_URL = "data:image/png;base64," + base64.b64encode(PNG).decode()
PNG_DESCRIPTION = f"image/png of {len(PNG)} bytes, {hashlib.sha256(PNG).hexdigest()}"
# Not text, and it contains what looks like the end of a part.
RECORDING = bytes(range(256)) * 1500 + b"\r\n--\r\n--boundary--\r\nchat:openai.com/whisper-1"
RECORDING_DESCRIPTION = f"said.wav of {len(RECORDING)} bytes, {hashlib.sha256(RECORDING).hexdigest()}"
# How long a refusal may take that an SDK must not retry.
AT_ONCE_SECONDS = 2.0


def mint(dialect, per_day=100_000, budgets=None, aliases=None):
    """Mints an aisbreaker key for both services of the provider, with these budgets and model aliases if any."""
    if IS_DIRECT:
        return SECRETS[dialect]
    limits = {"requestsPerMinute": per_day, "requestsPerHour": per_day, "requestsPerDay": per_day}
    if per_day == 1:
        # Only the daily limit is tight.
        limits |= {"requestsPerMinute": 100, "requestsPerHour": 100}
    services = {"chat:openai.com": SECRETS["openai"], "chat:anthropic.com": SECRETS["anthropic"]}
    minting = {
        "requestAuthAndQuotas": {
            "requestQuotas": {"perClientRequestLimits": limits, "globalRequestLimits": limits},
            "serviceSecrets": [
                {"serviceId": service, "authSecret": secret, "url": PROVIDER} for service, secret in services.items()
            ],
        }
    }
    if aliases:
        minting["requestAuthAndQuotas"]["modelAliases"] = aliases
    if budgets:
        minting["requestAuthAndQuotas"]["budgets"] = budgets
    address, body = SERVER + "/api/v1/oauth/token", json.dumps(minting).encode()
    request = urllib.request.Request(address, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as response:
        minted = json.load(response)
    assert "warnings" not in minted, minted
    return minted["access_token"]


def mint_without_secrets():
    """Mints a key that can only call what needs no secret."""
    address = SERVER + "/api/v1/oauth/token"
    request = urllib.request.Request(address, b'{"requestAuthAndQuotas": {}}', {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as response:
        return json.load(response)["access_token"]


def provider_state(closed=""):
    """Returns what the provider has received. With `closed`, waits until the client of that model has disconnected."""
    with urllib.request.urlopen(f"{PROVIDER}/seen?closed={closed}", timeout=20) as response:
        return json.load(response)


# How many calls of other scripts were refused.
REFUSED_BEFORE = len(provider_state()["refused"])


def assert_retried_by_the_sdk(model):
    """Asserts three calls, of which the SDK made the second and the third as retries."""
    assert provider_state()["calls"][model] == ["0", "1", "2"], provider_state()["calls"][model]


def calls_of(model):
    """Returns how often a model was called."""
    return len(provider_state()["calls"].get(model, []))


def assert_disconnect_seen(model):
    assert model in provider_state(closed=model)["closed"], f"the provider did not see the client of {model} disconnect"


def expect_error(error_class, action):
    """Returns the error of this class that `action` must raise."""
    try:
        result = action()
    except error_class as error:
        return error
    raise AssertionError(f"no {error_class.__name__}, but {result!r}")


def expect_error_at_once(error_class, action):
    start = time.monotonic()
    error = expect_error(error_class, action)
    elapsed = time.monotonic() - start
    assert elapsed < AT_ONCE_SECONDS, f"{error_class.__name__} took {elapsed:.1f} s"
    return error


def run(*checks):
    """Runs the checks in order, until one fails."""
    for check in checks:
        try:
            check()
        except BaseException:
            traceback.print_exc(file=sys.stdout)
            print(f"FAILED: {check.__name__}")
            sys.exit(1)
        print(f"ok: {check.__name__}")
    refused = provider_state()["refused"][REFUSED_BEFORE:]
    assert IS_DIRECT or not refused, f"the provider refused {refused}"
