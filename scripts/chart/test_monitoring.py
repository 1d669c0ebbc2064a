"""The alert rules and the dashboard: they use series that matrixbot exports, and Prometheus understands them."""

import json
import os
import re
import subprocess

import pytest
import yaml

from cases import good
from helm import CHART, ROOT, check, installed

RULES = {rule["alert"]: rule for rule in yaml.safe_load((CHART / "files/alerts.yaml").read_text())["groups"][0]["rules"]}
BOARD = json.loads((CHART / "files/dashboard.json").read_text())
PANELS = {panel["title"]: panel for panel in BOARD["panels"]}
OPERATIONS = (ROOT / "docs/OPERATIONS.md").read_text()
# Where the values of labels are written.
WORDS = "\n".join((ROOT / "src" / path).read_text() for path in ("telemetry/labels.rs", "domain/incident.rs", "domain/input.rs"))
# A variant's name in snake case is its value.
WORDS += "".join(f'"{re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()}"' for name in re.findall(r"^    ([A-Z]\w+)", WORDS, re.M))
PROCESS = ("cpu_seconds_total", "open_fds", "max_fds", "resident_memory_bytes", "virtual_memory_bytes", "start_time_seconds", "threads")
EXPECTATIONS = [test for group in yaml.safe_load((CHART / "ci/alerts_test.yaml").read_text())["tests"] for test in group["alert_rule_test"]]


def metrics():
    """What matrixbot exports: name to labels."""
    found = {"up": set(), **{f"process_{name}": set() for name in PROCESS}}
    code = "".join((ROOT / "src/telemetry" / file).read_text() for file in ("checks.rs", "metrics.rs", "on_call.rs", "polls.rs"))
    declarations = re.findall(r'(?:registrar|self)\s*\.(counters?|gauges?|histogram)\(\s*"(\w+)",\s*(?:"[^"]*"|help)\s*,?\s*(&\[[^\]]*\])?', code)
    declarations += [("gauges", name, '"room_list"') for name in re.findall(r'registrar\s*\.of_lists\(\s*"(\w+)"', code)]
    for kind, name, labels in declarations:
        names = set(re.findall(r'"(\w+)"', labels))
        full = f"matrixbot_{name}"
        if kind == "histogram":
            found.update({f"{full}_bucket": names | {"le"}, f"{full}_sum": names, f"{full}_count": names})
        else:
            found[full] = names
    # The totals over all processes are declared in a table, with the names of the domain.
    constants = dict(re.findall(r'const (\w+): &str = "(\w+)"', (ROOT / "src/domain/totals.rs").read_text()))
    table = re.findall(r"name: names::(\w+),.*?labels: &\[([^\]]*)\],\s*kind: MetricType::(\w+)", (ROOT / "src/telemetry/totals.rs").read_text(), re.S)
    for constant, labels, kind in table:
        full, names = f"matrixbot_{constants[constant]}", set(re.findall(r'"(\w+)"', labels))
        found.update({f"{full}{end}": names | {"le"} for end in ("_bucket", "_sum", "_count")} if kind == "HISTOGRAM" else {full: names})
    return found


METRICS = metrics()


def expression_problems(expression):
    """Series in an expression that matrixbot does not export."""
    yield from (f"no metric {name}" for name in re.findall(r"\b((?:matrixbot|process)_\w+)\b", expression) if name not in METRICS)
    for name, selector in re.findall(r"\b((?:matrixbot|process)_\w+|up)\{([^}]*)\}", expression):
        for label, values in re.findall(r'(\w+)=~?"([^"]*)"', selector):
            if label in ("job", "namespace", "room_list") or name not in METRICS:
                continue
            if label not in METRICS[name] | {"instance"}:
                yield f"{name} has no label {label}"
            yield from (f"{label} of {name} is never {value}" for value in values.split("|") if f'"{value}"' not in WORDS)


