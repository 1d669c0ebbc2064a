"""The switches of the chart, and which combinations of their positions are tried.

Every position of every switch meets every position of every other two at least once: faults that need four switches to
show are the only ones that can hide. Each case is upgraded to the next one, so that switches also move.
"""

import copy
import itertools
import random

REGISTRATION = r"""id: matrixbot
url: http://pager-matrixbot-appservice.monitoring.svc:9009
as_token: a-token-of-the-appservice
hs_token: a-token-of-the-homeserver
sender_localpart: matrixbot
rate_limited: false
namespaces:
  users: [{exclusive: true, regex: '@_alerts_.*:example\.org$'}]
  aliases: []
  rooms: []
"""

# What outside of the chart exists in every cluster here: Secret to its keys.
OUTSIDE = {
    "outside-registration": {"appservice.yaml"},
    "outside-database": {"uri"},
    "outside-tokens": {"finance", "web"},
    "outside-tls": {"tls.crt", "tls.key"},
    "outside-webhook-tls": {"tls.crt", "tls.key"},
    "outside-env": {"PAGER_TOKEN"},
    "outside-registry": {".dockerconfigjson"},
}

BASE = {
    "config": {
        "homeserver": {"url": "http://synapse.matrix.svc:8008", "server_name": "example.org"},
        "room_lists": [
            {
                "name": "finance",
                "levels": [
                    {"rooms": ["#finance-ops:example.org"], "escalate_after": "15m", "mention": ["@alice:example.org"]},
                    {"rooms": ["!managers:example.org"], "mention": ["@room"]},
                ],
                "fallback_rooms": ["#ops:example.org"],
            }
        ],
    },
}
RICH = {
    "config": {
        "alertmanagers": [
            {"name": "main", "url": "http://alertmanager.monitoring.svc:9093", "bearer_token_file": "/etc/matrixbot/files/alertmanager-token"},
            {"name": "other", "url": "https://am.example.org", "basic_auth": {"username": "u", "password": "${PAGER_TOKEN}"}},
        ],
        "room_lists": BASE["config"]["room_lists"] + [
            {
                "name": "web",
                "display_name": "Web: alerts # and more",
                "receivers": ["web-pager"],
                "levels": [{"rooms": ["#web:example.org"], "escalate_after": "1h30m"}],
                "initial_delay": "30s",
                "repeat": 2,
                "remind_every": "none",
                "ack_timeout": "4h",
                "on_new_alert": "sticky",
                "ack_reactions": ["✅"],
                "stale_after": "none",
                "severities": {"critical": {"rank": 2}, "info": {"rank": 0, "escalate": False, "mention": []}},
                "permissions": {"moderate_power_level": 100, "users": {"@alice:example.org": "moderate"}},
                "templates": {"page_text": "{{ title }}: {{ alerts[0].annotations.summary }}"},
            },
            {"name": "a=b", "webhook_token": "${PAGER_TOKEN}", "levels": [{"rooms": ["!x:example.org"]}]},
            {"name": "open", "webhook_auth": "none", "levels": [{"rooms": ["!y:example.org"]}]},
        ],
        "compatibility": {"/webhook-ack": "finance", "/skill/alertmanager/webhook": "web"},
        "retention": {"incidents": "none", "events": "7d"},
    },
    "files": {"alertmanager-token": "s3cret"},
    "extraEnv": [{"name": "PAGER_TOKEN", "valueFrom": {"secretKeyRef": {"name": "outside-env", "key": "PAGER_TOKEN"}}}],
}
EXTRAS = {
    "imagePullSecrets": [{"name": "outside-registry"}],
    "image": {"digest": "sha256:" + "a" * 64},
    "commonLabels": {"team": "ops"},
    "commonAnnotations": {"example.org/owner": "ops"},
    "podLabels": {"mesh": "off"},
    "podAnnotations": {"reloader.stakater.com/auto": "true"},
    "deploymentAnnotations": {"example.org/pager": "yes"},
    "extraEnvFrom": [{"secretRef": {"name": "outside-env"}}],
    "extraArgs": ["--log-level=debug"],
    "extraVolumes": [{"name": "scratch", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
    "extraContainers": [{"name": "beside", "image": "example.org/beside:1", "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]}],
    "initContainers": [{"name": "before", "image": "example.org/before:1"}],
    "hostAliases": [{"ip": "192.0.2.1", "hostnames": ["synapse.example.org"]}],
    "dnsPolicy": "ClusterFirst",
    "dnsConfig": {"options": [{"name": "ndots", "value": "2"}]},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "pager", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64", "arm64"]}]}]}}},
    "topologySpreadConstraints": [{"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule",
                                   "labelSelector": {"matchLabels": {"app.kubernetes.io/component": "bot"}}}],
    "priorityClassName": "system-cluster-critical",
    "runtimeClassName": "gvisor",
    "extraObjects": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "more"}, "data": {"release": "{{ .Release.Name }}"}},
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: even-more\ndata: {a: b}\n",
    ],
}

SWITCHES = {
    "registration": {
        "value": {"registration": {"value": REGISTRATION}},
        "existing": {"registration": {"existingSecret": "outside-registration", "key": "appservice.yaml"}},
    },
    "database": {
        "url": {"database": {"url": "postgres://matrixbot:s3cret@postgres/matrixbot"}},
        "existing": {"database": {"existingSecret": "outside-database", "key": "uri", "maxConnections": 20}},
        "cloudnativepg": {"cloudNativePG": {"enabled": True}},
        "cloudnativepg, more": {"cloudNativePG": {
            "enabled": True, "instances": 3, "imageName": "ghcr.io/cloudnative-pg/postgresql:17", "keep": False,
            "storage": {"size": "20Gi", "storageClass": "fast"}, "resources": {"requests": {"memory": "1Gi"}},
            "extraSpec": {"postgresql": {"parameters": {"max_connections": "200"}}, "storage": {"resizeInUseVolumes": True}}}},
    },
    "tokens": {
        "values": {"webhookTokens": {"values": {"finance": "s3cret", "web": "s3cret-too"}}},
        "shared": {"webhookTokens": {"shared": "s3cret", "values": {"finance": "s3cret-too"}}},
        "existing": {"webhookTokens": {"existingSecret": "outside-tokens"}},
    },
    "config": {"plain": {}, "rich": RICH},
    "migration": {"by itself": {}, "job": {"migrationJob": {"enabled": True, "activeDeadlineSeconds": 2000000, "podAnnotations": {"sidecar.istio.io/inject": "false"}}}},
    "webhook ingress": {
        "off": {},
        "on": {"ingress": {"webhook": {"enabled": True, "hosts": ["pager.example.org"]}}},
        "on, own secret": {"ingress": {"webhook": {
            "enabled": True, "hosts": ["pager.example.org", "pager.example.com"], "className": "nginx", "tlsSecret": "outside-webhook-tls",
            "annotations": {"nginx.ingress.kubernetes.io/proxy-body-size": "8m"}, "labels": {"public": "yes"}, "pathType": "ImplementationSpecific"}}},
    },
    "appservice ingress": {
        "off": {},
        "on": {"ingress": {"appservice": {"enabled": True, "hosts": ["bot.example.org"], "className": "nginx", "paths": ["/_matrix/app", "/transactions"]}}},
    },
    "certificate": {
        "off": {},
        "on": {"certificate": {"enabled": True, "issuerRef": {"name": "letsencrypt"}, "dnsNames": ["more.example.org"]}},
        "on, more": {"certificate": {"enabled": True, "issuerRef": {"name": "ours", "kind": "Issuer"}, "dnsNames": ["*.example.org"], "duration": "2160h", "renewBefore": "360h"}},
    },
    "listener tls": {
        "off": {},
        "webhook": {"tls": {"listeners": ["webhook"], "existingSecret": "outside-tls"}},
        "all": {"tls": {"listeners": ["webhook", "appservice", "admin"], "issuerRef": {"name": "ours"}}},
    },
    "listen": {
        "default": {},
        "ipv6": {"listen": {"address": "[::]", "webhook": 8080, "appservice": 8081, "admin": 8082}},
    },
    "services": {
        "default": {},
        "outside": {"service": {
            "webhook": {"type": "LoadBalancer", "port": 443, "loadBalancerSourceRanges": ["192.0.2.0/24"], "externalTrafficPolicy": "Local",
                        "annotations": {"example.org/lb": "yes"}, "labels": {"lb": "yes"}},
            "appservice": {"type": "NodePort", "port": 80, "nodePort": 30009}}},
    },
    "network policy": {
        "off": {},
        "open": {"networkPolicy": {"enabled": True}},
        "closed": {"networkPolicy": {
            "enabled": True,
            "webhookFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
            "appserviceFrom": [{"ipBlock": {"cidr": "192.0.2.0/24"}}],
            "adminFrom": [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}}}],
            "egress": {"enabled": True, "rules": [{"ports": [{"port": 5432}, {"port": 8008}]}]}}},
    },
    "monitoring": {
        "off": {},
        "on": {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}, "grafanaDashboard": {"enabled": True}},
        "elsewhere": {
            "serviceMonitor": {"enabled": True, "namespace": "prometheus", "labels": {"release": "prometheus"}, "annotations": {"a": "b"}, "interval": "30s", "scrapeTimeout": "10s",
                               "relabelings": [{"action": "labeldrop", "regex": "pod"}], "metricRelabelings": [{"action": "drop", "sourceLabels": ["__name__"], "regex": "go_.*"}]},
            "prometheusRule": {"enabled": True, "namespace": "prometheus", "labels": {"release": "prometheus"}, "annotations": {"a": "b"}, "alertLabels": {"team": "ops"}, "job": "pager",
                               "disabled": ["MatrixbotVersionsDiffer"],
                               "extraRules": [{"alert": "Mine", "expr": "vector(1)", "annotations": {"runbook_url": "https://example.org"}}]},
            "grafanaDashboard": {"enabled": True, "namespace": "grafana", "annotations": {"grafana_folder": "Alerting"}}},
    },
    "account": {
        "made": {},
        "made, named": {"serviceAccount": {"name": "somebody", "annotations": {"example.org/role": "none"}}},
        "default": {"serviceAccount": {"create": False}},
    },
    "names": {
        "default": {},
        "other": {"nameOverride": "bot"},
        "full": {"fullnameOverride": "a-name-that-is-really-very-long-so-that-it-must-be-cut"},
    },
    "rollout": {
        "default": {},
        "single": {"replicaCount": 1, "strategy": {"type": "Recreate"}, "podDisruptionBudget": {"enabled": False}, "tests": {"enabled": False}},
        "many": {"replicaCount": 10, "progressDeadlineSeconds": 1234567, "strategy": {"rollingUpdate": {"maxSurge": "25%"}}, "podDisruptionBudget": {"maxUnavailable": "20%"}},
    },
    "extras": {"none": {}, "all": EXTRAS},
}


