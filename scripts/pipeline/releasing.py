"""release-check.sh, release-notes.sh, publish.sh and deploy.sh."""

import hashlib
import json

from world import PACKAGES, SECRETS, World, fails, succeeds, tells_no_secret

NOT_FOUND = ("helm .* history", 1, "", "Error: release: not found\n")
DEPLOYED = ("helm .* history", 0, '[{"revision":1,"status":"superseded"},{"revision":2,"status":"deployed"}]')
FAILED = ("helm .* history", 0, '[{"revision":1,"status":"failed"}]')
UNREACHABLE = ("helm .* history", 1, "", "Error: Kubernetes cluster unreachable\n")
KUBECONFIG = ("doctl kubernetes", 0, "apiVersion: v1\n")
UPLOADS = "https://uploads.github.com/repos/matrixbot/matrixbot/releases/7/assets"
RELEASE = json.dumps({"upload_url": UPLOADS + "{?name,label}", "assets": []}, indent=2)
MADE = ("curl .*POST .*https://api.github.com", 0, RELEASE)
NO_RELEASE = ("curl .*GET", 22, "", "curl: (22) The requested URL returned error: 404\n")


# --- what is checked before a release ----------------------------------------------------------------

def a_tag_that_everything_agrees_with_can_be_released():
    with World() as world:
        yield from succeeds(world.run("release-check.sh", "v1.2.3", "--secrets"))


def a_tag_of_another_form_is_refused():
    with World() as world:
        for tag in ("1.2.3", "v1.2", "v1.2.3-rc1", "v1.2.3.4", "latest"):
            yield from fails(world.run("release-check.sh", tag), "not of the form vX.Y.Z")
        yield from fails(world.run("release-check.sh"), "Which tag?")


def everything_that_differs_from_the_tag_is_told_at_once():
    with World() as world:
        ran = world.run("release-check.sh", "v2.0.0", "--secrets", secrets=False)
        yield from fails(ran, "Cargo.toml", "Cargo.lock", "Chart.yaml, version", "Chart.yaml, appVersion", "compose.yaml", "CHANGELOG.md", *SECRETS)


def one_file_that_differs_is_enough():
    changes = {
        "Cargo.toml": ('\nversion = "1.2.3"', '\nversion = "1.2.4"'),
        "Cargo.lock": ('name = "matrixbot"\nversion = "1.2.3"', 'name = "matrixbot"\nversion = "1.2.4"'),
        "charts/matrixbot/Chart.yaml": ("\nversion: 1.2.3", "\nversion: 1.2.4"),
        "compose.yaml": ("MATRIXBOT_VERSION:-1.2.3", "MATRIXBOT_VERSION:-1.2.4"),
        "CHANGELOG.md": ("## 1.2.3 ", "## 1.2.30 "),
    }
    for path, change in changes.items():
        with World() as world:
            world.edit(path, *change)
            yield from fails(world.run("release-check.sh", "v1.2.3"), path)
    with World() as world:
        world.edit("charts/matrixbot/Chart.yaml", 'appVersion: "1.2.3"', 'appVersion: "1.2.4"')
        yield from fails(world.run("release-check.sh", "v1.2.3"), "appVersion, says 1.2.4")


def the_notes_are_the_versions_own_and_begin_with_what_asks_for_attention():
    with World() as world:
        ran = world.run("release-notes.sh", "v1.2.3")
        yield from succeeds(ran)
        if not ran.out.startswith("## What works differently\n\n- config: Call `a` `b`.\n\n## What is mended\n\n- outbox: Mend \"this\".\n\n## How"):
            yield ran.out
        for word in ("old", "not out yet"):
            if word in ran.out:
                yield f"{word!r} is another version's: {ran.out}"


def notes_that_nobody_wrote_are_missed():
    with World() as world:
        yield from fails(world.run("release-notes.sh", "v9.9.9"), "no section")
        yield from fails(world.run("release-notes.sh"), "Of which version?")
        world.edit("CHANGELOG.md", "- [BUGFIX] outbox", "- [FIX] outbox")
        yield from fails(world.run("release-notes.sh", "v1.2.3"), "[FIX] outbox")


