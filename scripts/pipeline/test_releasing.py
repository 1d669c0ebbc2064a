"""release-check.sh, release-notes.sh, publish.sh and deploy.sh."""

import hashlib
import json

import pytest

from world import PACKAGES, SECRETS

NOT_FOUND = ("helm .* history", 1, "", "Error: release: not found\n")
DEPLOYED = ("helm .* history", 0, '[{"revision":1,"status":"superseded"},{"revision":2,"status":"deployed"}]')
FAILED = ("helm .* history", 0, '[{"revision":1,"status":"failed"}]')
UNREACHABLE = ("helm .* history", 1, "", "Error: Kubernetes cluster unreachable\n")
KUBECONFIG = ("doctl kubernetes", 0, "apiVersion: v1\n")
UPLOADS = "https://uploads.github.com/repos/matrixbot/matrixbot/releases/7/assets"
RELEASE = {"upload_url": UPLOADS + "{?name,label}", "assets": []}
CREATED = ("curl .*POST .*https://api.github.com", 0, json.dumps(RELEASE, indent=2))
NO_RELEASE = ("curl .*GET", 22, "", "curl: (22) The requested URL returned error: 404\n")


# --- before a release --------------------------------------------------------------------------------

def test_tag_that_every_file_agrees_with_can_be_released(world):
    world.run("release-check.sh", "v1.2.3", "--secrets").succeeds()


@pytest.mark.parametrize("tag", ["1.2.3", "v1.2", "v1.2.3-rc1", "v1.2.3.4", "latest"])
def test_tag_of_another_form_is_refused(world, tag):
    world.run("release-check.sh", tag).fails("not of the form vX.Y.Z")


def test_release_check_needs_a_tag(world):
    world.run("release-check.sh").fails("Which tag?")


def test_every_difference_from_the_tag_is_listed_at_once(world):
    ran = world.run("release-check.sh", "v2.0.0", "--secrets", secrets=False)
    ran.fails("Cargo.toml", "Cargo.lock", "Chart.yaml, version", "Chart.yaml, appVersion", "compose.yaml", "CHANGELOG.md", *SECRETS)


@pytest.mark.parametrize("path, old, new, message", [
    ("Cargo.toml", '\nversion = "1.2.3"', '\nversion = "1.2.4"', "Cargo.toml"),
    ("Cargo.lock", 'name = "matrixbot"\nversion = "1.2.3"', 'name = "matrixbot"\nversion = "1.2.4"', "Cargo.lock"),
    ("charts/matrixbot/Chart.yaml", "\nversion: 1.2.3", "\nversion: 1.2.4", "charts/matrixbot/Chart.yaml"),
    ("charts/matrixbot/Chart.yaml", 'appVersion: "1.2.3"', 'appVersion: "1.2.4"', "appVersion, says 1.2.4"),
    ("compose.yaml", "MATRIXBOT_VERSION:-1.2.3", "MATRIXBOT_VERSION:-1.2.4", "compose.yaml"),
    ("CHANGELOG.md", "## 1.2.3 ", "## 1.2.30 ", "CHANGELOG.md"),
], ids=["Cargo.toml", "Cargo.lock", "Chart.yaml-version", "Chart.yaml-appVersion", "compose.yaml", "CHANGELOG.md"])
def test_one_file_that_differs_is_enough(world, path, old, new, message):
    world.edit(path, old, new)
    world.run("release-check.sh", "v1.2.3").fails(message)


def test_notes_are_those_of_the_version_with_changes_first(world):
    ran = world.run("release-notes.sh", "v1.2.3").succeeds()
    assert ran.out.startswith("## What works differently\n\n- config: Call `a` `b`.\n\n## What is fixed\n\n- outbox: Fix \"this\".\n\n## How")
    assert "old" not in ran.out and "not out yet" not in ran.out


def test_missing_notes_are_an_error(world):
    world.run("release-notes.sh", "v9.9.9").fails("no section")
    world.run("release-notes.sh").fails("Of which version?")
    world.edit("CHANGELOG.md", "- [BUGFIX] outbox", "- [FIX] outbox")
    world.run("release-notes.sh", "v1.2.3").fails("[FIX] outbox")
    world.edit("CHANGELOG.md", "- [FIX] outbox", "- outbox")
    world.run("release-notes.sh", "v1.2.3").fails("- outbox")


