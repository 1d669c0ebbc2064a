"""Combinations of switches, each through the life of a release."""

import concurrent.futures
import copy
import json
import multiprocessing
import re

import cases
import helm
import references
import schemas
from paths import CHART
from refusals import good


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
