"""Whether the checks find faults: renderings that are wrong in one place, each of which must be found."""

import copy

import cases
import helm
import references
import schemas
from paths import CHART


def change(objects, kind, path, value, number=0):
    """`objects` with one place changed; a value of None removes it."""
    objects = copy.deepcopy(objects)
    node = [o for o in objects if o["kind"] == kind][number]
    for key in path[:-1]:
        node = node[key]
    if value is None:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return objects


def faults(objects):
    """Renderings that are wrong, each in one place."""
    container = ["spec", "template", "spec", "containers", 0]
    changed = lambda *arguments: change(objects, *arguments)  # noqa: E731
    return {
        "a probe of an unknown port": changed("Deployment", [*container, "readinessProbe", "httpGet", "port"], "http"),
        "a Service to an unknown port": changed("Service", ["spec", "ports", 0, "targetPort"], "http"),
        "a Service to nobody": changed("Service", ["spec", "selector", "app.kubernetes.io/component"], "web"),
        "a Service to the Job, too": changed("Service", ["spec", "selector"], {"app.kubernetes.io/instance": "pager"}),
        "a Service that waits for readiness": changed("Service", ["spec", "publishNotReadyAddresses"], None),
        "a mount of no volume": changed("Deployment", [*container, "volumeMounts", 0, "name"], "cfg"),
        "a volume of no Secret": changed("Deployment", ["spec", "template", "spec", "volumes", 1, "secret", "secretName"], "gone"),
        "a volume of no key": changed("Deployment", ["spec", "template", "spec", "volumes", 1, "secret", "items", 0, "key"], "gone"),
        "a file at another path": changed("Deployment", ["spec", "template", "spec", "volumes", 1, "secret", "items", 0, "path"], "gone"),
        "a mount at another path": changed("Deployment", [*container, "volumeMounts", 2, "mountPath"], "/etc/other"),
        "a container port that nobody listens on": changed("Deployment", [*container, "ports", 0, "containerPort"], 1),
        "an unknown account": changed("Deployment", ["spec", "template", "spec", "serviceAccountName"], "gone"),
        "a root that can be written": changed("Deployment", [*container, "securityContext", "readOnlyRootFilesystem"], False),
        "capabilities": changed("Deployment", [*container, "securityContext", "capabilities"], None),
        "a selector of other pods": changed("Deployment", ["spec", "selector", "matchLabels", "app.kubernetes.io/instance"], "other"),
        "no checksum": changed("Deployment", ["spec", "template", "metadata", "annotations", "checksum/config"], None),
        "spreading by other labels": changed("Deployment", ["spec", "template", "spec", "topologySpreadConstraints", 0, "labelSelector", "matchLabels"], {"a": "b"}),
        "a budget for nobody": changed("PodDisruptionBudget", ["spec", "selector", "matchLabels", "app.kubernetes.io/name"], "x"),
        "a policy for nobody": changed("NetworkPolicy", ["spec", "podSelector", "matchLabels", "app.kubernetes.io/name"], "x"),
        "a policy for an unknown port": changed("NetworkPolicy", ["spec", "ingress", 0, "ports", 0, "port"], "http"),
        "an Ingress to no Service": changed("Ingress", ["spec", "rules", 0, "http", "paths", 0, "backend", "service", "name"], "gone"),
        "an Ingress to no port": changed("Ingress", ["spec", "rules", 0, "http", "paths", 0, "backend", "service", "port", "name"], "http"),
        "an Ingress with no certificate": changed("Ingress", ["spec", "tls", 0, "secretName"], "gone"),
        "a certificate for others": changed("Certificate", ["spec", "dnsNames"], ["other.example.org"]),
        "a monitor of no Service": changed("ServiceMonitor", ["spec", "selector", "matchLabels", "app.kubernetes.io/component"], "x"),
        "a monitor of no port": changed("ServiceMonitor", ["spec", "endpoints", 0, "port"], "http"),
        "a monitor by another scheme": changed("ServiceMonitor", ["spec", "endpoints", 0, "scheme"], "http"),
        "the Job with another Secret": changed("Job", ["spec", "template", "spec", "volumes", 1, "secret", "secretName"], "gone"),
        "an unknown field": changed("Deployment", [*container, "imagePulPolicy"], "Always"),
        "a wrong type": changed("Deployment", ["spec", "replicas"], "two"),
        "an unknown field of a custom resource": changed("ServiceMonitor", ["spec", "endpoints", 0, "intervall"], "30s"),
        "a wrong type in a custom resource": changed("PrometheusRule", ["spec", "groups", 0, "rules", 0, "expr"], 1),
        "an object twice": objects + [copy.deepcopy(objects[0])],
    }


def faults_are_found(tally):
    everything = {switch: list(positions)[-1] for switch, positions in cases.SWITCHES.items()}
    everything.update({"database": "url", "registration": "value", "tokens": "values", "extras": "none", "rollout": "default", "listen": "default",
                       "names": "default", "account": "made", "monitoring": "on", "webhook ingress": "on", "certificate": "on"})
    with helm.Cluster(CHART) as cluster:
        objects = cluster.install(cases.values(everything)).all

    def found(rendering):
        return (schemas.problems(rendering) + references.problems(rendering, cases.OUTSIDE)
                + references.configuration_problems(rendering, cases.OUTSIDE))

    tally.check("what is right has no faults", found(objects))
    for what, rendering in faults(objects).items():
        tally.check(f"this fault is found: {what}", [] if found(rendering) else ["it is not"])
