"""image.sh, Dockerfile, compose.yaml, compose-secrets.sh, and the tools that are fetched."""

import fnmatch
import re
import shutil
import subprocess

from ruamel.yaml import YAML

from world import ROOT, TOOLS, World, fails, succeeds

# A matrixbot for `matrixbot check`, if there is one.
BINARY = None


def text(path):
    return (ROOT / path).read_text()


def accepted(world, config):
    """What `matrixbot check` says against a configuration in the world's folder."""
    if not BINARY:
        return []
    run = subprocess.run([BINARY, "check", "--config", config], capture_output=True, text=True, cwd=world.folder)
    return [] if run.returncode == 0 else [run.stderr]


# --- the image ---------------------------------------------------------------------------------------

def an_image_is_as_old_as_its_commit():
    with World() as world:
        ran = world.run("image.sh", "--dry-run", "build", "matrixbot", SOURCE_DATE_EPOCH="1700000000", REVISION="abc1234")
        yield from succeeds(ran)
        for part in ("CREATED=2023-11-14T22:13:20Z", "SOURCE_DATE_EPOCH=1700000000", "REVISION=abc1234", "VERSION=1.2.3", "--tag matrixbot "):
            if part not in ran.out:
                yield f"{part!r} is missing in: {ran.out}"
        again = world.run("image.sh", "--dry-run", "build", "matrixbot", "linux/arm64", SNAPSHOT="20261101T000000Z")
        for part in ("SNAPSHOT=20261101T000000Z", "--platform linux/arm64"):
            if part not in again.out:
                yield f"{part!r} is missing in: {again.out}"
        yield from (f"{command} was called" for command in ran.commands + again.commands)


def an_image_that_is_not_what_it_should_be_is_refused():
    size, shell = ("docker image inspect", 0, "25000000 65532:65532\n"), ("--entrypoint /bin/sh", 127)
    with World() as world:
        yield from succeeds(world.run("image.sh", "check", "matrixbot", answers=[size, shell]))
        yield from fails(world.run("image.sh", "check", "matrixbot", answers=[size]), "has a shell")
        yield from fails(world.run("image.sh", "check", "matrixbot", answers=[("docker image inspect", 0, "25000001 65532:65532\n"), shell]), "more than 25000000")
        yield from fails(world.run("image.sh", "check", "matrixbot", answers=[("docker image inspect", 0, "1 \n"), shell]), "runs as root")
        yield from fails(world.run("image.sh", "check", "matrixbot", answers=[("--version", 1), size, shell]))


def what_the_program_is_built_from_is_in_the_images_context():
    kept = [line[1:] for line in text(".dockerignore").splitlines() if line.startswith("!")]
    needed = {"Cargo.toml", "Cargo.lock", "src/main.rs", "LICENSE", "packaging/THIRD-PARTY.md", "migrations", "sqlx.toml", ".sqlx", "scripts/lib/image-root.sh"}
    for source in (ROOT / "src").rglob("*.rs"):
        # A release is built without tests.
        if source.name == "tests.rs" or "tests" in source.relative_to(ROOT).parts:
            continue
        for included in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', source.read_text()):
            path = str((source.parent / included).resolve().relative_to(ROOT))
            # What lies there, only tests include.
            if not path.startswith("tests/"):
                needed.add(path)
    needed |= {name for name in ("build.rs",) if (ROOT / name).exists()}
    for path in sorted(needed):
        if not any(path == one or path.startswith(f"{one}/") or fnmatch.fnmatch(path, one) for one in kept):
            yield f"{path} is needed, and .dockerignore leaves it out"
        if not (ROOT / path).exists():
            yield f"{path} is not there"


def the_manifest_without_tests_is_one_that_cargo_accepts():
    expression = re.search(r"sed -i '([^']+)' Cargo.toml", text("Dockerfile"))[1]
    with World() as world:
        crate = world.folder / "crate"
        (crate / "src").mkdir(parents=True)
        shutil.copy(ROOT / "Cargo.toml", crate)
        (crate / "src/lib.rs").touch()
        (crate / "src/main.rs").write_text("fn main() {}\n")
        subprocess.run(["sed", "-i", expression, "Cargo.toml"], check=True, cwd=crate)
        if re.search(r"^\[\[(test|bench|example)", (crate / "Cargo.toml").read_text(), re.M):
            yield "something that is for tests is left in it"
        if shutil.which("cargo"):
            run = subprocess.run(["cargo", "metadata", "--no-deps", "--offline", "--format-version", "1"], capture_output=True, text=True, cwd=crate)
            if run.returncode:
                yield run.stderr


