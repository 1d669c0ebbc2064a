"""values.schema.json: it knows every key, and refuses every other."""

import copy
import json
import re

import yaml

import cases
import schemas
from paths import ROOT, SCHEMA, VALUES

# What the chart writes into config.yaml itself, and people therefore do not.
OWN_KEYS = re.compile(r"^(registration|database|listen|room_lists\.webhook_token_file)(\.|$)")


def resolved(node):
    while "$ref" in node:
        node = SCHEMA["definitions"][node["$ref"].rsplit("/", 1)[1]]
    return node


def schema_keys(node, path=""):
    """Every key that a part of the schema allows, with dots; below lists without an index, below free names `*`."""
    node = resolved(node)
    for key, below in node.get("properties", {}).items():
        yield f"{path}{key}"
        yield from schema_keys(below, f"{path}{key}.")
    if isinstance(node.get("additionalProperties"), dict):
        yield from schema_keys(node["additionalProperties"], f"{path}*.")
    if "items" in node:
        yield from schema_keys(node["items"], path)


def keys(node, path=""):
    if isinstance(node, dict):
        for key, below in node.items():
            yield f"{path}{key}"
            yield from keys(below, f"{path}{key}.")
    elif isinstance(node, list):
        for below in node:
            yield from keys(below, path)


def schema_has_the_values():
    values = set(keys(yaml.safe_load(VALUES)))
    known = set(schema_keys(SCHEMA))
    free = [path for path in values if path not in known]
    # A free map (such as resources) may hold anything.
    yield from (f"values.schema.json lacks {path}" for path in free if not any(is_open(p) for p in parents(path)))
    # What lists hold has no default.
    lists = re.compile(r"^(global|imagePullSecrets\.|config\.(alertmanagers|room_lists|compatibility)\.|.*Probe\.)")
    yield from (f"values.yaml lacks {path}" for path in known if path not in values and not lists.match(path))


def parents(path):
    parts = path.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


def is_open(path):
    node = SCHEMA
    for key in path.split("."):
        node = resolved(resolved(node).get("properties", {}).get(key, {}))
    return node.get("additionalProperties", True) is not False and "properties" not in node


def schema_has_the_configuration():
    """Every key of config.yaml can be set by `config`, and no other."""
    program = json.loads((ROOT / "docs" / "config.schema.json").read_text())
    there = {path for path in schema_keys(program) if not OWN_KEYS.match(path)}
    known = set(schema_keys(SCHEMA["properties"]["config"]))
    yield from (f"config.{path} of config.yaml cannot be set" for path in sorted(there - known))
    yield from (f"config.{path} is no key of config.yaml" for path in sorted(known - there))


def schema_refuses_typos():
    """A key that is not known is refused, wherever it is."""
    validator = schemas.jsonschema.Draft7Validator(SCHEMA)
    base = cases.overlay(yaml.safe_load(VALUES), cases.values({"config": "rich"}))
    errors = [error.message for error in validator.iter_errors(base)]
    if errors:
        yield f"good values are refused: {errors}"

    def places(node, schema, path):
        schema = resolved(schema)
        if isinstance(node, dict):
            if "properties" in schema:
                yield path
            for key, below in node.items():
                yield from places(below, schema.get("properties", {}).get(key, {}), [*path, key])
        elif isinstance(node, list):
            for index, below in enumerate(node):
                yield from places(below, schema.get("items", {}), [*path, index])

    for path in places(base, SCHEMA, []):
        wrong = copy.deepcopy(base)
        node = wrong
        for key in path:
            node = node[key]
        node["typo"] = "x"
        if validator.is_valid(wrong):
            yield f"a typo in {'.'.join(map(str, path)) or 'the values'} is not refused"