def test_notes_may_begin_with_a_paragraph_and_a_list(world):
    first = "The first release.\n\n- **Alerts:** it has them."
    world.edit("CHANGELOG.md", "- [BUGFIX] outbox", first + "\n- [BUGFIX] outbox")
    ran = world.run("release-notes.sh", "v1.2.3").succeeds()
    assert ran.out.startswith(first + "\n\n## What works differently\n\n- config")
    world.edit("CHANGELOG.md", "- [CHANGE] config", "- config")
    world.run("release-notes.sh", "v1.2.3").fails("- config")


# --- publish.sh --------------------------------------------------------------------------------------

def published(world, *answers, tag="v1.2.3", **options):
    return world.run("publish.sh", tag, answers=answers, **options)


def uploaded(ran):
    """What was sent to the release: name to content."""
    sent = {}
    for call in ran.called("curl"):
        url = call["words"][-1]
        if url.startswith(UPLOADS):
            file = call["words"][call["words"].index("--data-binary") + 1].removeprefix("@")
            sent[url.removeprefix(f"{UPLOADS}?name=")] = call["files"][file][1]
            assert SECRETS["GITHUB_BOT_TOKEN"] in call["stdin"]
    return sent


def test_release_is_published_as_image_chart_and_notes(world):
    ran = published(world, NO_RELEASE, CREATED).succeeds().prints_no_secret("DOCKER_USER")
    assert SECRETS["DOCKER_USER"] not in ran.output
    assert [command.split(" --")[0] for command in ran.commands[:7]] == [
        "docker login", "docker buildx create", "docker buildx build", "docker buildx rm matrixbot", "docker buildx imagetools inspect docker.io/matrixbot/matrixbot:1.2.3",
        f"helm package {world.root}/charts/matrixbot", "helm registry login ghcr.io"]
    for part in ("--platform linux/amd64,linux/arm64", "--tag docker.io/matrixbot/matrixbot:1.2.3 ", ":1.2 ", ":latest ", "VERSION=1.2.3", "rewrite-timestamp=true"):
        assert part in ran.commands[2]
    assert ran.commands[7].endswith("/matrixbot-1.2.3.tgz oci://ghcr.io/matrixbot/charts")
    for number, name in ((0, "DOCKER_PASSWORD"), (6, "GITHUB_BOT_TOKEN"), (8, "GITHUB_BOT_TOKEN"), (9, "GITHUB_BOT_TOKEN")):
        assert SECRETS[name] in ran.calls[number]["stdin"]
    request = json.loads(next(content for name, (_, content) in ran.calls[9]["files"].items() if name.endswith("request.json")))
    notes = world.run("release-notes.sh", "v1.2.3").out.strip()
    assert request == {"tag_name": "v1.2.3", "name": "matrixbot 1.2.3", "body": notes}
    world.leaves_nothing()


def test_release_has_the_packages_and_their_checksums(world):
    sent = uploaded(published(world, NO_RELEASE, CREATED).succeeds().prints_no_secret("DOCKER_USER"))
    sums = sent.pop("SHA256SUMS")
    assert sent == {name: f"content of {name}" for name in PACKAGES}
    for name, content in sent.items():
        assert f"{hashlib.sha256(content.encode()).hexdigest()}  {name}\n" in sums


def test_release_without_a_package_is_not_published(world):
    (world.root / "artifacts" / PACKAGES[1]).unlink()
    published(world, NO_RELEASE, CREATED).fails("no Debian package", "scripts/debian-package.sh").calls_nothing()


def test_publishing_again_makes_no_second_release_and_uploads_what_is_missing(world):
    ran = published(world, ("curl .*GET", 0, json.dumps({**RELEASE, "assets": [{"name": PACKAGES[0]}]}))).succeeds()
    assert not [command for command in ran.commands if "https://api.github.com" in command and "POST" in command]
    assert set(uploaded(ran)) == {PACKAGES[1], "SHA256SUMS"}


def test_error_of_github_is_shown(world):
    published(world, ("curl .*GET", 22, "", "curl: (22) The requested URL returned error: 401\n")).fails("401")


def test_build_that_fails_is_not_published_and_leaves_no_builder(world):
    ran = published(world, ("buildx build", 1)).fails()
    assert ran.called("docker buildx rm") and not ran.called("helm")


def test_nothing_is_published_without_every_secret_or_under_a_wrong_tag(world):
    published(world, secrets=False).fails("DOCKER_USER", "DOCKER_PASSWORD", "GITHUB_BOT_TOKEN", "docs/DEPLOYMENT.md").calls_nothing()
    published(world, tag="v1.2.4").fails("cannot be released").calls_nothing()