# --- publish.sh --------------------------------------------------------------------------------------

def a_release_is_published_as_image_chart_and_notes():
    with World() as world:
        ran = world.run("publish.sh", "v1.2.3", answers=[NO_RELEASE, MADE])
        yield from succeeds(ran) + tells_no_secret(ran, "DOCKER_USER")
        if SECRETS["DOCKER_USER"] in ran.said:
            yield f"the account can be read in: {ran.said}"
        kinds = [command.split(" --")[0] for command in ran.commands]
        expected = ["docker login", "docker buildx create", "docker buildx build", "docker buildx rm matrixbot", "docker buildx imagetools inspect docker.io/matrixbot/matrixbot:1.2.3",
                    f"helm package {world.root}/charts/matrixbot", "helm registry login ghcr.io"]
        if kinds[:7] != expected:
            yield f"the order is {kinds}"
        build = ran.commands[2]
        for part in ("--platform linux/amd64,linux/arm64", "--tag docker.io/matrixbot/matrixbot:1.2.3 ", ":1.2 ", ":latest ", "VERSION=1.2.3", "rewrite-timestamp=true"):
            if part not in build:
                yield f"{part!r} is missing in: {build}"
        if not ran.commands[7].endswith("/matrixbot-1.2.3.tgz oci://ghcr.io/matrixbot/charts"):
            yield ran.commands[7]
        for call, name in ((ran.calls[0], "DOCKER_PASSWORD"), (ran.calls[6], "GITHUB_BOT_TOKEN"), (ran.calls[8], "GITHUB_BOT_TOKEN"), (ran.calls[9], "GITHUB_BOT_TOKEN")):
            if SECRETS[name] not in call["stdin"]:
                yield f"{name} does not reach {call['words']}"
        request = json.loads(next(text for name, (_, text) in ran.calls[9]["files"].items() if name.endswith("request.json")))
        notes = world.run("release-notes.sh", "v1.2.3").out.strip()
        if request != {"tag_name": "v1.2.3", "name": "matrixbot 1.2.3", "body": notes}:
            yield f"GitHub is asked for {request}"
        yield from (f"{name} is left behind" for name in world.left_behind())


def uploaded(ran):
    """What was sent to the release: its name, and what it holds."""
    sent = {}
    for call in ran.called("curl"):
        url = call["words"][-1]
        if url.startswith(UPLOADS):
            file = call["words"][call["words"].index("--data-binary") + 1].removeprefix("@")
            sent[url.removeprefix(f"{UPLOADS}?name=")] = call["files"][file][1]
            if SECRETS["GITHUB_BOT_TOKEN"] not in call["stdin"]:
                yield f"the token does not reach {call['words']}"
    return sent


def a_release_has_the_packages_and_their_checksums():
    with World() as world:
        ran = world.run("publish.sh", "v1.2.3", answers=[NO_RELEASE, MADE])
        yield from succeeds(ran) + tells_no_secret(ran, "DOCKER_USER")
        sent = yield from uploaded(ran)
        if set(sent) != {*PACKAGES, "SHA256SUMS"}:
            yield f"the release has {set(sent)}"
        for name in PACKAGES:
            if sent.get(name) != f"what {name} holds":
                yield f"{name} is {sent.get(name)!r}"
            digest = hashlib.sha256(f"what {name} holds".encode()).hexdigest()
            if f"{digest}  {name}\n" not in sent.get("SHA256SUMS", ""):
                yield f"the checksum of {name} is not in {sent.get('SHA256SUMS')!r}"


def a_release_without_a_package_is_not_published():
    with World() as world:
        (world.root / "artifacts" / PACKAGES[1]).unlink()
        ran = world.run("publish.sh", "v1.2.3", answers=[NO_RELEASE, MADE])
        yield from fails(ran, "no Debian package", "scripts/debian-package.sh")
        yield from (f"{command} was called" for command in ran.commands)


