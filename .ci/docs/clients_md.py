"""Checks of the commands in docs/clients.md. Its programs are run by bins/aisbreaker-server/tests/sdks."""
import json


def check_curl(text):
    message = json.loads(text)
    assert "the reponse to 'What is a gateway?'" in message["content"][0]["text"], message


CHECKS = {"clients-curl": check_curl}
