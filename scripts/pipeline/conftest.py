"""Fixtures of the pipeline's tests."""

import shutil

import pytest

from world import World


@pytest.fixture
def world(tmp_path):
    yield World(tmp_path)
    shutil.rmtree(tmp_path / "repository")
