#!/usr/bin/env python3
"""Tries the chart: by a real Helm, against a stand-in API server. scripts/chart-test.sh sets up what this needs.

check.py            everything; the last line says how many passed and how many failed
check.py --readme   writes the table of values in the chart's README.md
check.py --render [SWITCH=POSITION…]
                    prints what a combination of switches renders to
"""

import argparse
import concurrent.futures
import copy
import json
import multiprocessing
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import traceback

import yaml

import cases
import helm
import readme
import references
import schemas

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "matrixbot"
VALUES = (CHART / "values.yaml").read_text()
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
# What the chart writes into config.yaml itself, and people therefore do not.
OWN_KEYS = re.compile(r"^(registration|database|listen|room_lists\.webhook_token_file)(\.|$)")


class Tally:
    """How many checks passed, and which failed."""

    def __init__(self):
        self.passed = self.failed = 0

    def check(self, what, problems):
        """One check: `problems` is what is wrong, or a function that finds it."""
        try:
            found = list(problems() if callable(problems) else problems)
        except Exception:
            found = [traceback.format_exc()]
        if not found:
            self.passed += 1
            return
        self.failed += 1
        print(f"FAILED: {what}")
        for problem in dict.fromkeys(found):
            print("    " + str(problem).strip().replace("\n", "\n    "))
        sys.stdout.flush()


# --- the files ----------------------------------------------------------------------------------------


def yaml_is_tidy():
    files = [CHART / "Chart.yaml", CHART / "values.yaml", CHART / "files/alerts.yaml", CHART / "ci/alerts_test.yaml", pathlib.Path(schemas.__file__).parent / "crds.yaml"]
    rules = "{extends: default, rules: {line-length: disable, document-start: disable, braces: {max-spaces-inside: 0}, truthy: disable, comments-indentation: disable}}"
    run = subprocess.run([pathlib.Path(sys.executable).parent / "yamllint", "-s", "-f", "parsable", "-d", rules, *files], capture_output=True, text=True)
    return run.stdout.splitlines()


def lint():
    with helm.Cluster(CHART) as cluster:
        return [f"helm lint: {message}" for message in cluster.lint()]


def readme_table():
    text = (CHART / "README.md").read_text()
    if readme.with_table(text, VALUES) != text:
        yield "the table in README.md is not that of values.yaml; run scripts/chart-test.sh --readme"
    for path in readme.uncommented(VALUES):
        yield f"values.yaml says nothing about {path}"


def readme_example():
    text = (CHART / "README.md").read_text()
    block = text.split("<!-- whole values -->")[1].split("```")[1].removeprefix("yaml\n")
    values = {**yaml.safe_load(block), "registration": {"value": cases.REGISTRATION}}
    with helm.Cluster(CHART) as cluster:
        release = cluster.install(values)
    return references.problems(release.all, {}) + schemas.problems(release.all)


def version_is_the_crates():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    crate = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    for key in ("version", "appVersion"):
        if chart[key] != crate:
            yield f"{key} of Chart.yaml is {chart[key]}, the crate's version is {crate}"


# --- the schema of the values -------------------------------------------------------------------------


def resolved(node):
    while "$ref" in node:
        node = SCHEMA["definitions"][node["$ref"].rsplit("/", 1)[1]]
    return node


def schema_keys(node, path=""):
    """Every key that a part of the schema allows, with dots; below lists without an index, below free names `*`."""
    node = resolved(node)
    for key, below in node.get("properties", {}).items():
        yield f"{path}{key}"
        yield from schema_keys(below, f"{path}{key}.")
    if isinstance(node.get("additionalProperties"), dict):
        yield from schema_keys(node["additionalProperties"], f"{path}*.")
    if "items" in node:
        yield from schema_keys(node["items"], path)


def keys(node, path=""):
    if isinstance(node, dict):
        for key, below in node.items():
            yield f"{path}{key}"
            yield from keys(below, f"{path}{key}.")
    elif isinstance(node, list):
        for below in node:
            yield from keys(below, path)


