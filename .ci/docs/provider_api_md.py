"""Checks of docs/provider-api.md: its tables of paths are those of the server's description."""
import json
import pathlib
import re

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "provider-api.md"


def check_paths(text):
    served = {}
    for path, item in json.loads(text)["paths"].items():
        methods = {name for name in ("get", "post", "put", "patch", "delete") if name in item}
        if path.startswith("/v1/"):
            served[path] = methods
    rows = re.findall(r"^\| `(/v1/[^`]+)` \| ([A-Z, ]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    listed = {path: set(methods.lower().split(", ")) for path, methods in rows}
    assert len(listed) == len(rows), "a path is listed twice"
    differences = sorted(path for path in served.keys() | listed.keys() if served.get(path) != listed.get(path))
    assert not differences, f"not as served: {differences}"
    assert len(served) > 80, served


CHECKS = {"provider-api-paths": check_paths}
