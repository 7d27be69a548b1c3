"""Checks of the commands in docs/api.md."""
import json

from support import events


def check_openapi(text):
    document = json.loads(text)
    assert document["openapi"].startswith("3.1"), text[:200]
    page = ["/api/v1/process", "/api/v1/oauth/token", "/api/v1/oauth/introspect", "/api/v1/oauth/revoke", "/api/v1/quota"]
    assert not set(page) - document["paths"].keys(), list(document["paths"])


def check_process(text):
    response = json.loads(text)
    assert "the reponse to 'What is a gateway?'" in response["outputs"][0]["text"]["content"], text
    assert response["conversationState"] and response["usage"]["service"]["serviceId"] == "chat:dummy", text


def check_stream(text):
    names = events(text)
    assert names[-1] == "final" and names[:-1] and set(names[:-1]) == {"progress"}, names


CHECKS = {"api-openapi": check_openapi, "api-process": check_process, "api-stream": check_stream}