def schema_has_the_values():
    values = set(keys(yaml.safe_load(VALUES)))
    known = set(schema_keys(SCHEMA))
    free = [path for path in values if path not in known]
    # A free map (such as resources) may hold anything.
    yield from (f"values.schema.json lacks {path}" for path in free if not any(is_open(p) for p in parents(path)))
    # What lists hold has no default.
    lists = re.compile(r"^(global|imagePullSecrets\.|config\.(alertmanagers|room_lists|compatibility)\.|.*Probe\.)")
    yield from (f"values.yaml lacks {path}" for path in known if path not in values and not lists.match(path))


def parents(path):
    parts = path.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


def is_open(path):
    node = SCHEMA
    for key in path.split("."):
        node = resolved(resolved(node).get("properties", {}).get(key, {}))
    return node.get("additionalProperties", True) is not False and "properties" not in node


def example_keys():
    """The keys of config.yaml.example, those that are commented out among them."""
    text = (ROOT / "config.yaml.example").read_text()
    text = re.sub(r"^( *)#(?=[a-z_]+:)", r"\1", text, flags=re.M)
    return yaml.safe_load(text)


def schema_has_the_configuration():
    """Every key of config.yaml can be set by `config`, and no other."""
    # The names of severities and users are people's own.
    free = re.compile(r"^(room_lists\.(severities|permissions\.users)\.)[^.]+(\.org)?")
    example = {free.sub(r"\1*", path) for path in keys(example_keys())}
    example = {path for path in example if not OWN_KEYS.match(path) and not path.endswith(".*")}
    known = set(schema_keys(SCHEMA["properties"]["config"]))
    yield from (f"config.{path} of config.yaml.example cannot be set" for path in sorted(example - known))
    yield from (f"config.{path} is no key of config.yaml.example" for path in sorted(known - example))


def schema_refuses_typos():
    """A key that is not known is refused, wherever it is."""
    validator = schemas.jsonschema.Draft7Validator(SCHEMA)
    base = cases.overlay(yaml.safe_load(VALUES), cases.values({"config": "rich"}))
    errors = [error.message for error in validator.iter_errors(base)]
    if errors:
        yield f"good values are refused: {errors}"

    def places(node, schema, path):
        schema = resolved(schema)
        if isinstance(node, dict):
            if "properties" in schema:
                yield path
            for key, below in node.items():
                yield from places(below, schema.get("properties", {}).get(key, {}), [*path, key])
        elif isinstance(node, list):
            for index, below in enumerate(node):
                yield from places(below, schema.get("items", {}), [*path, index])

    for path in places(base, SCHEMA, []):
        wrong = copy.deepcopy(base)
        node = wrong
        for key in path:
            node = node[key]
        node["typo"] = "x"
        if validator.is_valid(wrong):
            yield f"a typo in {'.'.join(map(str, path)) or 'the values'} is not refused"


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


# --- combinations of switches -------------------------------------------------------------------------


def life(case, following):
    """One combination, installed, tested, upgraded to another, and removed: what is wrong, and the configurations."""
    problems, configurations = [], []
    values, later = cases.values(case), cases.values(following)
    with helm.Cluster(CHART) as cluster:
        release = cluster.install(values)
        problems += release_problems(release, case)
        configurations = [configuration(release.all, kind, case) for kind in ("Deployment", "Job") if any(o["kind"] == kind for o in release.all)]
        problems += stored_problems(cluster, release)
        if any(hook["kind"] == "Pod" for hook in release.hooks):
            cluster.test()
        upgraded = cluster.upgrade(later)
        problems += [f"after the upgrade: {problem}" for problem in stored_problems(cluster, upgraded, kept(release))]
        if later == values and upgraded.text != release.text:
            problems.append("the same values render differently")
        cluster.uninstall()
        left = set(cluster.api.names()) - set(kept(release)) - set(kept(upgraded)) - tests(release) - tests(upgraded)
        problems += [f"{name} is left behind" for name in left]
    return problems, configurations


def name_of(one):
    return f"{one['kind']}/{one['metadata']['name']}"


def kept(release):
    """What stays by intention."""
    return [name_of(o) for o in release.manifest if (o["metadata"].get("annotations") or {}).get("helm.sh/resource-policy") == "keep"]


