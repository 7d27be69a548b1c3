"""Checks of the commands in docs/quotas.md."""
import json
import os
import pathlib
import re
import subprocess
import tomllib

from support import check_minted

PAGE = pathlib.Path(__file__).resolve().parent.parent.parent / "docs/quotas.md"
WINDOWS = ["requestsPerMinute", "requestsPerHour", "requestsPerDay"]
SETTINGS = {"quotas.server": "AISBREAKER_SERVER_QUOTAS", "quotas.default": "AISBREAKER_DEFAULT_QUOTAS",
            "quotas.mint": "AISBREAKER_MINT_QUOTAS"}


def check_defaults():
    """The table has the defaults of the program."""
    example = subprocess.run(["aisbreaker-server", "check", "--example"], capture_output=True, text=True, check=True)
    page = PAGE.read_text(encoding="utf-8")
    for key, variable in SETTINGS.items():
        line = re.search(rf"^#({re.escape(key)} = .*)$", example.stdout, re.MULTILINE)[1]
        quotas = tomllib.loads(line)["quotas"][key.removeprefix("quotas.")]
        cells = []
        for side in ("perClientRequestLimits", "globalRequestLimits"):
            cells.append(" / ".join(f"{quotas[side][window]:,}" for window in WINDOWS))
        row = f"| {cells[0]} | {cells[1]} | `{variable}` |"
        assert row in page, f"docs/quotas.md lacks {row}"


def check_mint(text):
    check_defaults()
    check_minted(text)
    os.environ["AISBREAKER_API_KEY"] = json.loads(text)["access_token"]


def check_state(text):
    state = json.loads(text)
    limits = [(limit["scope"], limit["window"], limit["limit"], limit["remaining"]) for limit in state["limits"]]
    expected = [("client", "minute", 30), ("client", "hour", 300), ("client", "day", 600),
                ("global", "minute", 100), ("global", "hour", 1000), ("global", "day", 2000)]
    assert limits == [(*limit, limit[2]) for limit in expected], state
    assert not state["areDefaultQuotas"] and not state["areShares"], state


CHECKS = {"quotas-mint": check_mint, "quotas-state": check_state}
