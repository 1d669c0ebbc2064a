"""Helm itself, as a library, against the stand-in API server."""

import asyncio
import contextlib
import io
import os
import sys
import tempfile

import yaml

# Releases are kept in the process: how Helm stores them is not what is tried here. Helm reads this when it is loaded.
if os.environ.get("HELM_DRIVER") != "memory":
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "HELM_DRIVER": "memory"})

from helm_sdkpy import Configuration  # noqa: E402
from helm_sdkpy.actions import Install, Uninstall, Upgrade  # noqa: E402
from helm_sdkpy.chart import Lint, Package, ReleaseTest  # noqa: E402

from apiserver import ApiServer  # noqa: E402


class Loader(yaml.SafeLoader):
    """YAML that refuses a key that is there twice."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def objects(text):
    """The objects of a manifest."""
    return [document for document in yaml.load_all(text, Loader=Loader) if document]


class Release:
    """What an installation or an upgrade made."""

    def __init__(self, result):
        self.manifest = objects(result["manifest"])
        self.hooks = [hook for text in result.get("hooks") or [] for hook in objects(text["manifest"])]
        self.notes = result["info"].get("notes", "")
        self.text = result["manifest"] + "".join(f"\n---\n{hook['manifest']}" for hook in result.get("hooks") or [])

    @property
    def all(self):
        return self.manifest + self.hooks


class Cluster:
    """A namespace of a cluster of its own that Helm works on."""

    def __init__(self, chart, namespace="monitoring", name="pager", minor=34):
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

    def install(self, values):
        return Release(asyncio.run(Install(self.configuration).run(self.name, self.chart, values=values, wait=False)))

    def upgrade(self, values):
        return Release(asyncio.run(Upgrade(self.configuration).run(self.name, self.chart, values=values, wait=False)))

    def test(self):
        asyncio.run(ReleaseTest(self.configuration).run(self.name))

    def uninstall(self):
        asyncio.run(Uninstall(self.configuration).run(self.name, wait=False))

    def package(self, folder):
        """The chart as it is published: the file's path."""
        return asyncio.run(Package(self.configuration).run(self.chart, str(folder)))

    def lint(self):
        result = asyncio.run(Lint(self.configuration).run(self.chart))
        # Severity 3 is an error, 2 a warning.
        return [message for message in result["Messages"] or [] if message["Severity"] >= 2] + (result["Errors"] or [])
