"""What the pipeline's scripts give to Helm and to Kubernetes, by what they print with --dry-run."""

import shlex
import subprocess

import yaml

import cases
import helm
import references
import schemas
from paths import CHART, ROOT


def helm_commands(script, *arguments):
    """The installations and upgrades that a script would do, as words."""
    said = subprocess.run([ROOT / "scripts" / script, "--dry-run", *arguments], capture_output=True, text=True, check=True).stdout
    commands = [shlex.split(line) for line in said.splitlines() if line.startswith("helm ")]
    return [words for words in commands if {"install", "upgrade"} & set(words)]


def given(words):
    """The values that a command gives to the chart, as Helm reads its options."""
    values = {}
    for option, argument in zip(words, words[1:]):
        if option == "--values":
            values = cases.overlay(values, yaml.safe_load(open(argument, encoding="utf-8")))
        elif option in ("--set", "--set-string", "--set-file"):
            for assignment in argument.split(","):
                path, _, text = assignment.partition("=")
                if option == "--set":
                    text = yaml.safe_load(text)
                elif option == "--set-file":
                    text = cases.REGISTRATION if path == "registration.value" else "what is in the file"
                for key in reversed(path.split(".")):
                    text = {key: text}
                values = cases.overlay(values, text)
    return values


def can_be_installed(commands, outside, beside=()):
    """Whether the first command's values can be installed, and each following one's upgraded to."""
    problems = [] if len(commands) > 1 else ["the script neither installs nor upgrades"]
    with helm.Cluster(CHART) as cluster:
        for number, words in enumerate(commands):
            release = (cluster.upgrade if number else cluster.install)(given(words))
            problems += references.problems(release.all, outside) + schemas.problems(release.all + list(beside))
    return problems


def integration_tests():
    servers = list(yaml.safe_load_all((ROOT / "scripts/integration/servers.yaml").read_text()))
    return can_be_installed(helm_commands("integration-tests.sh"), {}, [one for one in servers if one])


def production():
    return can_be_installed(helm_commands("deploy.sh", "v1.2.3"), {"matrixbot-database": {"url"}})


def integration_servers():
    """What the servers and the chart know each other by."""
    servers = {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all((ROOT / "scripts/integration/servers.yaml").read_text()) if one}
    with helm.Cluster(CHART, namespace="matrixbot") as cluster:
        release = cluster.install(given(helm_commands("integration-tests.sh")[0]))
    ports = {one["metadata"]["name"]: {port["port"] for port in one["spec"]["ports"]}
             for one in [*servers.values(), *release.manifest] if one["kind"] == "Service"}
    alertmanager = yaml.safe_load(servers["ConfigMap", "alertmanager"]["data"]["alertmanager.yml"])
    webhook = alertmanager["receivers"][0]["webhook_configs"][0]
    config = yaml.safe_load(next(one for one in release.manifest if one["kind"] == "ConfigMap")["data"]["config.yaml"])
    for url in [webhook["url"], config["homeserver"]["url"], config["alertmanagers"][0]["url"]]:
        host, _, port = url.removeprefix("http://").split("/")[0].partition(":")
        if int(port) not in ports.get(host, ()):
            yield f"{url} leads to no Service"
    if webhook["url"].rsplit("/", 1)[1] != config["room_lists"][0]["name"]:
        yield f"{webhook['url']} leads to no room list"
    synapse = yaml.safe_load(servers["ConfigMap", "synapse"]["data"]["homeserver.yaml"])
    if synapse["server_name"] != config["homeserver"]["server_name"]:
        yield "Synapse and matrixbot differ in the homeserver's name"
    pinned = (ROOT / "scripts/synapse-requirements.txt").read_text()
    image = servers["Deployment", "synapse"]["spec"]["template"]["spec"]["containers"][0]["image"]
    if f"matrix-synapse=={image.rpartition(':v')[2]}\n" not in pinned:
        yield f"{image} is not the version of scripts/synapse-requirements.txt"
