"""A copy of the repository in which the pipeline's scripts run, with stand-ins for the tools that they use."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOLS = ("docker", "kind", "kubectl", "helm", "doctl", "curl")
SECRETS = {
    "DIGITALOCEAN_ACCESS_TOKEN": "secret-of-digitalocean",
    "MATRIXBOT_ACCESS_TOKEN": "secret-of-the-appservice-0123456789abcdef",
    "MATRIXBOT_ALERT_SERVICE_ID": "secret-of-the-webhooks",
    "GITHUB_BOT_TOKEN": "secret-of-github",
    "DOCKER_USER": "secret-account",
    "DOCKER_PASSWORD": "secret-of-docker",
}
PACKAGES = ("matrixbot.cdx.json", "matrixbot_1.2.3-1_amd64.deb")
CHANGELOG = """# Changelog

## Unreleased

- [FEATURE] chart: Do what is not out yet.

## 1.2.3 2026-11-24

- [BUGFIX] outbox: Fix "this".
- [CHANGE] config: Call `a` `b`.

## 1.2.2 2026-11-01

- [FEATURE] chart: Do what is old.
"""


def text(path):
    return (ROOT / path).read_text()


class Ran:
    """A run of a script: its exit status, its output, and the calls of tools."""

    def __init__(self, run, calls):
        self.status, self.out, self.err, self.calls = run.returncode, run.stdout, run.stderr, calls
        self.output = run.stdout + run.stderr
        self.commands = [" ".join(call["words"]) for call in calls]

    def __str__(self):
        return f"exit status {self.status}\n{self.output}\n" + "\n".join(self.commands)

    def called(self, start):
        """The calls that begin like this."""
        return [call for call, command in zip(self.calls, self.commands) if command.startswith(start)]

    def succeeds(self):
        assert self.status == 0, str(self)
        return self

    def fails(self, *expected):
        """It failed, and printed each of these."""
        assert self.status != 0, str(self)
        assert [part for part in expected if part not in self.output] == [], str(self)
        return self

    def prints_no_secret(self, *allowed):
        """No secret is in the output or on a command line."""
        printed = self.output + "\n".join(self.commands)
        assert [name for name, value in SECRETS.items() if value in printed and name not in allowed] == [], printed
        return self

    def calls_nothing(self):
        assert self.commands == []
        return self


class World:
    """Version 1.2.3 of the repository, ready to be released."""

    def __init__(self, folder):
        self.folder, self.root, self.tmp = folder, folder / "repository", folder / "tmp"
        for path in ("scripts", "charts", "deploy"):
            shutil.copytree(ROOT / path, self.root / path, ignore=shutil.ignore_patterns("__pycache__", "secrets"))
        for path in ("Cargo.toml", "Cargo.lock", "compose.yaml", "registration.yaml.example"):
            shutil.copy(ROOT / path, self.root / path)
        version = next(line.split('"')[1] for line in text("Cargo.toml").splitlines() if line.startswith("version = "))
        self.edit("Cargo.toml", f'\nversion = "{version}"', '\nversion = "1.2.3"')
        self.edit("Cargo.lock", f'name = "matrixbot"\nversion = "{version}"', 'name = "matrixbot"\nversion = "1.2.3"')
        self.edit("charts/matrixbot/Chart.yaml", version, "1.2.3")
        self.edit("compose.yaml", f"MATRIXBOT_VERSION:-{version}", "MATRIXBOT_VERSION:-1.2.3")
        (self.root / "CHANGELOG.md").write_text(CHANGELOG)
        for name in ("repository/artifacts", "tools", "tmp"):
            (folder / name).mkdir()
        for name in PACKAGES:
            (self.root / "artifacts" / name).write_text(f"content of {name}")
        # Run by this Python, and without the modules that it would load at each start.
        stand_in = folder / "stand-in"
        stand_in.write_text(f"#!{sys.executable} -IS\n" + text("scripts/pipeline/stand_in.py"))
        stand_in.chmod(0o755)
        for tool in TOOLS:
            (folder / "tools" / tool).symlink_to(stand_in)

    def edit(self, path, old, new):
        before = (self.root / path).read_text()
        assert old in before, f"{path} does not contain {old!r}"
        (self.root / path).write_text(before.replace(old, new))

    def run(self, script, *arguments, answers=(), secrets=True, **environment):
        """Runs a script; `answers` are those of the stand-ins."""
        (self.folder / "answers").write_text(json.dumps([[*answer, "", ""][:4] for answer in answers]))
        calls = self.folder / "calls"
        calls.write_text("")
        inherited = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
        run = subprocess.run(
            [self.root / "scripts" / script, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60,
            env={**inherited, **(SECRETS if secrets else {}), "STAND_IN": str(self.folder), "MATRIXBOT_TOOLS": str(self.folder / "tools"),
                 "PATH": f"{self.folder / 'tools'}:{inherited['PATH']}", "TMPDIR": str(self.tmp), **environment})
        return Ran(run, [json.loads(line) for line in calls.read_text().splitlines()])

    def leaves_nothing(self):
        """No script has left a file where it keeps its own."""
        assert list(self.tmp.iterdir()) == []
