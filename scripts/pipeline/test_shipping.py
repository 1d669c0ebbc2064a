"""image.sh, Dockerfile, compose.yaml, compose-secrets.sh, CircleCI, the tools that are downloaded, and ports."""

import fnmatch
import os
import re
import shutil
import subprocess

import pytest
import yaml

from world import ROOT, TOOLS, text


def matrixbot_accepts(config, folder):
    """`matrixbot check` accepts the configuration."""
    if not os.environ.get("MATRIXBOT_BINARY"):
        pytest.skip("no matrixbot binary (MATRIXBOT_BINARY)")
    (folder / "config.yaml").write_text(config)
    run = subprocess.run([os.environ["MATRIXBOT_BINARY"], "check", "--config", "config.yaml"], capture_output=True, text=True, cwd=folder)
    assert run.returncode == 0, run.stderr


# --- the image ---------------------------------------------------------------------------------------

def test_image_is_as_old_as_its_commit(world):
    ran = world.run("image.sh", "--dry-run", "build", "matrixbot", SOURCE_DATE_EPOCH="1700000000", REVISION="abc1234").succeeds().calls_nothing()
    for part in ("CREATED=2023-11-14T22:13:20Z", "SOURCE_DATE_EPOCH=1700000000", "REVISION=abc1234", "VERSION=1.2.3", "--tag matrixbot "):
        assert part in ran.out


def test_image_can_be_of_another_platform_and_snapshot(world):
    ran = world.run("image.sh", "--dry-run", "build", "matrixbot", "linux/arm64", SNAPSHOT="20261101T000000Z").calls_nothing()
    assert "SNAPSHOT=20261101T000000Z" in ran.out and "--platform linux/arm64" in ran.out


SMALL, NO_SHELL = ("docker image inspect", 0, "25000000 65532:65532\n"), ("--entrypoint /bin/sh", 127)


def test_image_that_keeps_its_promises_is_accepted(world):
    world.run("image.sh", "check", "matrixbot", answers=[SMALL, NO_SHELL]).succeeds()


@pytest.mark.parametrize("answers, message", [
    pytest.param([SMALL], "has a shell", id="shell"),
    pytest.param([("docker image inspect", 0, "25000001 65532:65532\n"), NO_SHELL], "more than 25000000", id="size"),
    pytest.param([("docker image inspect", 0, "1 \n"), NO_SHELL], "runs as root", id="root"),
    pytest.param([("--version", 1), SMALL, NO_SHELL], "", id="does-not-run"),
])
def test_image_that_breaks_its_promises_is_refused(world, answers, message):
    world.run("image.sh", "check", "matrixbot", answers=answers).fails(message)


def test_sources_of_the_program_are_in_the_context_of_the_image():
    kept = [line[1:] for line in text(".dockerignore").splitlines() if line.startswith("!")]
    needed = {"Cargo.toml", "Cargo.lock", "src/main.rs", "LICENSE", "packaging/THIRD-PARTY.md", "migrations", "sqlx.toml", ".sqlx", "scripts/lib/image-root.sh"}
    needed |= {name for name in ("build.rs",) if (ROOT / name).exists()}
    for source in (ROOT / "src").rglob("*.rs"):
        # A release is built without tests.
        if source.name != "tests.rs" and "tests" not in source.relative_to(ROOT).parts:
            included = re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', source.read_text())
            needed |= {str((source.parent / path).resolve().relative_to(ROOT)) for path in included}
    # Only tests include what lies in tests/.
    needed = {path for path in needed if not path.startswith("tests/")}
    assert [path for path in needed if not (ROOT / path).exists()] == []
    assert [path for path in needed if not any(path == one or path.startswith(f"{one}/") or fnmatch.fnmatch(path, one) for one in kept)] == []


