"""Checks of the commands in docs/dummy.md."""
from support import response


def check_error(text):
    status, fields, body = response(text)
    assert (status, fields["retry-after"], body["error"]["type"]) == (429, "1", "rate_limit_error"), text


REFUSED = {"dummy-error"}
CHECKS = {"dummy-error": check_error}