def everybody_builds_with_the_same_rust():
    found = {path: set(re.findall(r"\brust:(\d+\.\d+\.\d+)", text(path))) for path in ("Dockerfile", ".circleci/config.yml")}
    toolchain = ROOT / "rust-toolchain.toml"
    if toolchain.exists():
        found["rust-toolchain.toml"] = set(re.findall(r'^channel = "(.+)"', toolchain.read_text(), re.M))
    if len(set.union(*found.values())) != 1 or not all(found.values()):
        yield f"they differ: {found}"


# --- CircleCI ----------------------------------------------------------------------------------------

def every_push_is_tested_and_a_tag_is_released_after_the_same_tests():
    config = YAML(typ="safe").load(text(".circleci/config.yml"))
    workflows = {name: {job: options for entry in workflow["jobs"] for job, options in ([(entry, {})] if isinstance(entry, str) else entry.items())}
                 for name, workflow in config["workflows"].items()}
    for name, jobs in workflows.items():
        for job, options in jobs.items():
            if job not in config["jobs"]:
                yield f"{name}: there is no job {job}"
            yield from (f"{name}: {job} requires {needed}, which is not in it" for needed in options.get("requires", []) if needed not in jobs)
    pushes, tags = workflows["pull-request"], workflows["release"]
    yield from (f"a tag does without {job}" for job in pushes if job not in tags)

    def before(job):
        needed = set(tags[job].get("requires", []))
        return needed.union(*(before(one) for one in needed))

    yield from (f"it is published without waiting for {job}" for job in [*pushes, "releaseCheck"] if job not in before("publish"))
    if "publish" not in before("deploy"):
        yield "it is deployed before it is published"
    for job, options in tags.items():
        filters = options.get("filters", {})
        pattern = filters.get("tags", {}).get("only", "//").strip("/")
        # Without a filter, CircleCI runs a job for no tag at all.
        if filters.get("branches") != {"ignore": "/.*/"} or not re.search(pattern, "v1.2.3") or re.search(pattern, "v1.2.3-rc1") or re.search(pattern, "1.2.3"):
            yield f"{job} runs on {filters}"
        if ("context" in options) != (job in ("releaseCheck", "publish", "deploy")):
            yield f"{job} has the secrets, or lacks them"
    for job, body in config["jobs"].items():
        for step in body["steps"]:
            command = step["run"]["command"] if isinstance(step, dict) and "run" in step else "./scripts/test.sh"
            script = ROOT / command.split()[0]
            if not script.exists() or not script.stat().st_mode & 0o100:
                yield f"{job} runs {command}, which cannot be run"


# --- tools -------------------------------------------------------------------------------------------

def tools_are_of_one_version_and_known_by_their_checksums():
    script = "source scripts/lib/versions.sh; for t in kind kubectl helm doctl; do for a in amd64 arm64; do echo \"$t $a $(tool_version $t) $(tool_sum $t $a) $(tool_url $t $a)\"; done; done; echo $NODE_IMAGE"
    lines = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, cwd=ROOT).stdout.split("\n")
    for line in lines[:8]:
        tool, architecture, version, *rest = line.split()
        if (tool, architecture) == ("doctl", "arm64"):
            continue
        if len(rest) != 2 or not re.fullmatch("[0-9a-f]{64}", rest[0]) or version not in rest[1] or architecture not in rest[1]:
            yield f"there is something wrong with: {line}"
    kubectl = next(line.split()[2] for line in lines if line.startswith("kubectl"))
    if not re.fullmatch(rf"kindest/node:{re.escape(kubectl)}@sha256:[0-9a-f]{{64}}", lines[8]):
        yield f"the node is {lines[8]}, kubectl is {kubectl}"


def a_tool_that_is_not_what_it_should_be_is_not_used():
    with World() as world:
        answers = [("curl", 0, "something else"), ("kind", 0)]
        ran = world.run("integration-tests.sh", answers=answers, MATRIXBOT_TOOLS="", MATRIXBOT_CACHE=str(world.folder / "cache"))
        yield from fails(ran, "Fetching kind")
        if [name for name in TOOLS if name != "curl" and ran.called(name)]:
            yield str(ran)
        left = [path for path in (world.folder / "cache").rglob("*") if path.is_file()]
        yield from (f"{path} is left in the cache" for path in left)


# --- compose -----------------------------------------------------------------------------------------