def test_cargo_accepts_the_manifest_without_tests(tmp_path):
    (tmp_path / "src").mkdir()
    shutil.copy(ROOT / "Cargo.toml", tmp_path)
    (tmp_path / "src/lib.rs").touch()
    (tmp_path / "src/main.rs").write_text("fn main() {}\n")
    expression = re.search(r"sed -i '([^']+)' Cargo.toml", text("Dockerfile"))[1]
    subprocess.run(["sed", "-i", expression, "Cargo.toml"], check=True, cwd=tmp_path)
    assert not re.search(r"^\[\[(test|bench|example)", (tmp_path / "Cargo.toml").read_text(), re.M)
    if shutil.which("cargo"):
        run = subprocess.run(["cargo", "metadata", "--no-deps", "--offline", "--format-version", "1"], capture_output=True, text=True, cwd=tmp_path)
        assert run.returncode == 0, run.stderr


def test_every_build_has_the_same_rust():
    found = [set(re.findall(r"\brust:(\d+\.\d+\.\d+)", text(path))) for path in ("Dockerfile", ".circleci/config.yml")]
    if (ROOT / "rust-toolchain.toml").exists():
        found.append(set(re.findall(r'^channel = "(.+)"', text("rust-toolchain.toml"), re.M)))
    assert all(found) and len(set.union(*found)) == 1


# --- CircleCI ----------------------------------------------------------------------------------------

CIRCLECI = yaml.safe_load(text(".circleci/config.yml"))
# Workflow to job to options.
WORKFLOWS = {name: {job: options for entry in workflow["jobs"] for job, options in ([(entry, {})] if isinstance(entry, str) else entry.items())}
             for name, workflow in CIRCLECI["workflows"].items()}
PUSH, TAG = WORKFLOWS["pull-request"], WORKFLOWS["release"]


def before(job):
    """The jobs of a tag that this one waits for."""
    needed = set(TAG[job].get("requires", []))
    return needed.union(*(before(one) for one in needed))


@pytest.mark.parametrize("name", WORKFLOWS)
def test_jobs_of_a_workflow_exist(name):
    assert set(WORKFLOWS[name]) <= set(CIRCLECI["jobs"])
    assert {needed for options in WORKFLOWS[name].values() for needed in options.get("requires", [])} <= set(WORKFLOWS[name])


def test_tag_is_published_after_the_jobs_of_a_push_and_then_deployed():
    assert {*PUSH, "releaseCheck"} <= before("publish")
    assert "publish" in before("deploy")


@pytest.mark.parametrize("job", TAG)
def test_job_of_a_release_runs_on_tags_only_and_has_the_secrets_it_needs(job):
    filters = TAG[job].get("filters", {})
    # Without a filter, CircleCI runs a job for no tag at all.
    assert filters["branches"] == {"ignore": "/.*/"}
    pattern = filters["tags"]["only"].strip("/")
    assert [bool(re.search(pattern, tag)) for tag in ("v1.2.3", "v1.2.3-rc1", "1.2.3")] == [True, False, False]
    assert ("context" in TAG[job]) == (job in ("releaseCheck", "publish", "deploy"))


@pytest.mark.parametrize("job", CIRCLECI["jobs"])
def test_job_runs_scripts_that_exist(job):
    for step in CIRCLECI["jobs"][job]["steps"]:
        if isinstance(step, dict) and "run" in step:
            assert (ROOT / step["run"]["command"].split()[0]).stat().st_mode & 0o100


# --- tools -------------------------------------------------------------------------------------------

def test_tools_have_versions_and_checksums():
    script = ("source scripts/lib/versions.sh; echo $NODE_IMAGE; for t in kind kubectl helm doctl; do for a in amd64 arm64; do"
              ' echo "$t $a $(tool_version $t) $(tool_sum $t $a) $(tool_url $t $a)"; done; done')
    node, *lines = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, cwd=ROOT).stdout.splitlines()
    versions = {}
    for tool, architecture, version, *rest in map(str.split, lines):
        versions[tool] = version
        if (tool, architecture) != ("doctl", "arm64"):
            checksum, url = rest
            assert re.fullmatch("[0-9a-f]{64}", checksum) and version in url and architecture in url
    assert len(lines) == 8
    assert re.fullmatch(rf"kindest/node:{re.escape(versions['kubectl'])}@sha256:[0-9a-f]{{64}}", node)