def tests(release):
    """The pod of `helm test`, which the command line removes after it has shown the log."""
    return {name_of(hook) for hook in release.hooks if hook["kind"] == "Pod"}


def stored_problems(cluster, release, more=()):
    """Whether exactly what was rendered is in the cluster, hooks being gone again."""
    stored = set(cluster.api.names()) - tests(release)
    wanted = {name_of(o) for o in release.manifest}
    missing = [f"{name} was not made" for name in wanted - stored]
    hooks = {name_of(hook) for hook in release.hooks}
    return missing + [f"{name} is there besides" for name in stored - wanted - set(more) if name in hooks or name.split("/")[0] not in ("Pod",)]


def release_problems(release, case):
    outside = copy.deepcopy(cases.OUTSIDE)
    problems = schemas.problems(release.all)
    problems += references.problems(release.all, outside)
    problems += references.configuration_problems(release.all, outside)
    jobs = [hook for hook in release.hooks if hook["kind"] == "Job"]
    if jobs:
        # Before an installation there is nothing but what the hooks bring.
        if "pre-install" not in jobs[0]["metadata"]["annotations"]["helm.sh/hook"]:
            outside.update({f"{o['metadata']['name']}-app": {"uri"} for o in release.manifest if o["kind"] == "Cluster"})
        alone = [hook for hook in release.hooks if hook["kind"] != "Pod"]
        problems += [f"before the installation: {problem}" for problem in references.problems(alone, outside)]
    services = [o["metadata"]["name"] for o in release.manifest if o["kind"] == "Service"]
    for name in re.findall(r"https?://([a-z0-9-]+)\.monitoring\.svc", release.notes):
        if name not in services:
            problems.append(f"NOTES.txt names the Service {name}, which is not there")
    if len(re.findall(r"^[123]\. ", release.notes, re.M)) != 3:
        problems.append("NOTES.txt does not tell three steps")
    if not re.search(r"^matrixbot \S+ runs", release.notes, re.M):
        problems.append("NOTES.txt does not say what runs")
    rules = [o for o in release.manifest if o["kind"] == "PrometheusRule"]
    monitors = [o for o in release.manifest if o["kind"] == "ServiceMonitor"]
    if rules and monitors and case["monitoring"] == "on":
        monitored = [o for o in release.manifest if o["kind"] == "Service" and o["metadata"]["labels"]["app.kubernetes.io/component"] == "admin"]
        job = re.search(r'job="([^"]+)"', rules[0]["spec"]["groups"][0]["rules"][0]["expr"])[1]
        if job != monitored[0]["metadata"]["name"]:
            problems.append(f"the rules look at the job {job}, the ServiceMonitor makes the job {monitored[0]['metadata']['name']}")
    return problems


def configuration(objects, kind, case):
    """What a pod has below /etc/matrixbot, as JSON, for `matrixbot check`."""
    known = {"appservice.yaml": cases.REGISTRATION, "uri": "postgres://u:p@h/d", "finance": "s3cret", "web": "s3cret", "tls.crt": "CERTIFICATE", "tls.key": "KEY"}
    found, variables, _ = references.files(objects, {**cases.OUTSIDE}, kind, lambda _, key: known[key])
    return json.dumps([variables["MATRIXBOT_CONFIG"], found], sort_keys=True)


def lives(tally, workers):
    """Every combination; each is upgraded to the one after it, the last one to itself."""
    combinations = cases.combinations()
    pairs = list(zip(combinations, [*combinations[1:], combinations[-1]]))
    configurations = set()
    # Helm does not survive a fork.
    with concurrent.futures.ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(life, *pair) for pair in pairs]
        for (case, _), future in zip(pairs, futures):
            title = ", ".join(f"{switch}={position}" for switch, position in case.items())
            try:
                problems, found = future.result()
                configurations.update(found)
            except Exception as error:
                problems = [str(error)]
            tally.check(f"installed, upgraded and removed: {title}", problems)
    return configurations


