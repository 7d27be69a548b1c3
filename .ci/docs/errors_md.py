"""Checks of the commands in docs/errors.md."""
import json

REFUSED = {"errors-dummy"}


def check_dummy(text):
    error = json.loads(text)["error"]
    assert (error["type"], error["code"]) == ("server_error", "service_unavailable"), error


CHECKS = {"errors-dummy": check_dummy}
