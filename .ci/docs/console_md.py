"""Checks of the commands in docs/console.md."""


def check_head(text):
    status, *fields = text.replace("\r\n", "\n").strip().split("\n")
    assert status.split()[1] == "200", text
    assert any(field.lower().startswith("content-security-policy: default-src 'none'") for field in fields), text


CHECKS = {"console-head": check_head}