def publishing_again_makes_no_second_release_and_sends_what_it_lacks():
    with World() as world:
        there = json.dumps({"upload_url": UPLOADS + "{?name,label}", "assets": [{"name": PACKAGES[0]}]})
        ran = world.run("publish.sh", "v1.2.3", answers=[("curl .*GET", 0, there)])
        yield from succeeds(ran)
        if any("https://api.github.com" in command and "POST" in command for command in ran.commands):
            yield f"the release was made again: {ran}"
        sent = yield from uploaded(ran)
        if set(sent) != {PACKAGES[1], "SHA256SUMS"}:
            yield f"it was sent {set(sent)}"


def a_github_that_does_not_answer_is_told():
    with World() as world:
        ran = world.run("publish.sh", "v1.2.3", answers=[("curl .*GET", 22, "", "curl: (22) The requested URL returned error: 401\n")])
        yield from fails(ran, "401")


def a_build_that_fails_is_not_published_and_leaves_no_builder():
    with World() as world:
        ran = world.run("publish.sh", "v1.2.3", answers=[("buildx build", 1)])
        yield from fails(ran)
        if not ran.called("docker buildx rm") or ran.called("helm"):
            yield str(ran)


def nothing_is_published_without_every_secret_or_under_a_wrong_tag():
    with World() as world:
        ran = world.run("publish.sh", "v1.2.3", secrets=False)
        yield from fails(ran, "DOCKER_USER", "DOCKER_PASSWORD", "GITHUB_BOT_TOKEN", "docs/DEPLOYMENT.md")
        other = world.run("publish.sh", "v1.2.4")
        yield from fails(other, "cannot be released")
        yield from (f"{command} was called" for command in ran.commands + other.commands)


# --- deploy.sh ---------------------------------------------------------------------------------------

def deployed(world, *answers):
    ran = world.run("deploy.sh", "v1.2.3", answers=[*answers, KUBECONFIG])
    return ran, " ".join(ran.called("helm --namespace monitoring upgrade")[0]["words"]) if ran.called("helm --namespace monitoring upgrade") else ""


def the_first_installation_waits_for_nothing():
    with World() as world:
        for history in (NOT_FOUND, FAILED):
            ran, upgrade = deployed(world, history)
            yield from succeeds(ran) + tells_no_secret(ran)
            if "upgrade --install pager oci://ghcr.io/matrixbot/charts/matrixbot --version 1.2.3" not in upgrade or "--atomic" in upgrade or "--wait" in upgrade:
                yield f"it is installed by: {upgrade}"
            if ran.called("helm --namespace monitoring test"):
                yield "what cannot be ready yet is tested"


def an_upgrade_that_does_not_get_ready_is_taken_back():
    with World() as world:
        ran, upgrade = deployed(world, DEPLOYED)
        yield from succeeds(ran) + tells_no_secret(ran)
        if "--atomic --timeout 15m" not in upgrade or "--set-string image.tag=1.2.3" not in upgrade:
            yield f"it is upgraded by: {upgrade}"
        if not ran.called("helm --namespace monitoring test pager"):
            yield "it is not tested"
        yield from fails(deployed(world, DEPLOYED, ("helm .* upgrade", 1))[0])
        yield from fails(deployed(world, DEPLOYED, ("helm .* test", 1))[0], "helm test fails")


def a_cluster_that_does_not_answer_is_no_first_installation():
    with World() as world:
        ran, upgrade = deployed(world, UNREACHABLE)
        yield from fails(ran, "unreachable")
        if upgrade:
            yield upgrade
        yield from fails(world.run("deploy.sh", "v1.2.3", answers=[("doctl", 1, "", "Unable to authenticate you")]), "Unable to authenticate")


