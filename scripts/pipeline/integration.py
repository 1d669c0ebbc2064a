"""integration-tests.sh, with a cluster that only pretends."""

import concurrent.futures
import os
import re

from world import World, fails, succeeds

CREATE, DELETE = "kind create cluster", "kind delete cluster"
# What image.sh asks of Docker.
IMAGE = [("docker image inspect", 0, "19000000 65532:65532\n"), ("--entrypoint /bin/sh", 1)]


def tried(world, *answers, **environment):
    return world.run("integration-tests.sh", answers=[*answers, *IMAGE], secrets=False, **environment)


def plain(command):
    """Without the folder that is another one each time, and without quotes."""
    return re.sub(r"/\S*/?matrixbot-integration-tests(\.\w+)?/", "SCRATCH/", command.replace("'", ""))


def the_whole_story_runs_and_ends_with_nothing_left():
    with World() as world:
        ran = tried(world)
        yield from succeeds(ran)
        if "nothing is left" not in ran.err:
            yield ran.err
        yield from (f"{name} is left behind" for name in world.left_behind())
        wanted = ["docker buildx build", CREATE, "kind load docker-image", "rollout status deployment/synapse", "register_new_matrix_user", "story.py rooms",
                  "helm --namespace matrixbot install", "story.py play", "rollout status deployment/pager-matrixbot", "matrixbot doctor", "helm --namespace matrixbot test",
                  "helm --namespace matrixbot upgrade", "story.py play", "helm --namespace matrixbot test", "helm --namespace matrixbot uninstall",
                  "get all,", "kubectl delete namespace", DELETE]
        left = iter(ran.commands)
        yield from (f"{part!r} is missing, or too early: {ran}" for part in wanted if not any(part in command for command in left))


def a_dry_run_prints_what_is_done_and_does_nothing():
    with World() as world:
        dry = world.run("integration-tests.sh", "--dry-run", secrets=False)
        yield from succeeds(dry)
        yield from (f"{command} was called" for command in dry.commands)
        printed = [plain(line.split(" >")[0]) for line in dry.out.splitlines() if not line.startswith("/")]
        done = [plain(command) for command in tried(world).commands]
        # What image.sh does is its own dry run's matter.
        done = [command for command in done if not re.match(r"docker (buildx|image|run .*--read-only)", command)]
        if printed != done:
            yield "printed:\n" + "\n".join(printed) + "\ndone:\n" + "\n".join(done)


def whatever_fails_the_cluster_is_deleted():
    parts = (CREATE, "kind load", "kubectl create namespace", "apply", "rollout status deployment/postgres", "register_new", "story.py rooms", "helm .* install",
             "story.py play", "rollout status deployment/pager", "matrixbot doctor", "helm .* test", "helm .* upgrade", "helm .* uninstall", "get all,", "kubectl delete namespace")

    def without(part):
        with World() as world:
            return part, tried(world, (part, 1, "", "it does not work\n")), world.left_behind()

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for part, ran, left in pool.map(without, parts):
            yield from fails(ran)
            if not ran.commands[-1].startswith(DELETE) or CREATE not in ran.said:
                yield f"after {part} fails: {ran}"
            yield from (f"{name} is left behind after {part} fails" for name in left)


def a_failure_shows_how_things_are():
    with World() as world:
        ran = tried(world, ("story.py play", 1), ("logs --selector", 0, "what matrixbot logged\n"))
        yield from fails(ran, "what matrixbot logged")


def a_cluster_that_cannot_be_deleted_is_a_failure():
    with World() as world:
        ran = tried(world, (DELETE, 1))
        yield from fails(ran)


def what_the_chart_leaves_behind_is_a_failure():
    with World() as world:
        yield from fails(tried(world, ("get all,", 0, "secret/pager-matrixbot\n")), "secret/pager-matrixbot")


def an_image_that_breaks_its_promises_is_a_failure():
    with World() as world:
        ran = world.run("integration-tests.sh", answers=[("docker image inspect", 0, "19000000 root\n"), IMAGE[1]], secrets=False)
        yield from fails(ran, "runs as root")
        if ran.called("kind"):
            yield "a cluster was made for it"


def the_cluster_stays_for_whoever_wants_to_look_around():
    with World() as world:
        for answers in ([], [("story.py play", 1)]):
            ran = tried(world, *answers, KEEP="1")
            created = next(number for number, command in enumerate(ran.commands) if command.startswith(CREATE))
            if any(command.startswith(DELETE) for command in ran.commands[created:]) or "The cluster stays" not in ran.err:
                yield str(ran)


def an_image_that_is_there_is_not_built():
    with World() as world:
        ran = tried(world, IMAGE="registry.example.org/bot:7")
        yield from succeeds(ran)
        if ran.called("docker buildx build"):
            yield "it was built"
        chart = " ".join(ran.called("helm --namespace matrixbot install")[0]["words"])
        if "image.repository=registry.example.org/bot,image.tag=7" not in chart:
            yield chart
        chart = " ".join(tried(world, IMAGE="localhost:5000/bot").called("helm --namespace matrixbot install")[0]["words"])
        if "image.repository=localhost:5000/bot,image.tag=latest" not in chart:
            yield chart


def from_within_a_container_it_runs_beside_the_cluster():
    with World() as world:
        ran = world.run("integration-tests.sh", "--in-container", secrets=False)
        yield from succeeds(ran)
        if ran.called("kind") or not ran.called("docker buildx build"):
            yield str(ran)
        if "--network host --volume /var/run/docker.sock:/var/run/docker.sock --env IMAGE=matrixbot:integration-tests" not in ran.commands[-1]:
            yield ran.commands[-1]


def without_a_cluster_it_is_the_story_of_the_other_tests():
    with World() as world:
        ran = world.run("integration-tests.sh", "--local", "--dry-run", secrets=False)
        yield from succeeds(ran)
        if ran.out.strip() != f"{world.root}/scripts/test.sh story":
            yield ran.out
        yield from fails(world.run("integration-tests.sh", "--locally"), "unknown option --locally")


CHECKS = [
    the_whole_story_runs_and_ends_with_nothing_left,
    a_dry_run_prints_what_is_done_and_does_nothing,
    whatever_fails_the_cluster_is_deleted,
    a_failure_shows_how_things_are,
    a_cluster_that_cannot_be_deleted_is_a_failure,
    what_the_chart_leaves_behind_is_a_failure,
    an_image_that_breaks_its_promises_is_a_failure,
    the_cluster_stays_for_whoever_wants_to_look_around,
    an_image_that_is_there_is_not_built,
    from_within_a_container_it_runs_beside_the_cluster,
    without_a_cluster_it_is_the_story_of_the_other_tests,
]