def composes_secrets_are_made_once_and_for_nobody_else():
    with World() as world:
        secrets = world.folder / "secrets"
        ran = world.run("compose-secrets.sh", "--server-name", "matrix.example.net", "--url", "https://bot.example.net", COMPOSE_SECRETS=str(secrets))
        yield from succeeds(ran)
        made = {path.name: path.read_text() for path in secrets.iterdir()}
        compose = YAML(typ="safe").load(text("compose.yaml"))
        wanted = {entry["file"].rpartition("/")[2] for entry in compose["secrets"].values()}
        if set(made) != wanted:
            yield f"made: {sorted(made)}, wanted: {sorted(wanted)}"
        if secrets.stat().st_mode & 0o77:
            yield "others can look into the folder"
        if any(path.stat().st_mode & 0o444 != 0o444 for path in secrets.iterdir()):
            yield "a container's user cannot read them"
        password = made["database-password"]
        if len(password) != 64 or made["database-url"] != f"postgres://matrixbot:{password}@postgres/matrixbot" or len(made["webhook-token"]) != 64:
            yield str(made)
        registration = YAML(typ="safe").load(made["registration.yaml"])
        if registration["url"] != "https://bot.example.net" or registration["namespaces"]["users"][0]["regex"] != r"@_alerts_.*:matrix\.example\.net$":
            yield str(registration)
        if len({registration["as_token"], registration["hs_token"], password}) != 3 or "REPLACE" in made["registration.yaml"]:
            yield str(registration)
        if any(value in ran.said for value in (password, registration["as_token"])):
            yield "a secret can be read in what it says"
        yield from succeeds(world.run("compose-secrets.sh", "--server-name", "other.example.net", COMPOSE_SECRETS=str(secrets)))
        if {path.name: path.read_text() for path in secrets.iterdir()} != made:
            yield "the second time, something was made again"
        yield from fails(world.run("compose-secrets.sh", COMPOSE_SECRETS=str(secrets)), "--server-name is missing")
        yield from fails(world.run("compose-secrets.sh", "--server-name", "a|b", COMPOSE_SECRETS=str(secrets)), "is no name")


def composes_configuration_can_be_used():
    with World() as world:
        secrets = world.folder / "secrets"
        world.run("compose-secrets.sh", "--server-name", "example.org", COMPOSE_SECRETS=str(secrets))
        compose = YAML(typ="safe").load(text("compose.yaml"))
        mine = compose["services"]["matrixbot"]
        config = text("deploy/compose/config.yaml")
        for name in re.findall(r"/run/secrets/([\w-]+)", config):
            if name not in mine["secrets"]:
                yield f"the configuration wants the secret {name}, which the service does not have"
            else:
                config = config.replace(f"/run/secrets/{name}", str(secrets / compose["secrets"][name]["file"].rpartition("/")[2]))
        (world.folder / "config.yaml").write_text(config)
        yield from accepted(world, "config.yaml")
        ports = {entry.rsplit(":", 1)[1] for entry in mine["ports"]}
        listened = set(re.findall(r"0\.0\.0\.0:(\d+)", config))
        if ports != listened:
            yield f"ports {ports} are published, and {listened} listened to"
        target = mine["configs"][0]["target"]
        if f"MATRIXBOT_CONFIG={target}" not in text("Dockerfile"):
            yield f"the image does not look for {target}"


def productions_registration_can_be_used():
    with World() as world:
        yield from succeeds(world.run("deploy.sh", "--registration", str(world.folder / "registration.yaml")))
        values = YAML(typ="safe").load(text("deploy/production.yaml"))
        config = {**values["config"], "registration": "registration.yaml", "database": {"url": "postgres://a@b/c"}}
        for room_list in config["room_lists"]:
            room_list["webhook_token"] = "a"
        with open(world.folder / "config.yaml", "w", encoding="utf-8") as file:
            YAML(typ="safe").dump(config, file)
        yield from accepted(world, "config.yaml")


CHECKS = [
    an_image_is_as_old_as_its_commit,
    an_image_that_is_not_what_it_should_be_is_refused,
    what_the_program_is_built_from_is_in_the_images_context,
    the_manifest_without_tests_is_one_that_cargo_accepts,
    everybody_builds_with_the_same_rust,
    every_push_is_tested_and_a_tag_is_released_after_the_same_tests,
    tools_are_of_one_version_and_known_by_their_checksums,
    a_tool_that_is_not_what_it_should_be_is_not_used,
    composes_secrets_are_made_once_and_for_nobody_else,
    composes_configuration_can_be_used,
    productions_registration_can_be_used,
]
