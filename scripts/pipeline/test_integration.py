"""integration-tests.sh, with a stand-in for the cluster."""

import re

import pytest

CREATE, DELETE = "kind create cluster", "kind delete cluster"
INSTALL = "helm --namespace matrixbot install"
# What image.sh asks Docker.
IMAGE = [("docker image inspect", 0, "19000000 65532:65532\n"), ("--entrypoint /bin/sh", 1)]


def tried(world, *answers, **environment):
    return world.run("integration-tests.sh", answers=[*answers, *IMAGE], secrets=False, **environment)


def plain(command):
    """The command without quotes, and without the folder that is another one each time."""
    return re.sub(r"/\S*/?matrixbot-integration-tests(\.\w+)?/", "SCRATCH/", command.replace("'", ""))


def test_the_whole_story_runs_and_leaves_nothing(world):
    ran = tried(world).succeeds()
    assert "nothing is left" in ran.err
    world.leaves_nothing()
    left = iter(ran.commands)
    for part in ("docker buildx build", CREATE, "kind load docker-image", "rollout status deployment/synapse", "register_new_matrix_user", "story.py rooms",
                 INSTALL, "story.py play", "rollout status deployment/pager-matrixbot", "matrixbot doctor", "helm --namespace matrixbot test",
                 "helm --namespace matrixbot upgrade", "story.py play", "helm --namespace matrixbot test", "helm --namespace matrixbot uninstall",
                 "get all,", "kubectl delete namespace", DELETE):
        assert any(part in command for command in left), f"{part!r} is missing, or too early: {ran}"


def test_dry_run_prints_the_commands_of_a_run_and_does_nothing(world):
    dry = world.run("integration-tests.sh", "--dry-run", secrets=False).succeeds().calls_nothing()
    printed = [plain(line.split(" >")[0]) for line in dry.out.splitlines() if not line.startswith("/")]
    # image.sh has a dry run of its own.
    assert printed == [plain(command) for command in tried(world).commands if not re.match(r"docker (buildx|image|run .*--read-only)", command)]


@pytest.mark.parametrize("part", [
    CREATE, "kind load", "kubectl create namespace", "apply", "rollout status deployment/postgres", "register_new", "story.py rooms", "helm .* install",
    "story.py play", "rollout status deployment/pager", "matrixbot doctor", "helm .* test", "helm .* upgrade", "helm .* uninstall", "get all,", "kubectl delete namespace"])
def test_the_cluster_is_deleted_whatever_fails(world, part):
    ran = tried(world, (part, 1, "", "it does not work\n")).fails(CREATE)
    assert ran.commands[-1].startswith(DELETE)
    world.leaves_nothing()


def test_failure_prints_the_log(world):
    tried(world, ("story.py play", 1), ("logs --selector", 0, "the log of matrixbot\n")).fails("the log of matrixbot")


def test_cluster_that_cannot_be_deleted_is_a_failure(world):
    tried(world, (DELETE, 1)).fails()


def test_object_that_the_chart_leaves_behind_is_a_failure(world):
    tried(world, ("get all,", 0, "secret/pager-matrixbot\n")).fails("secret/pager-matrixbot")


def test_image_that_breaks_its_promises_is_a_failure(world):
    ran = world.run("integration-tests.sh", answers=[("docker image inspect", 0, "19000000 root\n"), IMAGE[1]], secrets=False)
    assert not ran.fails("runs as root").called("kind")


@pytest.mark.parametrize("answers", [[], [("story.py play", 1)]], ids=["success", "failure"])
def test_the_cluster_stays_on_request(world, answers):
    ran = tried(world, *answers, KEEP="1")
    created = next(number for number, command in enumerate(ran.commands) if command.startswith(CREATE))
    assert not any(command.startswith(DELETE) for command in ran.commands[created:])
    assert "The cluster stays" in ran.err


@pytest.mark.parametrize("image, repository, tag", [("registry.example.org/bot:7", "registry.example.org/bot", "7"), ("localhost:5000/bot", "localhost:5000/bot", "latest")])
def test_image_that_exists_is_not_built(world, image, repository, tag):
    ran = tried(world, IMAGE=image).succeeds()
    assert not ran.called("docker buildx build")
    assert f"image.repository={repository},image.tag={tag}" in " ".join(ran.called(INSTALL)[0]["words"])


def test_it_runs_in_a_container_beside_the_cluster(world):
    ran = world.run("integration-tests.sh", "--in-container", secrets=False).succeeds()
    assert ran.called("docker buildx build") and not ran.called("kind")
    assert "--network host --volume /var/run/docker.sock:/var/run/docker.sock --env IMAGE=matrixbot:integration-tests" in ran.commands[-1]


def test_without_a_cluster_it_is_the_story_of_the_other_tests(world):
    ran = world.run("integration-tests.sh", "--local", "--dry-run", secrets=False).succeeds()
    assert ran.out.strip() == f"{world.root}/scripts/test.sh story"
    world.run("integration-tests.sh", "--locally").fails("unknown option --locally")
