"""What the polls of an Alertmanager with 10 000 alerts cost while nothing changes, for the trial of soak.sh. Only Python's
standard library is used.
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import subprocess
import sys
import time

import story

ALERTS, KNOWN, LIST = 10_000, 200, "large"
# Seconds between two polls of matrixbot.
POLL = 30
WINDOWS = 4
# The aim: seconds of processor time, MiB, statements.
CPU, MEMORY, STATEMENTS = 0.3, 64, 1
# What only the statements of polls contain.
OF_POLLS = re.compile(r"INTO alertmanager|UPDATE alertmanager|SET\s+listed_by|FROM incident ORDER BY id DESC LIMIT 200")


class Trial:
    def __init__(self, options):
        self.options, self.failed = options, 0
        log = open(pathlib.Path(options.folder) / "matrixbot.log", "w")
        self.process = subprocess.Popen([options.binary, "run", "--config", f"{options.folder}/polls.yaml"], stdout=log, stderr=log)

    def cost(self):
        """Seconds of processor time, resident MiB, the highest resident MiB."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        memory = {line.split(":")[0]: int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith(("VmRSS", "VmHWM"))}
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), memory["VmRSS"], memory["VmHWM"]

    def statements(self):
        """The statements of the server's log so far that belong to polls."""
        lines = pathlib.Path(self.options.postgres_log).read_text(errors="replace").split("\n2")
        return [line for line in lines if re.search(r"(execute [^:]*|statement): ", line) and OF_POLLS.search(line)]

    def window(self):
        """What passes in the time of one poll."""
        before, asked = self.cost(), len(self.statements())
        time.sleep(POLL)
        after = self.cost()
        return after[0] - before[0], after[1], after[2], self.statements()[asked:]

    def alertmanager(self, method, path, body=None):
        return story.call(method, self.options.alertmanager + path, body)

    def report(self):
        """10 000 alerts of 770 bytes, and a webhook about some of them."""
        now = datetime.datetime.now(datetime.timezone.utc)
        ends = (now + datetime.timedelta(hours=1)).isoformat()
        alerts = [{"labels": {"alertname": "Many", "instance": f"host-{number}.example.test:9100", "job": "node", "severity": "critical"},
                   "annotations": {"summary": f"Many on host {number}", "description": "x" * 350}, "startsAt": now.isoformat(), "endsAt": ends,
                   "generatorURL": "http://prometheus.example.test/graph"} for number in range(ALERTS)]
        for start in range(0, ALERTS, 1000):
            self.alertmanager("POST", "/api/v2/alerts", alerts[start:start + 1000])
        listed = self.alertmanager("GET", "/api/v2/alerts")[:KNOWN]
        body = {"version": "4", "receiver": "nobody", "status": "firing", "groupKey": "{}:{}", "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {},
                "externalURL": "http://a.example.test", "truncatedAlerts": 0,
                "alerts": [{"status": "firing", "labels": one["labels"], "annotations": one["annotations"], "startsAt": one["startsAt"],
                            "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "", "fingerprint": one["fingerprint"]} for one in listed]}
        token = (pathlib.Path(self.options.folder) / f"{LIST}_token").read_text().strip()
        story.call("POST", f"http://127.0.0.1:{self.options.webhook}/webhook/{LIST}", body, token)

    def holds(self, what, value, most, shows=""):
        self.failed += value > most
        print("  " + (story.paint(31, "✗") if value > most else story.paint(32, "✓")) + f" {what}: {value:.2f} (at most {most}) {shows}", flush=True)

    def play(self):
        time.sleep(POLL)
        idle, resident, _, _ = self.window()
        print(f"    without alerts: {idle:.2f} s of processor time in {POLL} s, {resident} MiB", flush=True)
        self.report()
        # Two polls, in which the known alerts are noted as listed.
        time.sleep(2 * POLL)
        windows = [self.window() for _ in range(WINDOWS)]
        for cpu, now, most, asked in windows:
            print(f"    {ALERTS} alerts, {KNOWN} of them in an incident: {cpu:.2f} s, {now} MiB (most so far {most} MiB), {len(asked)} statements", flush=True)
        middle = sorted(cpu for cpu, *_ in windows)[WINDOWS // 2]
        self.holds("Processor time of a poll, s", middle - idle, CPU)
        self.holds("More resident memory, at most, MiB", windows[-1][2] - resident, MEMORY)
        asked = [text[:200] for *_, of in windows for text in of]
        self.holds("Statements of a poll", len(asked) / WINDOWS, STATEMENTS, "" if len(asked) <= WINDOWS else str(asked))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--folder", required=True, help="has polls.yaml and large_token; gets the log")
    parser.add_argument("--webhook", type=int, required=True, help="the port for webhooks")
    parser.add_argument("--alertmanager", required=True, help="its URL; its only receiver is called nobody")
    parser.add_argument("--postgres-log", required=True, help="has all statements")
    trial = Trial(parser.parse_args())
    sys.stdout.reconfigure(errors="replace")
    try:
        trial.play()
    finally:
        trial.process.terminate()
        trial.process.wait()
    print(f"\n{3 - trial.failed} passed, {trial.failed} failed", flush=True)
    return 1 if trial.failed else 0


if __name__ == "__main__":
    sys.exit(main())
