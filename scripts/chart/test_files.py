"""The chart's files: their form, the README, the schema of the values, the version."""

import copy
import json
import pathlib
import re
import subprocess
import sys
import tarfile

import jsonschema
import yaml

import cases
import readme
import references
import schemas
from helm import CHART, ROOT, SCHEMA, VALUES, Cluster, check, installed

README = (CHART / "README.md").read_text()
# The chart writes these into config.yaml itself.
OWN_KEYS = re.compile(r"^(registration|database|listen)(\.|$)")
# Free lists and groups of Kubernetes: their keys have no default in values.yaml.
WITHOUT_DEFAULT = re.compile(r"^(global|imagePullSecrets\.|config\.(alertmanagers|on_call|room_lists|compatibility)\.|config\.own_heartbeat|.*Probe\.)")


def test_yaml_is_tidy():
    files = [CHART / "Chart.yaml", CHART / "values.yaml", CHART / "files/alerts.yaml", CHART / "ci/alerts_test.yaml",
             *pathlib.Path(__file__).parent.glob("*.yaml")]
    rules = ("{extends: default, rules: {line-length: disable, document-start: disable, braces: {max-spaces-inside: 0}, truthy: disable,"
             " comments-indentation: disable}}")
    run = subprocess.run([pathlib.Path(sys.executable).parent / "yamllint", "-s", "-f", "parsable", "-d", rules, *files], capture_output=True, text=True)
    check(run.stdout.splitlines())


def test_helm_lint_finds_nothing():
    with Cluster() as cluster:
        check(cluster.lint())


def test_readme_has_the_table_of_values():
    assert readme.with_table(README, VALUES) == README, "run scripts/chart-test.sh --readme"


def test_templates_have_the_defaults_of_values_yaml():
    assert (CHART / "files/defaults.yaml").read_text() == readme.defaults(VALUES), "run scripts/chart-test.sh --readme"


def test_each_value_has_a_comment():
    check(readme.uncommented(VALUES))


def test_values_of_the_readme_install():
    block = README.split("<!-- whole values -->")[1].split("```")[1].removeprefix("yaml\n")
    release = installed({**yaml.safe_load(block), "registration": {"value": cases.REGISTRATION}})
    check(references.problems(release.all, {}) + schemas.problems(release.all))


def test_packaged_chart_renders_the_same_and_has_no_test_files(tmp_path):
    values = cases.values({switch: "on" if "on" in positions else next(iter(positions)) for switch, positions in cases.SWITCHES.items()})
    with Cluster() as cluster:
        file = cluster.package(tmp_path)
        rendered = cluster.install(values).text
    assert installed(values, file).text == rendered
    with tarfile.open(file) as archive:
        check(name for name in archive.getnames() if "/ci/" in name)


def test_chart_has_the_version_of_the_crate():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    crate = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    assert {key: chart[key] for key in ("version", "appVersion")} == {"version": crate, "appVersion": crate}


# --- values.schema.json ------------------------------------------------------------------------------

def resolved(node):
    while "$ref" in node:
        node = SCHEMA["definitions"][node["$ref"].rsplit("/", 1)[1]]
    return node


def schema_keys(node, path=""):
    """Every key that a part of the schema allows, with dots; lists have no index, free names are `*`."""
    node = resolved(node)
    for key, below in node.get("properties", {}).items():
        yield f"{path}{key}"
        yield from schema_keys(below, f"{path}{key}.")
    if isinstance(node.get("additionalProperties"), dict):
        yield from schema_keys(node["additionalProperties"], f"{path}*.")
    if "items" in node:
        yield from schema_keys(node["items"], path)


def keys(node, path=""):
    for key, below in node.items() if isinstance(node, dict) else ():
        yield f"{path}{key}"
        yield from keys(below, f"{path}{key}.")
    for below in node if isinstance(node, list) else ():
        yield from keys(below, path)


def is_open(path):
    """Whether the schema allows every key below this path, as for resources."""
    node = SCHEMA
    for key in path.split("."):
        node = resolved(resolved(node).get("properties", {}).get(key, {}))
    return node.get("additionalProperties", True) is not False and "properties" not in node


def test_schema_has_the_keys_of_values_yaml():
    values, known = set(keys(yaml.safe_load(VALUES))), set(schema_keys(SCHEMA))
    parents = lambda path: (path[:match.start()] for match in re.finditer(r"\.", path))  # noqa: E731
    check(f"values.schema.json lacks {path}" for path in values - known if not any(map(is_open, parents(path))))
    check(f"values.yaml lacks {path}" for path in known - values if not WITHOUT_DEFAULT.match(path))


def test_schema_has_the_keys_of_config_yaml():
    program = json.loads((ROOT / "docs" / "config.schema.json").read_text())
    wanted = {path for path in schema_keys(program) if not OWN_KEYS.match(path)}
    known = set(schema_keys(SCHEMA["properties"]["config"]))
    check([f"config.{path} cannot be set" for path in sorted(wanted - known)] + [f"config.{path} is no key of config.yaml" for path in sorted(known - wanted)])


def places(node, schema, path=()):
    """The path of every map whose keys the schema knows."""
    schema = resolved(schema)
    if isinstance(node, dict):
        if "properties" in schema:
            yield path
        for key, below in node.items():
            yield from places(below, schema.get("properties", {}).get(key, {}), (*path, key))
    elif isinstance(node, list):
        for index, below in enumerate(node):
            yield from places(below, schema.get("items", {}), (*path, index))


def test_schema_rejects_a_typo_everywhere():
    validator = jsonschema.Draft7Validator(SCHEMA)
    values = cases.overlay(yaml.safe_load(VALUES), cases.values({"config": "rich"}))
    check(error.message for error in validator.iter_errors(values))
    for path in places(values, SCHEMA):
        wrong = node = copy.deepcopy(values)
        for key in path:
            node = node[key]
        node["typo"] = "x"
        assert not validator.is_valid(wrong), f"a typo in {path} is accepted"
