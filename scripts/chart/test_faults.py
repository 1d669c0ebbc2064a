"""The checks of renderings find faults: each rendering here is wrong in one place."""

import copy
import functools

import pytest

import cases
import references
import schemas
from helm import check, installed

POD = "spec template spec"
CONTAINER = f"{POD} containers 0"
# By name: a kind, the path of a place in the first object of that kind, and what is there instead; None removes it.
FAULTS = {
    "probe-of-an-unknown-port": ("Deployment", f"{CONTAINER} readinessProbe httpGet port", "http"),
    "service-to-an-unknown-port": ("Service", "spec ports 0 targetPort", "http"),
    "service-without-pods": ("Service", "spec selector app.kubernetes.io/component", "web"),
    "service-that-also-matches-the-job": ("Service", "spec selector", {"app.kubernetes.io/instance": "pager"}),
    "service-that-waits-for-readiness": ("Service", "spec publishNotReadyAddresses", None),
    "mount-without-a-volume": ("Deployment", f"{CONTAINER} volumeMounts 0 name", "cfg"),
    "volume-without-a-secret": ("Deployment", f"{POD} volumes 1 secret secretName", "gone"),
    "volume-without-a-key": ("Deployment", f"{POD} volumes 1 secret items 0 key", "gone"),
    "file-at-another-path": ("Deployment", f"{POD} volumes 1 secret items 0 path", "gone"),
    "mount-at-another-path": ("Deployment", f"{CONTAINER} volumeMounts 2 mountPath", "/etc/other"),
    "container-port-without-a-listener": ("Deployment", f"{CONTAINER} ports 0 containerPort", 1),
    "unknown-account": ("Deployment", f"{POD} serviceAccountName", "gone"),
    "writable-root": ("Deployment", f"{CONTAINER} securityContext readOnlyRootFilesystem", False),
    "capabilities": ("Deployment", f"{CONTAINER} securityContext capabilities", None),
    "selector-of-other-pods": ("Deployment", "spec selector matchLabels app.kubernetes.io/instance", "other"),
    "no-checksum": ("Deployment", "spec template metadata annotations checksum/config", None),
    "spread-by-other-labels": ("Deployment", f"{POD} topologySpreadConstraints 0 labelSelector matchLabels", {"a": "b"}),
    "budget-without-pods": ("PodDisruptionBudget", "spec selector matchLabels app.kubernetes.io/name", "x"),
    "policy-without-pods": ("NetworkPolicy", "spec podSelector matchLabels app.kubernetes.io/name", "x"),
    "policy-for-an-unknown-port": ("NetworkPolicy", "spec ingress 0 ports 0 port", "http"),
    "ingress-without-a-service": ("Ingress", "spec rules 0 http paths 0 backend service name", "gone"),
    "ingress-to-an-unknown-port": ("Ingress", "spec rules 0 http paths 0 backend service port name", "http"),
    "ingress-without-a-certificate": ("Ingress", "spec tls 0 secretName", "gone"),
    "certificate-for-other-names": ("Certificate", "spec dnsNames", ["other.example.org"]),
    "monitor-without-a-service": ("ServiceMonitor", "spec selector matchLabels app.kubernetes.io/component", "x"),
    "monitor-of-an-unknown-port": ("ServiceMonitor", "spec endpoints 0 port", "http"),
    "monitor-by-another-scheme": ("ServiceMonitor", "spec endpoints 0 scheme", "http"),
    "job-with-another-secret": ("Job", f"{POD} volumes 1 secret secretName", "gone"),
    "unknown-field": ("Deployment", f"{CONTAINER} imagePulPolicy", "Always"),
    "wrong-type": ("Deployment", "spec replicas", "two"),
    "unknown-field-of-a-custom-resource": ("ServiceMonitor", "spec endpoints 0 intervall", "30s"),
    "wrong-type-in-a-custom-resource": ("PrometheusRule", "spec groups 0 rules 0 expr", 1),
}


@functools.lru_cache(maxsize=None)
def rendering():
    """A rendering with every kind of object."""
    last = {switch: list(positions)[-1] for switch, positions in cases.SWITCHES.items()}
    return installed(cases.values({
        **last, "database": "url", "registration": "value", "tokens": "values", "extras": "none", "rollout": "default", "listen": "default",
        "names": "default", "account": "made", "monitoring": "on", "webhook-ingress": "on", "certificate": "on"})).all


def problems(objects):
    return [*schemas.problems(objects), *references.problems(objects, cases.OUTSIDE), *references.configuration_problems(objects, cases.OUTSIDE)]


def test_nothing_is_found_where_nothing_is_wrong():
    check(problems(rendering()))


@pytest.mark.parametrize("kind, path, value", FAULTS.values(), ids=[f"{kind}-{name}" for name, (kind, *_) in FAULTS.items()])
def test_fault_is_found(kind, path, value):
    objects = copy.deepcopy(rendering())
    node = next(one for one in objects if one["kind"] == kind)
    *way, last = [int(key) if key.isdigit() else key for key in path.split()]
    for key in way:
        node = node[key]
    if value is None:
        del node[last]
    else:
        node[last] = value
    assert problems(objects)


def test_object_that_exists_twice_is_found():
    assert problems(rendering() + rendering()[:1])
