"""Strict validation: against the schemas of several Kubernetes versions, and against crds.yaml for what those lack."""

import functools
import json
import pathlib
import re

import jsonschema
import kubernetes_validate
import yaml
from referencing import Registry, Resource

# The oldest version that the chart supports, the newest that there is a schema for, and some in between.
VERSIONS = ("1.27", "1.30", "1.33", "1.37")
SCHEMAS = pathlib.Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
CRDS = yaml.safe_load((pathlib.Path(__file__).parent / "crds.yaml").read_text())


@functools.lru_cache(maxsize=None)
def definitions(version):
    return json.loads((SCHEMAS / f"v{version}.0-local-strict" / "_definitions.json").read_text())


@functools.lru_cache(maxsize=None)
def validator(version, api_version, kind):
    """The validator of a kind, or None if Kubernetes itself does not know it."""
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    file = SCHEMAS / f"v{version}.0-local-strict" / f"{kind.lower()}-{group}.json"
    if not file.exists():
        return None
    registry = Resource.from_contents(definitions(version)) @ Registry()
    registry = Resource.from_contents(json.loads(file.read_text())) @ registry
    return jsonschema.Draft202012Validator(json.loads(file.read_text()), registry=registry)


@functools.lru_cache(maxsize=None)
def own_validator(api_version, kind):
    spec = CRDS["kinds"].get(f"{api_version} {kind}")
    if spec is None:
        return None
    return jsonschema.Draft202012Validator({
        "definitions": CRDS["definitions"],
        "type": "object",
        "additionalProperties": False,
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {"apiVersion": {}, "kind": {}, "metadata": {"$ref": "#/definitions/metadata"}, "spec": spec},
    })


@functools.lru_cache(maxsize=None)
def problems_of(text):
    """What is wrong with an object, given as JSON."""
    found = json.loads(text)
    name = f"{found['kind']}/{found['metadata']['name']}"
    own = own_validator(found["apiVersion"], found["kind"])
    validators = [("", own)] if own else [(f" (Kubernetes {version})", validator(version, found["apiVersion"], found["kind"])) for version in VERSIONS]
    problems = []
    for where, one in validators:
        if one is None:
            problems.append(f"{name}: no schema is known for {found['apiVersion']} {found['kind']}{where}")
            continue
        for error in one.iter_errors(found):
            path = ".".join(str(part) for part in error.absolute_path)
            problems.append(f"{name}: {path}: {error.message[:300]}{where}")
    return tuple(problems)


def problems(objects):
    """What is wrong with any of the objects; each different one is looked at once."""
    return [problem for one in objects for problem in problems_of(json.dumps(one, sort_keys=True))]
