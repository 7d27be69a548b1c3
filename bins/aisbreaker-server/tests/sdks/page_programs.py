"""Runs the programs of a page that follow `<!-- sdk: name -->`, against the server in place of their address.

usage: page_programs.py PATH_OF_THE_PAGE DIRECTORY_WITH_NODE_MODULES
"""
import os
import pathlib
import re
import subprocess
import sys

SERVER = os.environ["SDKS_SERVER"]
ANSWER = "this is the reponse to 'What is a gateway?'"
# The programs of each page, and how often each prints the answer.
PAGES = {
    "clients.md": {"openai-python": 1, "openai-node": 1, "anthropic-python": 1, "anthropic-node": 1, "langchain": 2},
    "browser.md": {"openai-browser": 1, "fetch": 1},
}
COMMANDS = {"python": [sys.executable], "js": ["node"]}
SUFFIXES = {"python": ".py", "js": ".mjs"}


def main():
    page = pathlib.Path(sys.argv[1])
    answers = PAGES[page.name]
    text = page.read_text(encoding="utf-8")
    programs = re.findall(r"<!-- sdk: ([\w-]+) -->\n```(python|js)\n(.*?)```", text, re.DOTALL)
    names = [name for name, _, _ in programs]
    assert names == list(answers), names
    for name, language, program in programs:
        assert "http://localhost:3000" in program, program
        # Node looks up modules next to the program.
        path = pathlib.Path(sys.argv[2], name + SUFFIXES[language])
        path.write_text(program.replace("http://localhost:3000", SERVER), encoding="utf-8")
        run = subprocess.run([*COMMANDS[language], path], capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, f"{name}: {run.stdout}{run.stderr}"
        assert run.stdout.count(ANSWER) == answers[name], f"{name}: {run.stdout}{run.stderr}"
        print(f"ok: {name}")


main()
