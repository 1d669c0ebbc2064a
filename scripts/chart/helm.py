#!/usr/bin/env python3
"""Helm itself, as a library, against the stand-in API server.

helm.py SWITCH=POSITION… prints what a combination of switches renders to.

HELM_DRIVER=memory must be set before Python starts: releases are then kept in the process.
"""

import asyncio
import json
import os
import pathlib
import sys
import tempfile

import yaml
from helm_sdkpy import Configuration
from helm_sdkpy.actions import Install, Uninstall, Upgrade
from helm_sdkpy.chart import Lint, Package, ReleaseTest

import cases
from apiserver import ApiServer

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "matrixbot"
VALUES = (CHART / "values.yaml").read_text()
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


class Loader(yaml.SafeLoader):
    """YAML that rejects duplicate keys."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key}", node.start_mark)
        return super().construct_mapping(node, deep)


def objects(text):
    """The objects of a manifest."""
    return [document for document in yaml.load_all(text, Loader=Loader) if document]


class Release:
    """What an installation or an upgrade rendered."""

    def __init__(self, result):
        hooks = [hook["manifest"] for hook in result.get("hooks") or []]
        self.manifest = objects(result.get("manifest") or "")
        self.hooks = [one for text in hooks for one in objects(text)]
        self.all = self.manifest + self.hooks
        self.notes = result["info"].get("notes", "")
        self.text = "\n---\n".join([result.get("manifest") or "", *hooks])

    def first(self, kind):
        return next(one for one in self.all if one["kind"] == kind)


class Cluster:
    """A namespace of a cluster of its own, in which Helm works with one chart and one release name."""

    def __init__(self, chart=CHART, namespace="monitoring", name="pager", minor=34):
        self.chart, self.name = str(chart), name
        self.api = ApiServer(minor)
        with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as file:
            file.write(self.api.kubeconfig(namespace))
        self.kubeconfig = file.name
        self.configuration = Configuration(namespace=namespace, kubeconfig=file.name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.api.close()
        os.unlink(self.kubeconfig)

    def run(self, action, *arguments, **options):
        return asyncio.run(action(self.configuration).run(*arguments, **options))

    def install(self, values):
        return Release(self.run(Install, self.name, self.chart, values=values, wait=False))

    def upgrade(self, values):
        return Release(self.run(Upgrade, self.name, self.chart, values=values, wait=False))

    def test(self):
        self.run(ReleaseTest, self.name)

    def uninstall(self):
        self.run(Uninstall, self.name, wait=False)

    def package(self, folder):
        """The path of the packaged chart."""
        return self.run(Package, self.chart, str(folder))

    def lint(self):
        """Helm's warnings and errors."""
        result = self.run(Lint, self.chart)
        # Severity 2 is a warning, 3 an error.
        return [message for message in result["Messages"] or [] if message["Severity"] >= 2] + (result["Errors"] or [])


def installed(values, chart=CHART, **cluster):
    """The release that these values make in a new cluster."""
    with Cluster(chart, **cluster) as one:
        return one.install(values)


def check(problems):
    """Fails with all problems, if there are any."""
    found = list(dict.fromkeys(problems))
    assert not found, "\n" + "\n".join(map(str, found))


if __name__ == "__main__":
    release = installed(cases.values(cases.defaults(**dict(word.split("=", 1) for word in sys.argv[1:]))))
    print(release.text)
    print(release.notes, file=sys.stderr)