def test_tool_with_another_checksum_is_not_used(world):
    cache = world.folder / "cache"
    ran = world.run("integration-tests.sh", answers=[("curl", 0, "something else"), ("kind", 0)], MATRIXBOT_TOOLS="", MATRIXBOT_CACHE=str(cache)).fails("Fetching kind")
    assert [name for name in TOOLS if name != "curl" and ran.called(name)] == []
    assert [path for path in cache.rglob("*") if path.is_file()] == []


# --- compose -----------------------------------------------------------------------------------------

COMPOSE = yaml.safe_load(text("compose.yaml"))


def make_secrets(world, *arguments):
    return world.run("compose-secrets.sh", *arguments, COMPOSE_SECRETS=str(world.folder / "secrets"))


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_secrets_for_compose_are_made_once_and_for_nobody_else(world):
    folder = world.folder / "secrets"
    ran = make_secrets(world, "--server-name", "matrix.example.net", "--url", "https://bot.example.net").succeeds()
    made = contents(folder)
    assert set(made) == {entry["file"].rpartition("/")[2] for entry in COMPOSE["secrets"].values()}
    # Others cannot look into the folder, but the user of a container can read the files.
    assert not folder.stat().st_mode & 0o77 and all(path.stat().st_mode & 0o444 == 0o444 for path in folder.iterdir())
    password, registration = made["database-password"], yaml.safe_load(made["registration.yaml"])
    assert len(password) == len(made["webhook-token"]) == 64
    assert made["database-url"] == f"postgres://matrixbot:{password}@postgres/matrixbot"
    assert registration["url"] == "https://bot.example.net"
    assert registration["namespaces"]["users"][0]["regex"] == r"@_alerts_.*:matrix\.example\.net$"
    assert len({registration["as_token"], registration["hs_token"], password}) == 3 and "REPLACE" not in made["registration.yaml"]
    assert password not in ran.output and registration["as_token"] not in ran.output
    # The second time, they stay.
    make_secrets(world, "--server-name", "other.example.net").succeeds()
    assert contents(folder) == made


def test_secrets_for_compose_need_a_server_name(world):
    make_secrets(world).fails("--server-name is missing")
    make_secrets(world, "--server-name", "a|b").fails("is not a homeserver name")


def test_configuration_for_compose_finds_its_secrets_and_is_accepted(world):
    make_secrets(world, "--server-name", "example.org")
    service, config = COMPOSE["services"]["matrixbot"], text("deploy/compose/config.yaml")
    for name in re.findall(r"/run/secrets/([\w-]+)", config):
        assert name in service["secrets"]
        file = COMPOSE["secrets"][name]["file"].rpartition("/")[2]
        config = config.replace(f"/run/secrets/{name}", str(world.folder / "secrets" / file))
    assert {entry.rsplit(":", 1)[1] for entry in service["ports"]} == set(re.findall(r"0\.0\.0\.0:(\d+)", config))
    assert f"MATRIXBOT_CONFIG={service['configs'][0]['target']}" in text("Dockerfile")
    matrixbot_accepts(config, world.folder)


def test_registration_of_production_is_accepted(world):
    world.run("deploy.sh", "--registration", str(world.folder / "registration.yaml")).succeeds()
    config = {**yaml.safe_load(text("deploy/production.yaml"))["config"], "registration": "registration.yaml", "database": {"url": "postgres://a@b/c"}}
    for room_list in config["room_lists"]:
        room_list["webhook_token"] = "a"
    matrixbot_accepts(yaml.safe_dump(config), world.folder)


# --- ports -------------------------------------------------------------------------------------------

def test_a_port_is_chosen_once_although_nobody_listens_yet(tmp_path):
    choose = "source scripts/lib/common.sh; for ((i = 0; i < 300; i++)); do free_port; done"
    ran = subprocess.run(["bash", "-c", choose], capture_output=True, text=True, check=True, cwd=ROOT, env={**os.environ, "MATRIXBOT_CACHE": str(tmp_path)})
    ports = ran.stdout.split()
    assert len(ports) == 300 and len(set(ports)) == 300
