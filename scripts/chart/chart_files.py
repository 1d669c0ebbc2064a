"""The chart's files by themselves: their form, the README, the version."""

import pathlib
import re
import subprocess
import sys
import tarfile

import yaml

import cases
import helm
import readme
import references
import schemas
from paths import CHART, ROOT, VALUES


def yaml_is_tidy():
    files = [CHART / "Chart.yaml", CHART / "values.yaml", CHART / "files/alerts.yaml", CHART / "ci/alerts_test.yaml", pathlib.Path(schemas.__file__).parent / "crds.yaml"]
    rules = "{extends: default, rules: {line-length: disable, document-start: disable, braces: {max-spaces-inside: 0}, truthy: disable, comments-indentation: disable}}"
    run = subprocess.run([pathlib.Path(sys.executable).parent / "yamllint", "-s", "-f", "parsable", "-d", rules, *files], capture_output=True, text=True)
    return run.stdout.splitlines()


def lint():
    with helm.Cluster(CHART) as cluster:
        return [f"helm lint: {message}" for message in cluster.lint()]


def readme_table():
    text = (CHART / "README.md").read_text()
    if readme.with_table(text, VALUES) != text:
        yield "the table in README.md is not that of values.yaml; run scripts/chart-test.sh --readme"
    for path in readme.uncommented(VALUES):
        yield f"values.yaml says nothing about {path}"


def readme_example():
    text = (CHART / "README.md").read_text()
    block = text.split("<!-- whole values -->")[1].split("```")[1].removeprefix("yaml\n")
    values = {**yaml.safe_load(block), "registration": {"value": cases.REGISTRATION}}
    with helm.Cluster(CHART) as cluster:
        release = cluster.install(values)
    return references.problems(release.all, {}) + schemas.problems(release.all)


def version_is_the_crates():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    crate = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    for key in ("version", "appVersion"):
        if chart[key] != crate:
            yield f"{key} of Chart.yaml is {chart[key]}, the crate's version is {crate}"


def package(scratch):
    """What is published can be installed, renders the same, and brings nothing that only the tests need."""
    values = cases.values({switch: "on" if "on" in positions else next(iter(positions)) for switch, positions in cases.SWITCHES.items()})
    with helm.Cluster(CHART) as cluster:
        file = cluster.package(scratch)
        rendered = cluster.install(values).text
    with helm.Cluster(file) as cluster:
        if cluster.install(values).text != rendered:
            yield "the packaged chart renders something else"
    with tarfile.open(file) as archive:
        yield from (f"{name} is published" for name in archive.getnames() if "/ci/" in name)