def production_gets_its_secrets_by_files_that_are_gone_afterwards():
    with World() as world:
        ran, _ = deployed(world, DEPLOYED)
        files = {name.rpartition("/")[2]: found for name, found in ran.called("helm --namespace monitoring upgrade")[0]["files"].items()}
        modes = {files[name][0] for name in ("registration.yaml", "webhook-token")}
        if modes != {"0o600"}:
            yield f"the files are {modes}"
        if files["webhook-token"][1] != SECRETS["MATRIXBOT_ALERT_SERVICE_ID"]:
            yield "the webhooks' token is not the secret"
        registration = files["registration.yaml"][1]
        if f"as_token: {SECRETS['MATRIXBOT_ACCESS_TOKEN']}\n" not in registration or "HS_TOKEN" in registration:
            yield registration
        yield from (f"{name} is left behind" for name in world.left_behind())
        # What the homeserver is given is the same.
        file = world.folder / "registration.yaml"
        yield from succeeds(world.run("deploy.sh", "--registration", str(file), DIGITALOCEAN_ACCESS_TOKEN=""))
        if file.read_text() != registration or file.stat().st_mode & 0o77:
            yield "the homeserver's registration is another one, or can be read by others"


def a_token_that_could_be_guessed_is_refused():
    with World() as world:
        for token in ("short", "a b" * 20, "x" * 40 + "\nid: other"):
            ran = world.run("deploy.sh", "v1.2.3", MATRIXBOT_ACCESS_TOKEN=token)
            yield from fails(ran, "at least 32 characters")
            if ran.called("helm") or ran.called("doctl"):
                yield str(ran)


def nothing_is_deployed_without_every_secret_or_under_a_wrong_tag():
    with World() as world:
        ran = world.run("deploy.sh", "v1.2.3", secrets=False)
        yield from fails(ran, "DIGITALOCEAN_ACCESS_TOKEN", "MATRIXBOT_ACCESS_TOKEN", "MATRIXBOT_ALERT_SERVICE_ID", "docs/DEPLOYMENT.md")
        one = world.run("deploy.sh", "v1.2.3", DIGITALOCEAN_ACCESS_TOKEN="")
        yield from fails(one, "DIGITALOCEAN_ACCESS_TOKEN")
        if "MATRIXBOT_ACCESS_TOKEN:" in one.said:
            yield f"what is there is told, too: {one.said}"
        other = world.run("deploy.sh", "v1.2.4")
        yield from fails(other, "cannot be released")
        yield from (f"{command} was called" for command in ran.commands + one.commands + other.commands)


def a_dry_run_does_nothing_and_needs_no_secret():
    with World() as world:
        for script, *arguments in (("deploy.sh", "v1.2.3"), ("publish.sh", "v1.2.3")):
            for secrets in (False, True):
                ran = world.run(script, "--dry-run", *arguments, secrets=secrets)
                yield from succeeds(ran) + tells_no_secret(ran)
                yield from (f"{script} --dry-run called {command}" for command in ran.commands)
                if "helm" not in ran.out:
                    yield f"{script} --dry-run prints no command: {ran}"
        yield from (f"{name} is left behind" for name in world.left_behind())


CHECKS = [
    a_tag_that_everything_agrees_with_can_be_released,
    a_tag_of_another_form_is_refused,
    everything_that_differs_from_the_tag_is_told_at_once,
    one_file_that_differs_is_enough,
    the_notes_are_the_versions_own_and_begin_with_what_asks_for_attention,
    notes_that_nobody_wrote_are_missed,
    a_release_is_published_as_image_chart_and_notes,
    a_release_has_the_packages_and_their_checksums,
    a_release_without_a_package_is_not_published,
    publishing_again_makes_no_second_release_and_sends_what_it_lacks,
    a_github_that_does_not_answer_is_told,
    a_build_that_fails_is_not_published_and_leaves_no_builder,
    nothing_is_published_without_every_secret_or_under_a_wrong_tag,
    the_first_installation_waits_for_nothing,
    an_upgrade_that_does_not_get_ready_is_taken_back,
    a_cluster_that_does_not_answer_is_no_first_installation,
    production_gets_its_secrets_by_files_that_are_gone_afterwards,
    a_token_that_could_be_guessed_is_refused,
    nothing_is_deployed_without_every_secret_or_under_a_wrong_tag,
    a_dry_run_does_nothing_and_needs_no_secret,
]