@pytest.mark.parametrize("alert", RULES)
def test_alert_uses_exported_series_of_one_job(alert):
    check(expression_problems(RULES[alert]["expr"]))
    assert 'job="matrixbot"' in RULES[alert]["expr"]


def test_alerts_and_runbooks_belong_together():
    headings = {name for name in re.findall(r"^### (\w+)$", OPERATIONS, re.M) if name.startswith("Matrixbot")}
    assert headings == set(RULES)


@pytest.mark.parametrize("alert", RULES)
def test_alert_is_tried_firing_and_resting(alert):
    assert {bool(test.get("exp_alerts")) for test in EXPECTATIONS if test["alertname"] == alert} == {True, False}


@pytest.fixture(scope="module")
def rendered():
    """The rendered PrometheusRule."""
    return installed(good(prometheusRule={"enabled": True, "alertLabels": {"team": "ops"}})).first("PrometheusRule")["spec"]


def test_the_chart_renders_all_alerts_in_order(rendered):
    assert [rule["alert"] for rule in rendered["groups"][0]["rules"]] == list(RULES)


@pytest.mark.parametrize("alert", RULES)
def test_alert_is_rendered_with_job_labels_and_runbook(alert, rendered):
    rule = next(rule for rule in rendered["groups"][0]["rules"] if rule["alert"] == alert)
    assert rule["expr"].replace('job="pager-matrixbot-admin",namespace="monitoring"', 'job="matrixbot"') == RULES[alert]["expr"]
    assert rule["labels"] == {**RULES[alert]["labels"], "team": "ops"}
    assert rule["annotations"]["runbook_url"].endswith(f"/docs/OPERATIONS.md#{alert.lower()}")


# --- promtool ----------------------------------------------------------------------------------------

def promtool(*arguments):
    binary = os.environ.get("PROMTOOL") or pytest.skip("no promtool")
    run = subprocess.run([binary, *arguments], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def promtool_accepts(rules, tmp_path):
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(rules))
    promtool("check", "rules", "--lint-fatal", file)


def test_promtool_sees_alerts_fire_when_they_should():
    promtool("test", "rules", CHART / "ci/alerts_test.yaml")


def test_promtool_accepts_the_rendered_rules(rendered, tmp_path):
    promtool_accepts(rendered, tmp_path)


def test_promtool_accepts_the_expressions_of_the_dashboard(tmp_path):
    expressions = [target["expr"].replace("$__rate_interval", "5m") for panel in BOARD["panels"] for target in panel.get("targets", [])]
    rules = [{"record": f"panel_{number}", "expr": expression} for number, expression in enumerate(expressions)]
    promtool_accepts({"groups": [{"name": "dashboard", "rules": rules}]}, tmp_path)


# --- the dashboard -----------------------------------------------------------------------------------

def test_panels_have_ids_and_titles_of_their_own():
    assert len(BOARD["panels"]) == len(PANELS) == len({panel["id"] for panel in BOARD["panels"]})


def test_panels_do_not_overlap():
    taken = {}
    for title, panel in PANELS.items():
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, title
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), title) == title


@pytest.mark.parametrize("title", PANELS)
def test_panel_is_described_and_uses_exported_series(title):
    panel = PANELS[title]
    assert panel["type"] == "row" or panel.get("description")
    for target in panel.get("targets", []):
        expression = target["expr"].replace("$__rate_interval", "5m")
        check(expression_problems(expression))
        for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
            assert label == "instance" or re.search(rf"\b{label}\b", expression), f"the legend names {label}, which the expression drops"


def test_variables_of_the_dashboard_exist():
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(BOARD["panels"])))
    assert used <= {variable["name"] for variable in BOARD["templating"]["list"]} | {"__rate_interval"}


def test_the_dashboard_shows_every_metric():
    shown = set(re.findall(r"matrixbot_\w+", json.dumps(BOARD["panels"])))
    check(name for name in METRICS if name.startswith("matrixbot_") and not name.endswith(("_sum", "_count")) and name not in shown)
