"""Stands in for docker, kind, kubectl, helm, doctl and curl: records its calls and gives prepared answers.

STAND_IN names a folder. Each call adds a line of JSON to `calls` in it. `answers` is a list of [pattern, exit status,
standard output, standard error]; the first pattern that matches the call counts.
"""

import json
import os
import pathlib
import re
import select
import sys

folder = pathlib.Path(os.environ["STAND_IN"])
words = [pathlib.Path(sys.argv[0]).name, *sys.argv[1:]]
call = " ".join(words)
# Do not wait for input from a terminal.
piped = sys.stdin.read() if not sys.stdin.isatty() and select.select([sys.stdin], [], [], 0)[0] else ""
# Modes and contents of the files that the call names, before they are deleted.
files = {}
for word in words:
    name = word.rpartition("=")[2].removeprefix("@")
    if name.startswith("/") and os.path.isfile(name) and os.path.getsize(name) < 100000:
        files[name] = [oct(os.stat(name).st_mode & 0o777), pathlib.Path(name).read_text(errors="replace")]
with open(folder / "calls", "a", encoding="utf-8") as calls:
    calls.write(json.dumps({"words": words, "stdin": piped, "files": files}) + "\n")
for pattern, status, out, err in json.loads((folder / "answers").read_text()):
    if re.search(pattern, call):
        if "--output" in words and words[0] == "curl":
            pathlib.Path(words[words.index("--output") + 1]).write_text(out)
            out = ""
        sys.stdout.write(out)
        sys.stderr.write(err)
        sys.exit(status)
