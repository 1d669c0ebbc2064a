"""Values that cannot be used: refused, with what is wrong with them."""

import cases
import helm
from paths import CHART


def refused(values, *expected, minor=34):
    """Whether Helm refuses the values, and says each of these."""
    with helm.Cluster(CHART, minor=minor) as cluster:
        try:
            cluster.install(values)
        except Exception as error:
            said = str(error)
            return [f"{part!r} is missing in: {said}" for part in expected if part not in said]
    return ["it was not refused"]


def good(**more):
    return cases.overlay(cases.values({"registration": "value", "database": "url", "tokens": "values"}), more)


def without(*path):
    values = good()
    node = values
    for key in path[:-1]:
        node = node[key]
    del node[path[-1]]
    return values


def refusals():
    """What is refused, and what is said."""
    room_list = good()["config"]["room_lists"][0]
    config = good()["config"]
    return {
        "nothing at all": ({}, "config.homeserver.url", "config.homeserver.server_name", "registration.value", "database.url", "config.room_lists"),
        "a typo at the top": (good(replicas=3), "replicas"),
        "a typo deep below": (good(ingress={"webhook": {"hostnames": ["a"]}}), "hostnames"),
        "a typo in a room list": (good(config={**config, "room_lists": [{**room_list, "escalateAfter": "1m"}]}), "escalateAfter"),
        "a plain secret in the configuration": (good(config={**config, "room_lists": [{**room_list, "webhook_token": "s3cret"}]}), "webhook_token"),
        "a room that YAML swallowed": (good(config={**config, "room_lists": [{**room_list, "levels": [{"rooms": [None]}]}]}), "rooms"),
        "no token for a room list": (without("webhookTokens"), "webhookTokens.values.finance"),
        "a token for no room list": (good(webhookTokens={"values": {"finance": "a", "fiance": "b"}}), "webhookTokens.values.fiance"),
        "tokens twice": (good(webhookTokens={"shared": "a", "existingSecret": "b"}), "webhookTokens.values or .shared"),
        "two databases": (good(cloudNativePG={"enabled": True}), "give one of them"),
        "two registrations": (good(registration={"existingSecret": "b"}), "registration.value"),
        "an Ingress without a host": (good(ingress={"webhook": {"enabled": True}}), "ingress.webhook.hosts"),
        "TLS without a certificate": (good(tls={"listeners": ["webhook"]}), "tls.existingSecret"),
        "a certificate for nothing": (good(certificate={"enabled": True, "issuerRef": {"name": "a"}}), "certificate.enabled"),
        "a certificate by nobody": (good(certificate={"enabled": True, "dnsNames": ["a.example.org"]}), "certificate.issuerRef.name"),
        "two listeners on a port": (good(listen={"webhook": 9009}), "three ports"),
        "too little time to stop": (good(terminationGracePeriodSeconds=30), "terminationGracePeriodSeconds"),
        "a rollout that cannot move": (good(strategy={"rollingUpdate": {"maxSurge": 0}}), "maxSurge"),
        "a rule that there is not": (good(prometheusRule={"enabled": True, "disabled": ["MatrixbotDwon"]}), "disabled"),
    }
