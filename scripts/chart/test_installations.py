"""What the pipeline's scripts give to Helm and to Kubernetes, according to their --dry-run."""

import shlex
import subprocess

import pytest
import yaml

import cases
import references
import schemas
from helm import ROOT, Cluster, check, installed

SERVERS = [one for one in yaml.safe_load_all((ROOT / "scripts/integration/servers.yaml").read_text()) if one]


def helm_commands(script, *arguments):
    """The installations and upgrades that a script would do, as words."""
    printed = subprocess.run([ROOT / "scripts" / script, "--dry-run", *arguments], capture_output=True, text=True, check=True).stdout
    commands = [shlex.split(line) for line in printed.splitlines() if line.startswith("helm ")]
    return [words for words in commands if {"install", "upgrade"} & set(words)]


def given_values(words):
    """The values that a command gives to the chart, as Helm reads its options."""
    values = {}
    for option, argument in zip(words, words[1:]):
        if option == "--values":
            with open(argument, encoding="utf-8") as file:
                values = cases.overlay(values, yaml.safe_load(file))
        elif option in ("--set", "--set-string", "--set-file"):
            for assignment in argument.split(","):
                path, _, text = assignment.partition("=")
                if option == "--set":
                    text = yaml.safe_load(text)
                elif option == "--set-file":
                    text = cases.REGISTRATION if path == "registration.value" else "the content of the file"
                for key in reversed(path.split(".")):
                    text = {key: text}
                values = cases.overlay(values, text)
    return values


@pytest.mark.parametrize("command, outside, beside", [
    pytest.param(["integration-tests.sh"], {}, SERVERS, id="integration-tests"),
    pytest.param(["deploy.sh", "v1.2.3"], {"matrixbot-database": {"url"}}, [], id="production"),
])
def test_values_of_the_script_install_and_upgrade(command, outside, beside):
    commands = helm_commands(*command)
    assert len(commands) > 1
    with Cluster() as cluster:
        for action, words in zip([cluster.install, *[cluster.upgrade] * len(commands)], commands):
            release = action(given_values(words))
            check(references.problems(release.all, outside) + schemas.problems(release.all + beside))


def test_servers_of_the_integration_tests_and_the_chart_find_each_other():
    servers = {(one["kind"], one["metadata"]["name"]): one for one in SERVERS}
    release = installed(given_values(helm_commands("integration-tests.sh")[0]), namespace="matrixbot")
    ports = {one["metadata"]["name"]: {port["port"] for port in one["spec"]["ports"]} for one in [*SERVERS, *release.manifest] if one["kind"] == "Service"}
    alertmanager = yaml.safe_load(servers["ConfigMap", "alertmanager"]["data"]["alertmanager.yml"])
    webhook = alertmanager["receivers"][0]["webhook_configs"][0]["url"]
    config = yaml.safe_load(release.first("ConfigMap")["data"]["config.yaml"])
    for url in [webhook, config["homeserver"]["url"], config["alertmanagers"][0]["url"]]:
        host, _, port = url.removeprefix("http://").split("/")[0].partition(":")
        assert int(port) in ports.get(host, ()), url
    assert webhook.rsplit("/", 1)[1] == config["room_lists"][0]["name"]
    synapse = yaml.safe_load(servers["ConfigMap", "synapse"]["data"]["homeserver.yaml"])
    assert synapse["server_name"] == config["homeserver"]["server_name"]


def test_synapse_of_the_integration_tests_has_the_version_of_the_other_tests():
    image = next(one for one in SERVERS if (one["kind"], one["metadata"]["name"]) == ("Deployment", "synapse"))["spec"]["template"]["spec"]["containers"][0]["image"]
    assert f"matrix-synapse=={image.rpartition(':v')[2]}\n" in (ROOT / "scripts/synapse-requirements.txt").read_text()
