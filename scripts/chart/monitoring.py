"""The alert rules and the dashboard: whether they ask for what the program measures."""

import json
import re
import subprocess

import yaml

import helm
from paths import CHART, ROOT
from refusals import good


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
