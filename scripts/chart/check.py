#!/usr/bin/env python3
"""Tries the chart: by a real Helm, against a stand-in API server. scripts/chart-test.sh sets up what this needs.

check.py            everything; the last line says how many passed and how many failed
check.py --readme   writes the table of values in the chart's README.md
check.py --render [SWITCH=POSITION…]
                    prints what a combination of switches renders to
"""

import argparse
import os
import pathlib
import sys
import tempfile
import traceback

import cases
import chart_files
import faults
import helm
import lives
import monitoring
import pipeline
import program
import readme
import refusals
import schemas
import values_schema
from paths import CHART, VALUES
from tally import Tally


def everything(arguments):
    tally = Tally()
    say = lambda text: print(f"… {text}", flush=True)  # noqa: E731
    with tempfile.TemporaryDirectory(prefix="matrixbot-chart.") as folder:
        scratch = pathlib.Path(folder)
        say("the chart's files, its schema, its rules and its dashboard")
        tally.check("the YAML is tidy", chart_files.yaml_is_tidy)
        tally.check("helm lint has nothing to say", chart_files.lint)
        tally.check("the README has the table of values, and each value a comment", chart_files.readme_table)
        tally.check("the README's values can be installed", chart_files.readme_example)
        tally.check("the packaged chart is as good", lambda: chart_files.package(scratch))
        tally.check("what the integration tests install can be installed, and upgraded", pipeline.integration_tests)
        tally.check("the integration tests' servers and the chart find each other", pipeline.integration_servers)
        tally.check("what is deployed to production can be installed, and upgraded", pipeline.production)
        tally.check("chart and crate have one version", chart_files.version_is_the_crates)
        tally.check("the schema has the keys of values.yaml", values_schema.schema_has_the_values)
        tally.check("the schema has the keys of config.yaml", values_schema.schema_has_the_configuration)
        tally.check("the schema refuses typos everywhere", values_schema.schema_refuses_typos)
        for what, (values, *expected) in refusals.refusals().items():
            tally.check(f"refused, and said why: {what}", lambda values=values, expected=expected: refusals.refused(values, *expected))
        tally.check("refused: a Kubernetes that is too old", lambda: refusals.refused(refusals.good(), "1.27", minor=26))
        tally.check("changes replace pods where they must", lives.changes_replace_pods)
        tally.check("alerts ask for what is measured", monitoring.alerts_ask_for_what_exists)
        tally.check("each alert has a runbook", monitoring.alerts_have_runbooks)
        tally.check("each alert is tried, firing and resting", monitoring.alerts_are_tried)
        tally.check("alerts are rendered as they are written", lambda: monitoring.alerts_are_rendered(scratch))
        tally.check("the dashboard shows what is measured", monitoring.dashboard)
        if arguments.promtool:
            tally.check("promtool: the alerts fire when they should", lambda: monitoring.promtool_says(arguments.promtool, "test", "rules", str(CHART / "ci/alerts_test.yaml")))
            tally.check("promtool: the rendered rules are good", lambda: monitoring.promtool_says(arguments.promtool, "check", "rules", str(monitoring.rendered_rules(scratch)[0])))
            tally.check("promtool: the dashboard's expressions are good", lambda: monitoring.dashboard_expressions(arguments.promtool, scratch))
        else:
            say("there is no promtool: what it would check is left out")
        faults.faults_are_found(tally)
        say(f"{len(cases.combinations())} combinations of switches, against Kubernetes {', '.join(schemas.VERSIONS)}")
        configurations = lives.lives(tally, arguments.jobs)
        if arguments.binary:
            say(f"{len(configurations)} rendered configurations by {arguments.binary}")
            program.program_accepts(tally, arguments.binary, configurations, scratch)
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
    try:
        sys.exit(main())
    except Exception:
        traceback.print_exc()
        sys.exit(2)
