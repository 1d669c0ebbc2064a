"""Values as people write them: empty keys, keys of their own, as a dependency of another chart."""

import copy
import shutil

import pytest
import yaml

import cases
import readme
import references
import schemas
from cases import good
from helm import CHART, ROOT, VALUES, Cluster, check, installed

# With every optional object, so that each key is read.
RICH = cases.values({switch: "on" if "on" in positions else next(iter(positions)) for switch, positions in cases.SWITCHES.items()})
# Every key and section of values.yaml. What an installation requires is refused with its name when it is empty.
KEYS = [path for kind, path, _ in readme.entries(VALUES) if kind in ("key", "group")]
REQUIRED = {"config", "config.homeserver", "config.homeserver.url", "config.homeserver.server_name", "config.room_lists",
            "registration", "registration.value", "webhookTokens", "webhookTokens.values", "database", "database.url",
            "certificate.issuerRef", "certificate.issuerRef.name", "ingress.webhook.hosts", "ingress.appservice.hosts"}


def emptied(path, values):
    """The values with nothing behind a key, as in `key:`."""
    values = node = copy.deepcopy(values)
    *parents, last = path.split(".")
    for key in parents:
        node = node.setdefault(key, {})
    node[last] = None
    return values


def refusal(values):
    with Cluster() as cluster:
        try:
            return cluster.install(values), ""
        except Exception as error:  # noqa: BLE001
            return None, str(error)


@pytest.mark.parametrize("path", KEYS)
def test_an_empty_key_is_the_default_or_off(path):
    release, error = refusal(emptied(path, RICH))
    if path in REQUIRED and error:
        assert "The values are invalid" in error and path.split(".")[0] in error, error
        return
    assert not error, error
    check(schemas.problems(release.all) + references.problems(release.all, cases.OUTSIDE))


def test_a_chart_that_depends_on_this_one_switches_it_with_a_condition(tmp_path):
    parent = tmp_path / "parent"
    shutil.copytree(CHART, parent / "charts" / "matrixbot")
    chart = {"apiVersion": "v2", "name": "parent", "version": "1.0.0",
             "dependencies": [{"name": "matrixbot", "version": "*", "condition": "matrixbot.enabled"}]}
    (parent / "Chart.yaml").write_text(yaml.safe_dump(chart))
    with Cluster(parent) as cluster:
        release = cluster.install({"matrixbot": {**good(), "enabled": True}, "global": {"imageRegistry": "a"}})
        assert release.first("Deployment")["metadata"]["name"] == "pager-matrixbot"
        check(schemas.problems(release.all) + references.problems(release.all, {}))
        # Empty keys of a dependency are empty as well.
        release = cluster.upgrade({"matrixbot": {**good(), "service": None, "image": None}})
        assert release.first("Deployment")
        assert cluster.upgrade({"matrixbot": {**good(), "enabled": False}}).all == []


def test_keys_of_others_and_anchors_are_ignored():
    text = f"""
x-common: &common
  nodeSelector: {{disk: ssd}}
x-rooms: &rooms ["#ops:example.org"]
{yaml.safe_dump(good())}
<<: *common
podLabels: {{team: ops}}
"""
    release = installed(yaml.safe_load(text))
    assert release.first("Deployment")["spec"]["template"]["spec"]["nodeSelector"] == {"disk": "ssd"}
    config = good()["config"]
    config["x-list"] = {"fallback_rooms": ["#ops:example.org"]}
    config["room_lists"] = [{**config["room_lists"][0], "x-note": "of the team"}]
    release = installed(good(config=config))
    assert "x-" not in release.first("ConfigMap")["data"]["config.yaml"]


def test_a_mounted_secret_has_a_rooms_lists_token():
    config = good()["config"]
    config["room_lists"] = [{**config["room_lists"][0], "webhook_token_file": "/vault/secrets/finance"}]
    values = good(config=config, extraVolumes=[{"name": "vault", "emptyDir": {}}], extraVolumeMounts=[{"name": "vault", "mountPath": "/vault"}])
    del values["webhookTokens"]
    release = installed(values)
    config = yaml.safe_load(release.first("ConfigMap")["data"]["config.yaml"])
    assert config["room_lists"][0]["webhook_token_file"] == "/vault/secrets/finance"
    volumes = release.first("Deployment")["spec"]["template"]["spec"]["volumes"]
    assert "webhook-tokens" not in [volume["name"] for volume in volumes]
    assert "/vault/secrets/finance" in release.notes


def database_of(one):
    """The Secret and key of the database's URL in the pods of an object."""
    volumes = one["spec"]["template"]["spec"]["volumes"]
    secret = next(volume["secret"] for volume in volumes if volume["name"] == "database")
    return secret["secretName"], secret["items"][0]["key"]


@pytest.mark.parametrize("pooler", [False, True])
def test_a_cloudnativepg_database_is_migrated_directly_and_used_through_its_pooler(pooler):
    values = good(cloudNativePG={"enabled": True}, migrationJob={"enabled": True})
    values["database"] = {"existingSecret": "outside-database", "key": "uri"} if pooler else {}
    with Cluster() as cluster:
        first = cluster.install(values)
        direct = ("pager-matrixbot-db-app", "uri")
        assert database_of(first.first("Deployment")) == (("outside-database", "uri") if pooler else direct)
        job = next(hook for hook in first.hooks if hook["kind"] == "Job")
        # Before the first installation there is no database that it could migrate.
        assert "pre-install" not in job["metadata"]["annotations"]["helm.sh/hook"]
        assert database_of(job) == direct
        config = yaml.safe_load(first.first("ConfigMap")["data"]["config.yaml"])
        assert config["database"]["migrate"] is True, "nothing else migrates at the first installation"
        check(schemas.problems(first.all) + references.problems(first.all, {"outside-database": ["uri"]}))


def test_egress_allows_what_the_configuration_calls():
    config = good()["config"]
    config["homeserver"]["url"] = "https://matrix.example.org"
    config["alertmanagers"] = [{"name": "main", "urls": ["http://am-0:9093", "https://am-1:9443/prefix"]}]
    values = good(config=config, networkPolicy={"enabled": True, "egress": {"enabled": True, "ports": [8443]}},
                  database={"url": "postgres://u:p@db:6432/matrixbot"})

    def ports(more):
        policy = installed(cases.overlay(values, more)).first("NetworkPolicy")
        return [port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]]

    assert ports({}) == [53, 53, 443, 6432, 8443, 9093, 9443]
    strict = {"networkPolicy": {"egress": {"ofConfiguration": False, "ports": [], "rules": [{"ports": [{"port": 1}]}]}}}
    assert ports(strict) == [53, 53, 1]
    # The port of a URL in a Secret is not known: PostgreSQL's own.
    assert 5432 in ports({"database": {"url": "", "existingSecret": "outside-database"}})
