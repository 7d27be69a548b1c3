"""What the checks of all SDKs for Python share: where the server is, its keys, and what the provider saw."""
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
# Straight at the provider, without our server: shows that what is checked is true of the provider itself.
IS_DIRECT = SERVER == PROVIDER
SECRETS = {"openai": "sk-provider-openai", "anthropic": "sk-ant-provider"}
PNG_URL = "data:image/png;base64," + base64.b64encode(PNG).decode()
PNG_TOLD = f"image/png of {len(PNG)} bytes, {hashlib.sha256(PNG).hexdigest()}"
# Not text, and with what looks like the end of a part in it.
RECORDING = bytes(range(256)) * 1500 + b"\r\n--\r\n--boundary--\r\nchat:openai.com/whisper-1"
RECORDING_TOLD = f"said.wav of {len(RECORDING)} bytes, {hashlib.sha256(RECORDING).hexdigest()}"
# How long a refusal may take that no SDK has to wait for.
AT_ONCE_SECONDS = 2.0


def mint(dialect, per_day=100_000):
    """An aisbreaker key for both services of the provider."""
    if IS_DIRECT:
        return SECRETS[dialect]
    limits = {"requestsPerMinute": per_day, "requestsPerHour": per_day, "requestsPerDay": per_day}
    if per_day == 1:
        # The day alone is spent.
        limits |= {"requestsPerMinute": 100, "requestsPerHour": 100}
    services = {"chat:openai.com": SECRETS["openai"], "chat:anthropic.com": SECRETS["anthropic"]}
    asked = {
        "requestAuthAndQuotas": {
            "requestQuotas": {"perClientRequestLimits": limits, "globalRequestLimits": limits},
            "serviceSecrets": [
                {"serviceId": service, "authSecret": secret, "url": PROVIDER} for service, secret in services.items()
            ],
        }
    }
    address, body = SERVER + "/api/v1/oauth/token", json.dumps(asked).encode()
    request = urllib.request.Request(address, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        told = json.load(answer)
    assert "warnings" not in told, told
    return told["access_token"]


def seen(closed=""):
    """What the provider saw; `closed` waits until the stream of that model was left."""
    with urllib.request.urlopen(f"{PROVIDER}/seen?closed={closed}", timeout=20) as answer:
        return json.load(answer)


# Of other scripts.
REFUSED_BEFORE = len(seen()["refused"])


def assert_retried_by_the_sdk(model):
    """Three calls, of which the SDK itself made the second and the third."""
    assert seen()["calls"][model] == ["0", "1", "2"], seen()["calls"][model]


def assert_left(model):
    assert model in seen(closed=model)["closed"], f"the provider did not see that the client of {model} left"


def raised(kind, act):
    """The error of this kind that `act` raises."""
    try:
        found = act()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}, but {found!r}")


def raised_at_once(kind, act):
    begun = time.monotonic()
    error = raised(kind, act)
    took = time.monotonic() - begun
    assert took < AT_ONCE_SECONDS, f"{kind.__name__} came after {took:.1f} s only"
    return error


def run(*checks):
    """Runs the checks in order, up to the first that fails."""
    for check in checks:
        try:
            check()
        except BaseException:
            traceback.print_exc(file=sys.stdout)
            print(f"FAILED: {check.__name__}")
            sys.exit(1)
        print(f"ok: {check.__name__}")
    refused = seen()["refused"][REFUSED_BEFORE:]
    assert IS_DIRECT or not refused, f"the provider refused {refused}"