def changes_replace_pods():
    """What the program reads at its start replaces the pods when it changes; what it does not read leaves them."""
    def template(**more):
        with helm.Cluster(CHART) as cluster:
            objects = cluster.install(good(**more)).manifest
        return next(o for o in objects if o["kind"] == "Deployment")["spec"]["template"]["metadata"]["annotations"]

    before = template()
    if template() != before:
        yield "the same values make other pods"
    if template(config={"retention": {"events": "1d"}}) == before:
        yield "a change of config.yaml leaves the pods as they are"
    if template(webhookTokens={"values": {"finance": "another"}}) == before:
        yield "a change of a secret leaves the pods as they are"
    if template(ingress={"webhook": {"enabled": True, "hosts": ["a.example.org"]}}) != before:
        yield "an Ingress replaces the pods"


# --- whether the checks find faults -------------------------------------------------------------------


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


# --- the program --------------------------------------------------------------------------------------


def program_accepts(tally, binary, configurations, scratch):
    certificate = key = None
    if shutil.which("openssl"):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=example.org",
                        "-keyout", scratch / "tls.key", "-out", scratch / "tls.crt"], check=True, capture_output=True)
        certificate, key = (scratch / "tls.crt").read_text(), (scratch / "tls.key").read_text()
    for number, text in enumerate(sorted(configurations)):
        config, files = json.loads(text)
        if certificate is None and any(content == "CERTIFICATE" or path.endswith("/tls.crt") for path, content in files.items()):
            continue
        folder = scratch / f"configuration-{number}"
        for path, content in files.items():
            content = {"CERTIFICATE": certificate, "KEY": key}.get(content, content)
            place = folder / path.removeprefix("/etc/matrixbot/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(content.replace("/etc/matrixbot", str(folder)))
        run = subprocess.run([binary, "check", "--config", str(folder / config.removeprefix("/etc/matrixbot/"))],
                             capture_output=True, text=True, env={"PAGER_TOKEN": "s3cret"})
        tally.check("`matrixbot check` accepts a rendered configuration", [] if run.returncode == 0 else [run.stderr, (folder / "config/config.yaml").read_text()])


# --- monitoring ---------------------------------------------------------------------------------------


def metrics():
    """What the program measures: name to labels."""
    source = (ROOT / "src/telemetry/metrics.rs").read_text()
    found = {}
    for kind, name, labels in re.findall(r'(?:keep|self)\s*\.(counters?|gauges?|histogram)\(\s*"(\w+)",\s*(?:"[^"]*"|help)\s*,?\s*(&\[[^\]]*\])?', source):
        names = set(re.findall(r'"(\w+)"', labels))
        full = f"matrixbot_{name}"
        if kind == "histogram":
            found.update({f"{full}_bucket": names | {"le"}, f"{full}_sum": names, f"{full}_count": names})
        else:
            found[full] = names
    for name in ("cpu_seconds_total", "open_fds", "max_fds", "resident_memory_bytes", "virtual_memory_bytes", "start_time_seconds", "threads"):
        found[f"process_{name}"] = set()
    found["up"] = set()
    return found


def expression_problems(expression, where):
    """Whether an expression asks for series that exist."""
    known = metrics()
    words = "\n".join((ROOT / "src" / path).read_text() for path in ("telemetry/labels.rs", "domain/incident.rs", "domain/input.rs"))
    for name in re.findall(r"\b((?:matrixbot|process)_\w+)\b", expression):
        if name not in known:
            yield f"{where}: there is no metric {name}"
    for name, selector in re.findall(r"\b((?:matrixbot|process)_\w+|up)\{([^}]*)\}", expression):
        for label, value in re.findall(r'(\w+)=~?"([^"]*)"', selector):
            if label in ("job", "namespace", "room_list") or name not in known:
                continue
            if label not in known[name] | {"instance"}:
                yield f"{where}: {name} has no label {label}"
            for one in value.split("|"):
                if f'"{one}"' not in words:
                    yield f"{where}: {label} of {name} is never {one}"


def rules():
    return yaml.safe_load((CHART / "files/alerts.yaml").read_text())["groups"][0]["rules"]


def alerts_ask_for_what_exists():
    for rule in rules():
        yield from expression_problems(rule["expr"], rule["alert"])
        if 'job="matrixbot"' not in rule["expr"]:
            yield f"{rule['alert']} does not look at one job only"


def alerts_have_runbooks():
    operations = (ROOT / "docs/OPERATIONS.md").read_text()
    headings = re.findall(r"^### (\w+)$", operations, re.M)
    names = [rule["alert"] for rule in rules()]
    yield from (f"docs/OPERATIONS.md has no runbook for {name}" for name in names if name not in headings)
    yield from (f"docs/OPERATIONS.md has a runbook for {name}, which is no rule" for name in headings if name.startswith("Matrixbot") and name not in names)


def alerts_are_tried():
    tests = yaml.safe_load((CHART / "ci/alerts_test.yaml").read_text())["tests"]
    expectations = [test for group in tests for test in group["alert_rule_test"]]
    for rule in rules():
        mine = [test for test in expectations if test["alertname"] == rule["alert"]]
        if not any(test.get("exp_alerts") for test in mine):
            yield f"no test sees {rule['alert']} fire"
        if not any(not test.get("exp_alerts") for test in mine):
            yield f"no test sees {rule['alert']} rest"


def rendered_rules(scratch):
    with helm.Cluster(CHART) as cluster:
        objects = cluster.install(good(prometheusRule={"enabled": True, "alertLabels": {"team": "ops"}})).manifest
    rule = next(o for o in objects if o["kind"] == "PrometheusRule")
    file = scratch / "rules.yaml"
    file.write_text(yaml.safe_dump(rule["spec"]))
    return file, rule["spec"]["groups"][0]["rules"]


def alerts_are_rendered(scratch):
    _, rendered = rendered_rules(scratch)
    plain = rules()
    if [rule["alert"] for rule in rendered] != [rule["alert"] for rule in plain]:
        yield "the rendered rules are others than those of files/alerts.yaml"
    for one, other in zip(rendered, plain):
        if one["expr"].replace('job="pager-matrixbot-admin",namespace="monitoring"', 'job="matrixbot"') != other["expr"]:
            yield f"{one['alert']} is rendered as {one['expr']}"
        if one["labels"] != {**other["labels"], "team": "ops"}:
            yield f"{one['alert']} has the labels {one['labels']}"
        if not one["annotations"]["runbook_url"].endswith("/docs/OPERATIONS.md#" + one["alert"].lower()):
            yield f"{one['alert']} has the runbook {one['annotations']['runbook_url']}"


def promtool_says(binary, *arguments):
    run = subprocess.run([binary, *arguments], capture_output=True, text=True)
    return [] if run.returncode == 0 else [run.stdout + run.stderr]


def dashboard():
    board = json.loads((CHART / "files/dashboard.json").read_text())
    panels = board["panels"]
    identifiers = [panel["id"] for panel in panels]
    if len(set(identifiers)) != len(identifiers):
        yield "two panels have one id"
    taken = {}
    for panel in panels:
        place = panel["gridPos"]
        if place["x"] + place["w"] > 24:
            yield f"{panel['title']} is wider than the page"
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                other = taken.setdefault((x, y), panel["title"])
                if other != panel["title"]:
                    yield f"{panel['title']} lies on {other}"
        if panel["type"] != "row" and not panel.get("description"):
            yield f"{panel['title']} does not say what it shows"
        for target in panel.get("targets", []):
            expression = target["expr"].replace("$__rate_interval", "5m")
            yield from expression_problems(expression, panel["title"])
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                if not re.search(rf"\b{label}\b", expression) and label != "instance":
                    yield f"{panel['title']}: the legend names {label}, which the expression does not keep"
    variables = {variable["name"] for variable in board["templating"]["list"]}
    for name in set(re.findall(r"\$\{?(\w+)", json.dumps(panels))) - {"__rate_interval"} - variables:
        yield f"there is no variable {name}"
    shown = set(re.findall(r"matrixbot_\w+", json.dumps(panels)))
    for name in metrics():
        if name.startswith("matrixbot_") and not name.endswith(("_sum", "_count")) and name not in shown:
            yield f"{name} is not shown"


def dashboard_expressions(promtool, scratch):
    """Prometheus itself understands the expressions."""
    board = json.loads((CHART / "files/dashboard.json").read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    recorded = [{"record": f"panel_{number}", "expr": re.sub(r"\$__rate_interval", "5m", expression)} for number, expression in enumerate(expressions)]
    file = scratch / "dashboard.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    return promtool_says(promtool, "check", "rules", str(file))


# --- all of it ----------------------------------------------------------------------------------------


def everything(arguments):
    tally = Tally()
    say = lambda text: print(f"… {text}", file=sys.stderr, flush=True)  # noqa: E731
    with tempfile.TemporaryDirectory(prefix="matrixbot-chart.") as folder:
        scratch = pathlib.Path(folder)
        say("the chart's files, its schema, its rules and its dashboard")
        tally.check("the YAML is tidy", yaml_is_tidy)
        tally.check("helm lint has nothing to say", lint)
        tally.check("the README has the table of values, and each value a comment", readme_table)
        tally.check("the README's values can be installed", readme_example)
        tally.check("chart and crate have one version", version_is_the_crates)
        tally.check("the schema has the keys of values.yaml", schema_has_the_values)
        tally.check("the schema has the keys of config.yaml", schema_has_the_configuration)
        tally.check("the schema refuses typos everywhere", schema_refuses_typos)
        for what, (values, *expected) in refusals().items():
            tally.check(f"refused, and said why: {what}", lambda values=values, expected=expected: refused(values, *expected))
        tally.check("refused: a Kubernetes that is too old", lambda: refused(good(), "1.27", minor=26))
        tally.check("changes replace pods where they must", changes_replace_pods)
        tally.check("alerts ask for what is measured", alerts_ask_for_what_exists)
        tally.check("each alert has a runbook", alerts_have_runbooks)
        tally.check("each alert is tried, firing and resting", alerts_are_tried)
        tally.check("alerts are rendered as they are written", lambda: alerts_are_rendered(scratch))
        tally.check("the dashboard shows what is measured", dashboard)
        if arguments.promtool:
            tally.check("promtool: the alerts fire when they should", lambda: promtool_says(arguments.promtool, "test", "rules", str(CHART / "ci/alerts_test.yaml")))
            tally.check("promtool: the rendered rules are good", lambda: promtool_says(arguments.promtool, "check", "rules", str(rendered_rules(scratch)[0])))
            tally.check("promtool: the dashboard's expressions are good", lambda: dashboard_expressions(arguments.promtool, scratch))
        else:
            say("there is no promtool: what it would check is left out")
        faults_are_found(tally)
        say(f"{len(cases.combinations())} combinations of switches, against Kubernetes {', '.join(schemas.VERSIONS)}")
        configurations = lives(tally, arguments.jobs)
        if arguments.binary:
            say(f"{len(configurations)} rendered configurations by {arguments.binary}")
            program_accepts(tally, arguments.binary, configurations, scratch)
        else:
            say("there is no matrixbot binary (MATRIXBOT_BINARY): `matrixbot check` of the configurations is left out")
    print(f"{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readme", action="store_true", help="write the table of values in README.md")
    parser.add_argument("--render", nargs="*", metavar="SWITCH=POSITION", help="print what a combination renders to")
    parser.add_argument("--promtool", help="Prometheus' promtool")
    parser.add_argument("--binary", help="a matrixbot, for `matrixbot check`")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many combinations are tried at once")
    arguments = parser.parse_args()
    if arguments.readme:
        file = CHART / "README.md"
        file.write_text(readme.with_table(file.read_text(), VALUES))
        return 0
    if arguments.render is not None:
        case = {switch: next(iter(positions)) for switch, positions in cases.SWITCHES.items()}
        case.update(part.split("=", 1) for part in arguments.render)
        with helm.Cluster(CHART) as cluster:
            release = cluster.install(cases.values(case))
        print(release.text)
        print(release.notes, file=sys.stderr)
        return 0
    return everything(arguments)


if __name__ == "__main__":
    sys.exit(main())
