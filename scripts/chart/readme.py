"""The table of values in the chart's README.md, made from the comments in values.yaml."""

import json
import re

import yaml

START, END = "<!-- values: made by scripts/chart-test.sh --readme -->", "<!-- end of values -->"
SECTION = re.compile(r"^# === (.+)$")
KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z_][A-Za-z0-9_]*):(?P<rest>.*)$")


def entries(text):
    """Each key of values.yaml in its order: ("section", title) or ("key", path, comment, whether it has keys below)."""
    found, comment, path = [], [], []
    # Below these, the default is one value: whoever changes it knows Kubernetes' keys.
    whole = None
    for line in text.splitlines():
        section = SECTION.match(line)
        key = KEY.match(line)
        if section:
            found.append(("section", section[1]))
            comment = []
        elif line.strip().startswith("#"):
            comment.append(line.strip().removeprefix("#").strip())
        elif key:
            depth = len(key["indent"]) // 2
            path = [*path[:depth], key["key"]]
            if whole is not None and depth > whole:
                if not comment:
                    continue
                whole = None
            found.append(("key", ".".join(path), " ".join(comment), key["rest"].strip() == ""))
            if key["rest"].strip() == "":
                whole = depth
            comment = []
        else:
            comment = []
    return found


def leaves(text):
    """The keys as people set them: a key that only groups others is not among them."""
    all_entries = entries(text)
    paths = [entry[1] for entry in all_entries if entry[0] == "key"]
    result = []
    for entry in all_entries:
        if entry[0] == "section":
            result.append(entry)
            continue
        _, path, comment, _ = entry
        groups = any(other.startswith(f"{path}.") for other in paths)
        result.append(("group" if groups else "key", path, comment))
    return result


def uncommented(text):
    """Keys without a word about them."""
    return [path for kind, path, *rest in [entry for entry in leaves(text) if entry[0] == "key"] if not rest[0]]


def value_at(values, path):
    for key in path.split("."):
        values = values[key]
    return values


def table(text):
    values = yaml.safe_load(text)
    lines = []
    for entry in leaves(text):
        if entry[0] == "section":
            lines += ["", f"### {entry[1]}", "", "| Key | Default | |", "|---|---|---|"]
        elif entry[0] == "group":
            if entry[2]:
                lines.append(f"| **`{entry[1]}`** | | {escaped(entry[2])} |")
        else:
            default = json.dumps(value_at(values, entry[1]), ensure_ascii=False)
            lines.append(f"| `{entry[1]}` | `{escaped(default)}` | {escaped(entry[2])} |")
    return "\n".join(lines[1:])


def escaped(text):
    return text.replace("|", "\\|")


def with_table(readme, values_text):
    """The README with the table as it should be."""
    head, rest = readme.split(START)
    _, tail = rest.split(END)
    return f"{head}{START}\n{table(values_text)}\n\n{END}{tail}"