def overlay(base, values):
    """`values` over `base`, as Helm does it."""
    if not isinstance(base, dict) or not isinstance(values, dict):
        return copy.deepcopy(values)
    return {**base, **{key: overlay(base.get(key), value) for key, value in values.items()}}


def values(case):
    """The values of a case: a position for each switch."""
    result = copy.deepcopy(BASE)
    for switch, position in case.items():
        result = overlay(result, SWITCHES[switch][position])
    # Only what the room lists need may be given.
    tokens = result.get("webhookTokens", {}).get("values")
    if tokens:
        needed = {room_list["name"] for room_list in result["config"]["room_lists"]}
        result["webhookTokens"]["values"] = {name: token for name, token in tokens.items() if name in needed}
    return result


def combinations(strength=3):
    """Cases such that every `strength` positions of different switches meet."""
    chance = random.Random(1)
    names = list(SWITCHES)
    missing = set()
    for chosen in itertools.combinations(names, strength):
        for positions in itertools.product(*(SWITCHES[name] for name in chosen)):
            missing.add(tuple(zip(chosen, positions)))
    cases = [{name: next(iter(SWITCHES[name])) for name in names}]
    cover(missing, cases[0], strength)
    while missing:
        best, most = None, -1
        for _ in range(12):
            case = dict(chance.choice(sorted(missing)) if len(missing) < 4000 else [])
            rest = [name for name in names if name not in case]
            chance.shuffle(rest)
            for name in rest:
                case[name] = max(SWITCHES[name], key=lambda position: (gain(missing, case, name, position, strength), chance.random()))
            case = {name: case[name] for name in names}
            covered = sum(1 for _ in hits(missing, case, strength))
            if covered > most:
                best, most = case, covered
        cover(missing, best, strength)
        cases.append(best)
    return cases


def gain(missing, case, name, position, strength):
    order = list(SWITCHES)
    known = list(case.items())
    found = 0
    for others in itertools.combinations(known, strength - 1):
        if tuple(sorted([*others, (name, position)], key=lambda pair: order.index(pair[0]))) in missing:
            found += 1
    return found


def hits(missing, case, strength):
    for chosen in itertools.combinations(case.items(), strength):
        if chosen in missing:
            yield chosen


def cover(missing, case, strength):
    for chosen in list(hits(missing, case, strength)):
        missing.discard(chosen)
