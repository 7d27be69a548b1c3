"""Checks of the commands in docs/api.md."""
import json
import pathlib
import re

from support import events

PAGES = pathlib.Path(__file__).resolve().parent.parent.parent / "docs"
# What the page has a row for: each member of these, and each path that is not a provider's.
SCHEMAS = ["MintRequest", "Grant", "ServiceSecret", "RequestQuotas", "RequestLimits", "TokenExchange", "TokenResponse",
           "RevocationForm", "IntrospectionForm", "ActiveKey", "QuotaState", "AncestorQuotaState", "LimitState",
           "ServiceProps", "ServiceRequest", "ProcessResponse", "Usage", "OutputText", "Jwk", "Version"]
# The members that other pages describe.
ELSEWHERE = {"keys.md": ["Restriction"], "budgets.md": ["Budgets"]}


def missing(page, names):
    """The names that no code in the text of a page has."""
    text = re.sub(r"```.*?```", "", (PAGES / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    code = " ".join(re.findall(r"`([^`]+)`", text))
    words = {*re.findall(r"[\w/.-]+", code), *re.findall(r"\w+", code)}
    return [name for name in names if name not in words]


def check_openapi(text):
    document = json.loads(text)
    assert document["openapi"].startswith("3.1"), text[:200]
    own = [path for path in document["paths"] if path != "/" and not re.match(r"/(v1|openai|anthropic)\b", path)]
    assert "/api/v1/process" in own and not missing("api.md", own), f"docs/api.md lacks {missing('api.md', own)}"
    schemas = document["components"]["schemas"]
    for page, names in [("api.md", SCHEMAS), *ELSEWHERE.items()]:
        for name in names:
            absent = missing(page, schemas[name]["properties"])
            assert not absent, f"docs/{page} lacks {absent} of {name}"


def check_process(text):
    response = json.loads(text)
    assert "the reponse to 'What is a gateway?'" in response["outputs"][0]["text"]["content"], text
    assert response["conversationState"] and response["usage"]["service"]["serviceId"] == "chat:dummy", text


def check_stream(text):
    names = events(text)
    assert names[-1] == "final" and names[:-1] and set(names[:-1]) == {"progress"}, names


CHECKS = {"api-openapi": check_openapi, "api-process": check_process, "api-stream": check_stream}
