#!/usr/bin/env python3
"""What is made from values.yaml: the table of values in the chart's README.md, from the comments, and the defaults that
the templates read.

readme.py README VALUES DEFAULTS writes both.
"""

import json
import pathlib
import re
import sys

import yaml

START, END = "<!-- values: made by scripts/chart-test.sh --readme -->", "<!-- end of values -->"
SECTION = re.compile(r"^# === (.+)$")
KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z_][A-Za-z0-9_]*):(?P<rest>.*)$")


def entries(text):
    """Each section and key of values.yaml, in order: ("section", title, "") or ("key" or "group", path, comment)."""
    found, comment, path = [], [], []
    # Below these, the default is one value, with keys of Kubernetes.
    whole = None
    for line in text.splitlines():
        if section := SECTION.match(line):
            found.append(("section", section[1], ""))
        elif line.strip().startswith("#"):
            comment.append(line.strip().removeprefix("#").strip())
            continue
        elif key := KEY.match(line):
            depth = len(key["indent"]) // 2
            path = [*path[:depth], key["key"]]
            if whole is not None and depth > whole:
                if not comment:
                    continue
                whole = None
            found.append(("key", ".".join(path), " ".join(comment)))
            if key["rest"].strip() == "":
                whole = depth
        comment = []
    # A key that only groups others has no default of its own.
    return [("group" if kind == "key" and any(other.startswith(f"{name}.") for _, other, _ in found) else kind, name, comment)
            for kind, name, comment in found]


def uncommented(text):
    """The keys without a comment."""
    return [path for kind, path, comment in entries(text) if kind == "key" and not comment]


def escaped(text):
    return text.replace("|", "\\|")


def unescaped_default(values, path):
    for key in path.split("."):
        values = values[key]
    return json.dumps(values, ensure_ascii=False)


def default(values, path):
    return escaped(unescaped_default(values, path))


def table(text):
    values = yaml.safe_load(text)
    lines = []
    for kind, name, comment in entries(text):
        comment = escaped(comment)
        if kind == "section":
            lines += ["", f"### {name}", "", "| Key | Default | |", "|---|---|---|"]
        elif kind == "key":
            lines.append(f"| `{name}` | `{default(values, name)}` | {comment} |")
        elif comment:
            lines.append(f"| **`{name}`** | | {comment} |")
    return "\n".join(lines[1:])


def with_table(readme, values):
    """The README with the table that belongs to these values."""
    head, rest = readme.split(START)
    return f"{head}{START}\n{table(values)}\n\n{END}{rest.split(END)[1]}"


def defaults(text):
    """The default of each key with a comment, by its path."""
    values = yaml.safe_load(text)
    lines = [f"{name}: {unescaped_default(values, name)}" for kind, name, _ in entries(text) if kind == "key"]
    return "\n".join(["# The defaults of values.yaml; scripts/chart-test.sh --readme writes this.", *lines, ""])


if __name__ == "__main__":
    file, values_file, defaults_file = map(pathlib.Path, sys.argv[1:])
    file.write_text(with_table(file.read_text(), values_file.read_text()))
    defaults_file.write_text(defaults(values_file.read_text()))
