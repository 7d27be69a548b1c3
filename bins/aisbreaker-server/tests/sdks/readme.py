"""Runs the programs of README.md that follow `<!-- sdk: name -->`, against the server instead of the address in them.

usage: readme.py PATH_OF_THE_README DIRECTORY_WITH_NODE_MODULES
"""
import os
import pathlib
import re
import subprocess
import sys

SERVER = os.environ["SDKS_SERVER"]
ANSWER = "this is the reponse to 'What is a gateway?'"
COMMANDS = {"python": [sys.executable], "js": ["node"]}
SUFFIXES = {"python": ".py", "js": ".mjs"}


def main():
    text = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")
    programs = re.findall(r"<!-- sdk: ([\w-]+) -->\n```(python|js)\n(.*?)```", text, re.DOTALL)
    names = [name for name, _, _ in programs]
    assert names == ["openai-python", "anthropic-python", "openai-node"], names
    for name, language, program in programs:
        assert "http://localhost:3000" in program, program
        # Node looks up modules next to the program.
        path = pathlib.Path(sys.argv[2], name + SUFFIXES[language])
        path.write_text(program.replace("http://localhost:3000", SERVER), encoding="utf-8")
        run = subprocess.run([*COMMANDS[language], path], capture_output=True, text=True, timeout=60)
        assert run.returncode == 0 and ANSWER in run.stdout, f"{name}: {run.stdout}{run.stderr}"
        print(f"ok: {name}")


main()
