"""Combinations of switches, each through the life of a release: installed, tested, upgraded to the next one, removed."""

import copy
import os
import re
import shutil
import subprocess

import pytest

import cases
import references
import schemas
from cases import good
from helm import Cluster, check, installed

COMBINATIONS = cases.combinations()
# -k knows a combination by its positions other than the first ones.
IDS = ["+".join(f"{switch}:{position}" for switch, position in case.items() if position != cases.defaults()[switch]) or "defaults" for case in COMBINATIONS]
# One worker runs all tests of a combination, so that it is installed once.
EACH = pytest.mark.parametrize("number", [pytest.param(number, id=name, marks=pytest.mark.xdist_group(str(number))) for number, name in enumerate(IDS)])
RELEASES = {}
KNOWN_TEXTS = {"appservice.yaml": cases.REGISTRATION, "uri": "postgres://u:p@h/d", "finance": "s3cret", "web": "s3cret"}


def names(objects):
    return {f"{one['kind']}/{one['metadata']['name']}" for one in objects}


def kept(release):
    """The objects that stay on purpose."""
    return names(one for one in release.manifest if (one["metadata"].get("annotations") or {}).get("helm.sh/resource-policy") == "keep")


def helm_test_pods(release):
    """The pod of `helm test`, which only Helm's command line removes, after it has shown the log."""
    return names(hook for hook in release.hooks if hook["kind"] == "Pod")


def stored_problems(cluster, release, before=frozenset()):
    """Whether the cluster has exactly what was rendered; hooks are deleted again."""
    stored, wanted, hooks = cluster.api.names() - helm_test_pods(release), names(release.manifest), names(release.hooks)
    extra = {name for name in stored - wanted - before if name in hooks or not name.startswith("Pod/")}
    return [f"{name} was not created" for name in wanted - stored] + [f"{name} was not rendered" for name in extra]


@EACH
def test_life(number):
    case = COMBINATIONS[number]
    # The last one is upgraded to itself.
    later = COMBINATIONS[min(number + 1, len(COMBINATIONS) - 1)]
    with Cluster() as cluster:
        release = RELEASES[number] = cluster.install(cases.values(case))
        problems = [*rendering_problems(release), *notes_problems(release), *rules_problems(release, case), *stored_problems(cluster, release)]
        if helm_test_pods(release):
            cluster.test()
        upgraded = cluster.upgrade(cases.values(later))
        problems += [f"after the upgrade: {problem}" for problem in stored_problems(cluster, upgraded, kept(release))]
        if later is case and upgraded.text != release.text:
            problems.append("the same values render differently")
        cluster.uninstall()
        left = cluster.api.names() - kept(release) - kept(upgraded) - helm_test_pods(release) - helm_test_pods(upgraded)
        check(problems + [f"{name} is left behind" for name in left])


def rendering_problems(release):
    outside = copy.deepcopy(cases.OUTSIDE)
    yield from schemas.problems(release.all)
    yield from references.problems(release.all, outside)
    yield from references.configuration_problems(release.all, outside)
    if jobs := [hook for hook in release.hooks if hook["kind"] == "Job"]:
        # Before an installation, only what the hooks bring exists.
        if "pre-install" not in jobs[0]["metadata"]["annotations"]["helm.sh/hook"]:
            outside.update({f"{one['metadata']['name']}-app": {"uri"} for one in release.manifest if one["kind"] == "Cluster"})
        yield from (f"before the installation: {problem}" for problem in references.problems([hook for hook in release.hooks if hook["kind"] != "Pod"], outside))


def notes_problems(release):
    services = [one["metadata"]["name"] for one in release.manifest if one["kind"] == "Service"]
    yield from (f"NOTES.txt names the Service {name}, which does not exist"
                for name in re.findall(r"https?://([a-z0-9-]+)\.monitoring\.svc", release.notes) if name not in services)
    if len(re.findall(r"^[123]\. ", release.notes, re.M)) != 3:
        yield "NOTES.txt does not have three steps"
    if not re.search(r"^matrixbot \S+ runs", release.notes, re.M):
        yield "NOTES.txt does not say what runs"


def rules_problems(release, case):
    """Whether the rules select the job that the ServiceMonitor makes."""
    if case["monitoring"] == "on":
        monitored = next(one for one in release.manifest if one["kind"] == "Service" and one["metadata"]["labels"]["app.kubernetes.io/component"] == "admin")
        job = re.search(r'job="([^"]+)"', release.first("PrometheusRule")["spec"]["groups"][0]["rules"][0]["expr"])[1]
        if job != monitored["metadata"]["name"]:
            yield f"the rules select the job {job}, the ServiceMonitor makes the job {monitored['metadata']['name']}"


def tls_texts(folder):
    """A certificate and its key."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=example.org",
                    "-keyout", folder / "tls.key", "-out", folder / "tls.crt"], check=True, capture_output=True)
    return {name: (folder / name).read_text() for name in ("tls.crt", "tls.key")}


@EACH
def test_program_accepts_the_configuration(number, tmp_path):
    binary = os.environ.get("MATRIXBOT_BINARY") or pytest.skip("no matrixbot binary (MATRIXBOT_BINARY)")
    case = COMBINATIONS[number]
    release = RELEASES.pop(number, None) or installed(cases.values(case))
    has_tls = case["listener-tls"] != "off"
    if has_tls and not shutil.which("openssl"):
        pytest.skip("no openssl")
    texts = {**KNOWN_TEXTS, **(tls_texts(tmp_path) if has_tls else {})}
    for kind in ("Deployment", "Job") if case["migration"] == "job" else ("Deployment",):
        found, variables, _ = references.files(release.all, cases.OUTSIDE, kind, lambda _, key: texts[key])
        for path, text in found.items():
            place = tmp_path / kind / path.removeprefix("/etc/matrixbot/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text.replace("/etc/matrixbot", str(tmp_path / kind)))
        config = tmp_path / kind / variables["MATRIXBOT_CONFIG"].removeprefix("/etc/matrixbot/")
        run = subprocess.run([binary, "check", "--config", config], capture_output=True, text=True, env={"PAGER_TOKEN": "s3cret"})
        assert run.returncode == 0, run.stderr + config.read_text()


def pod_annotations(**more):
    return installed(good(**more)).first("Deployment")["spec"]["template"]["metadata"]["annotations"]


@pytest.mark.parametrize("more, replaced", [
    pytest.param({}, False, id="same-values"),
    pytest.param({"config": {"retention": {"events": "1d"}}}, True, id="config.yaml"),
    pytest.param({"webhookTokens": {"values": {"finance": "another"}}}, True, id="secret"),
    pytest.param({"ingress": {"webhook": {"enabled": True, "hosts": ["a.example.org"]}}}, False, id="ingress"),
])
def test_pods_are_replaced_only_when_what_they_read_at_the_start_changes(more, replaced):
    assert (pod_annotations(**more) != pod_annotations()) == replaced
