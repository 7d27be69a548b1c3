"""Checks of the commands in docs/quotas.md."""
import json
import os

from support import check_minted


def check_mint(text):
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