# --- deploy.sh ---------------------------------------------------------------------------------------

UPGRADE = "helm --namespace monitoring upgrade"
TEST = "helm --namespace monitoring test"


def deployed(world, *answers, **options):
    return world.run("deploy.sh", "v1.2.3", answers=[*answers, KUBECONFIG], **options)


def upgrade_of(ran):
    return " ".join(ran.called(UPGRADE)[0]["words"])


@pytest.mark.parametrize("history", [NOT_FOUND, FAILED], ids=["no-release", "failed-release"])
def test_first_installation_waits_for_nothing(world, history):
    ran = deployed(world, history).succeeds().prints_no_secret()
    assert "upgrade --install pager oci://ghcr.io/matrixbot/charts/matrixbot --version 1.2.3" in upgrade_of(ran)
    assert "--atomic" not in upgrade_of(ran) and "--wait" not in upgrade_of(ran)
    # Its pods cannot be ready yet.
    assert not ran.called(TEST)


def test_upgrade_that_does_not_become_ready_is_rolled_back(world):
    ran = deployed(world, DEPLOYED).succeeds().prints_no_secret()
    assert "--atomic --timeout 15m" in upgrade_of(ran) and "--set-string image.tag=1.2.3" in upgrade_of(ran)
    assert ran.called(f"{TEST} pager")
    deployed(world, DEPLOYED, ("helm .* upgrade", 1)).fails()
    deployed(world, DEPLOYED, ("helm .* test", 1)).fails("helm test fails")


def test_unreachable_cluster_is_no_first_installation(world):
    assert not deployed(world, UNREACHABLE).fails("unreachable").called(UPGRADE)
    world.run("deploy.sh", "v1.2.3", answers=[("doctl", 1, "", "Unable to authenticate you")]).fails("Unable to authenticate")


def test_production_gets_its_secrets_by_files_that_are_deleted_afterwards(world):
    ran = deployed(world, DEPLOYED)
    files = {name.rpartition("/")[2]: found for name, found in ran.called(UPGRADE)[0]["files"].items()}
    (token_mode, token), (mode, registration) = files["webhook-token"], files["registration.yaml"]
    assert (token_mode, mode, token) == ("0o600", "0o600", SECRETS["MATRIXBOT_ALERT_SERVICE_ID"])
    assert f"as_token: {SECRETS['MATRIXBOT_ACCESS_TOKEN']}\n" in registration and "HS_TOKEN" not in registration
    world.leaves_nothing()
    # The homeserver gets the same registration.
    file = world.folder / "registration.yaml"
    world.run("deploy.sh", "--registration", str(file), DIGITALOCEAN_ACCESS_TOKEN="").succeeds()
    assert file.read_text() == registration and not file.stat().st_mode & 0o77


@pytest.mark.parametrize("token", ["short", "a b" * 20, "x" * 40 + "\nid: other"], ids=["short", "spaces", "lines"])
def test_token_that_could_be_guessed_is_refused(world, token):
    ran = deployed(world, MATRIXBOT_ACCESS_TOKEN=token).fails("at least 32 characters")
    assert not ran.called("helm") and not ran.called("doctl")


def test_nothing_is_deployed_without_every_secret_or_under_a_wrong_tag(world):
    deployed(world, secrets=False).fails("DIGITALOCEAN_ACCESS_TOKEN", "MATRIXBOT_ACCESS_TOKEN", "MATRIXBOT_ALERT_SERVICE_ID", "docs/DEPLOYMENT.md").calls_nothing()
    # Only the missing one is named.
    one = deployed(world, DIGITALOCEAN_ACCESS_TOKEN="").fails("DIGITALOCEAN_ACCESS_TOKEN").calls_nothing()
    assert "MATRIXBOT_ACCESS_TOKEN:" not in one.output
    world.run("deploy.sh", "v1.2.4").fails("cannot be released").calls_nothing()


@pytest.mark.parametrize("script", ["deploy.sh", "publish.sh"])
@pytest.mark.parametrize("secrets", [False, True], ids=["without-secrets", "with-secrets"])
def test_dry_run_does_nothing_and_needs_no_secret(world, script, secrets):
    ran = world.run(script, "--dry-run", "v1.2.3", secrets=secrets).succeeds().prints_no_secret().calls_nothing()
    assert "helm" in ran.out
    world.leaves_nothing()
