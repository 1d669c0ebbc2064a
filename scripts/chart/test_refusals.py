"""Values that cannot work: the chart refuses them and says why."""

import pytest

from cases import good
from helm import Cluster

CONFIG = good()["config"]
ROOM_LIST = CONFIG["room_lists"][0]


def room_list(**more):
    return good(config={**CONFIG, "room_lists": [{**ROOM_LIST, **more}]})


REFUSALS = {
    "no-values": ({}, "config.homeserver.url", "config.homeserver.server_name", "registration.value", "database.url", "config.room_lists"),
    "typo-at-the-top": (good(replicas=3), "replicas"),
    "typo-deep-below": (good(ingress={"webhook": {"hostnames": ["a"]}}), "hostnames"),
    "typo-in-a-room-list": (room_list(escalateAfter="1m"), "escalateAfter"),
    "plain-secret-in-the-configuration": (room_list(webhook_token="s3cret"), "webhook_token"),
    "room-that-yaml-swallowed": (room_list(levels=[{"rooms": [None]}]), "rooms"),
    "no-token-for-a-room-list": ({key: value for key, value in good().items() if key != "webhookTokens"}, "webhookTokens.values.finance"),
    "token-for-no-room-list": (good(webhookTokens={"values": {"finance": "a", "fiance": "b"}}), "webhookTokens.values.fiance"),
    "tokens-twice": (good(webhookTokens={"shared": "a", "existingSecret": "b"}), "webhookTokens.values or .shared"),
    "two-databases": (good(cloudNativePG={"enabled": True}), "only one of them"),
    "two-urls": (good(database={"existingSecret": "b"}), "only one of them"),
    "two-registrations": (good(registration={"existingSecret": "b"}), "registration.value"),
    "ingress-without-a-host": (good(ingress={"webhook": {"enabled": True}}), "ingress.webhook.hosts"),
    "tls-without-a-certificate": (good(tls={"listeners": ["webhook"]}), "tls.existingSecret"),
    "certificate-for-nothing": (good(certificate={"enabled": True, "issuerRef": {"name": "a"}}), "certificate.enabled"),
    "certificate-without-an-issuer": (good(certificate={"enabled": True, "dnsNames": ["a.example.org"]}), "certificate.issuerRef.name"),
    "two-listeners-on-a-port": (good(listen={"webhook": 9009}), "three ports"),
    "too-little-time-to-stop": (good(terminationGracePeriodSeconds=30), "terminationGracePeriodSeconds"),
    "rollout-that-cannot-move": (good(strategy={"rollingUpdate": {"maxSurge": 0}}), "maxSurge"),
    "unknown-rule": (good(prometheusRule={"enabled": True, "disabled": ["MatrixbotDwon"]}), "disabled"),
}


def refused(values, *expected, minor=34):
    with Cluster(minor=minor) as cluster, pytest.raises(Exception) as error:
        cluster.install(values)
    assert [part for part in expected if part not in str(error.value)] == [], str(error.value)


@pytest.mark.parametrize("values, expected", [(values, expected) for values, *expected in REFUSALS.values()], ids=REFUSALS)
def test_refused(values, expected):
    refused(values, *expected)


def test_kubernetes_that_is_too_old_is_refused():
    refused(good(), "1.27", minor=26)
