"""A copy of the repository in which the pipeline's scripts run, with stand-ins for the tools that they use."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

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

- [BUGFIX] outbox: Mend "this".
- [CHANGE] config: Call `a` `b`.

## 1.2.2 2026-11-01

- [FEATURE] chart: Do what is old.
"""


class Ran:
    """What a script did: its exit status, what it said, and which tools it called."""

    def __init__(self, run, calls):
        self.status, self.out, self.err, self.calls = run.returncode, run.stdout, run.stderr, calls
        self.said = run.stdout + run.stderr
        self.commands = [" ".join(call["words"]) for call in calls]

    def __str__(self):
        return f"exit status {self.status}\n{self.said}\n" + "\n".join(self.commands)

    def called(self, start):
        """The calls that begin so."""
        return [call for call, command in zip(self.calls, self.commands) if command.startswith(start)]


class World:
    """Version 1.2.3 of the repository, ready to be released."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="matrixbot-pipeline."))
        self.root = self.folder / "repository"
        for path in ("scripts", "charts", "deploy"):
            shutil.copytree(ROOT / path, self.root / path, ignore=shutil.ignore_patterns("__pycache__", "secrets"))
        for path in ("Cargo.toml", "Cargo.lock", "compose.yaml", "registration.yaml.example"):
            shutil.copy(ROOT / path, self.root / path)
        version = next(line.split('"')[1] for line in (ROOT / "Cargo.toml").read_text().splitlines() if line.startswith("version = "))
        self.edit("Cargo.toml", f'\nversion = "{version}"', '\nversion = "1.2.3"')
        self.edit("Cargo.lock", f'name = "matrixbot"\nversion = "{version}"', 'name = "matrixbot"\nversion = "1.2.3"')
        self.edit("charts/matrixbot/Chart.yaml", version, "1.2.3")
        self.edit("compose.yaml", f"MATRIXBOT_VERSION:-{version}", "MATRIXBOT_VERSION:-1.2.3")
        (self.root / "CHANGELOG.md").write_text(CHANGELOG)
        (self.root / "artifacts").mkdir()
        for name in PACKAGES:
            (self.root / "artifacts" / name).write_text(f"what {name} holds")
        (self.folder / "tools").mkdir()
        (self.folder / "tmp").mkdir()
        # By this very Python, and without what it would look for at each start.
        stand_in = self.folder / "stand-in"
        stand_in.write_text(f"#!{sys.executable} -IS\n" + (ROOT / "scripts/pipeline/stand_in.py").read_text())
        stand_in.chmod(0o755)
        for tool in TOOLS:
            (self.folder / "tools" / tool).symlink_to(stand_in)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder)

    def edit(self, path, old, new):
        text = (self.root / path).read_text()
        assert old in text, f"{path} does not hold {old!r}"
        (self.root / path).write_text(text.replace(old, new))

    def run(self, script, *arguments, answers=(), secrets=True, **environment):
        """Runs a script; `answers` is what the stand-ins say."""
        (self.folder / "answers").write_text(json.dumps([[pattern, *rest, *["", ""][len(rest) - 1:]] for pattern, *rest in answers]))
        calls = self.folder / "calls"
        calls.write_text("")
        surroundings = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
        run = subprocess.run(
            [self.root / "scripts" / script, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60,
            env={**surroundings, **(SECRETS if secrets else {}), "STAND_IN": str(self.folder), "MATRIXBOT_TOOLS": str(self.folder / "tools"),
                 "PATH": f"{self.folder / 'tools'}:{surroundings['PATH']}", "TMPDIR": str(self.folder / "tmp"), **environment})
        return Ran(run, [json.loads(line) for line in calls.read_text().splitlines()])

    def left_behind(self):
        """What a script has left where it keeps what is for itself."""
        return [path.name for path in (self.folder / "tmp").iterdir()]


def succeeds(ran):
    return [] if ran.status == 0 else [f"it failed: {ran}"]


def fails(ran, *expected):
    """Whether it failed, and said each of these."""
    if ran.status == 0:
        return [f"it did not fail: {ran}"]
    return [f"{part!r} is missing in: {ran.said}" for part in expected if part not in ran.said]


def tells_no_secret(ran, *allowed):
    """Whether no secret is in what was said, and on no command line."""
    told = ran.said + "\n".join(ran.commands)
    return [f"{name} can be read in: {told}" for name, value in SECRETS.items() if value in told and name not in allowed]
