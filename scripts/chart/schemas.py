"""Strict validation: against the schemas of several Kubernetes versions, and against crds.yaml for custom resources."""

import functools
import json
import pathlib
import re

import jsonschema
import kubernetes_validate
import yaml
from referencing import Registry, Resource

# The oldest version that the chart supports, the newest with a schema, and some in between.
VERSIONS = ("1.27", "1.30", "1.33", "1.37")
SCHEMAS = pathlib.Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
CRDS = yaml.safe_load(pathlib.Path(__file__).with_name("crds.yaml").read_text())


@functools.lru_cache(maxsize=None)
def registry(version):
    definitions = json.loads((SCHEMAS / f"v{version}.0-local-strict" / "_definitions.json").read_text())
    return Resource.from_contents(definitions) @ Registry()


@functools.lru_cache(maxsize=None)
def validators(api_version, kind):
    """The validators of a kind, by what to say of their findings; None where Kubernetes does not have the kind."""
    if spec := CRDS["kinds"].get(f"{api_version} {kind}"):
        properties = {"apiVersion": {}, "kind": {}, "metadata": {"$ref": "#/definitions/metadata"}, "spec": spec}
        return {"": jsonschema.Draft202012Validator({
            "definitions": CRDS["definitions"], "type": "object", "additionalProperties": False, "required": list(properties), "properties": properties})}
    found = {}
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    for version in VERSIONS:
        file = SCHEMAS / f"v{version}.0-local-strict" / f"{kind.lower()}-{group}.json"
        schema = json.loads(file.read_text()) if file.exists() else None
        found[f" (Kubernetes {version})"] = schema and jsonschema.Draft202012Validator(
            schema, registry=Resource.from_contents(schema) @ registry(version))
    return found


@functools.lru_cache(maxsize=None)
def problems_of(text):
    """The problems of an object, given as JSON."""
    one = json.loads(text)
    name = f"{one['kind']}/{one['metadata']['name']}"
    found = []
    for where, validator in validators(one["apiVersion"], one["kind"]).items():
        if validator is None:
            found.append(f"{name}: no schema for {one['apiVersion']} {one['kind']}{where}")
            continue
        found += [f"{name}: {'.'.join(map(str, error.absolute_path))}: {error.message[:300]}{where}" for error in validator.iter_errors(one)]
    return tuple(found)


def problems(objects):
    """The problems of all objects; equal objects are validated once."""
    return [problem for one in objects for problem in problems_of(json.dumps(one, sort_keys=True))]
