"""Checks of the commands in docs/embedding.md, which run where the workspace is."""
import pathlib
import shlex

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def rewrite(name, command):
    return f"cd {shlex.quote(str(ROOT))}\n{command}"


def check_examples(text):
    lines = text.splitlines()
    assert lines[0].startswith("aisbreaker_eyJ2ZXIi") and "/mine: this path is mine" in lines, text


CHECKS = {"embedding-examples": check_examples}
