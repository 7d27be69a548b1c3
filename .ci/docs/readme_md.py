"""Checks of the commands in README.md."""
import json
import os

from support import check_minted, events


def check_ping(text):
    assert json.loads(text)["message"] == "api-pong", text


def check_dummy(text):
    content = json.loads(text)["outputs"][0]["text"]["content"]
    assert "the reponse to 'What is a gateway?' from DummyAssistantService" in content, content


def check_dummy_chat(text):
    completion = json.loads(text)
    content = completion["choices"][0]["message"]["content"]
    assert "the reponse to 'What is a gateway?'" in content and completion["model"] == "dummy", completion


def check_mint(text):
    token = json.loads(text)
    assert token["token_type"] == "Bearer" and token["expires_in"] == 365 * 86400, token
    assert token["access_token"].startswith("aisbreaker_eyJ2ZXIi"), token
    os.environ["AISBREAKER_API_KEY"] = token["access_token"]


def check_stream(text):
    names = events(text)
    assert names[-1] == "final" and names[:-1] and set(names[:-1]) == {"progress"}, names


def check_quota(text):
    quota = json.loads(text)
    assert len(quota["limits"]) == 6 and quota["limits"][0]["limit"] == 60, quota
    assert quota["expiresInSeconds"] > 364 * 86400, quota


CHECKS = {
    "ping": check_ping,
    "dummy": check_dummy,
    "dummy-chat": check_dummy_chat,
    "mint": check_mint,
    "stream": check_stream,
    "quota": check_quota,
    "budgets": check_minted,
}
