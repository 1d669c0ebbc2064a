"""What large webhooks of one room list cost in memory, and what another list notices of them, for the trial of soak.sh. Only
Python's standard library is used.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import story

LARGE, OTHER = "large", "other"
# Megabytes that the process may use.
MOST = 128


class Trial:
    def __init__(self, options):
        self.options, self.passed, self.failed = options, 0, 0
        log = open(pathlib.Path(options.folder) / "matrixbot.log", "w")
        self.process = subprocess.Popen([options.binary, "run", "--config", f"{options.folder}/memory.yaml"], stdout=log, stderr=log)

    def memory(self, what):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith(what)).split()[1]) // 1024

    def post(self, room_list, body):
        """The status of the answer, and the seconds until it came."""
        token = (pathlib.Path(self.options.folder) / f"{room_list}_token").read_text().strip()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.options.webhook}/webhook/{room_list}", body, headers)
        started = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status = answer.status
        except urllib.error.HTTPError as error:
            status = error.code
        except OSError:
            status = 0
        return status, time.monotonic() - started

    def holds(self, what, broken=None):
        self.failed, self.passed = self.failed + bool(broken), self.passed + (not broken)
        print("  " + (story.paint(31, f"✗ {what}: {broken}") if broken else story.paint(32, "✓") + f" {what}"), flush=True)

    def start(self):
        for _ in range(300):
            if self.post(OTHER, group("Start", 1, 10))[0] == 200:
                return
            time.sleep(0.1)
        raise SystemExit("it does not start")

    def load(self, what, bodies):
        """Posts the bodies of one list at once, while another list posts one small body after another."""
        answers, others, peak, ended = [None] * len(bodies), [], [0], threading.Event()

        def other():
            while not ended.wait(0.05):
                others.append(self.post(OTHER, group(f"Other{what}{len(others)}", 1, 100)))

        def watch():
            while not ended.wait(0.02):
                peak[0] = max(peak[0], self.memory("VmRSS"))

        def one(number):
            answers[number] = self.post(LARGE, bodies[number])

        around = [threading.Thread(target=other), threading.Thread(target=watch)]
        load = [threading.Thread(target=one, args=(number,)) for number in range(len(bodies))]
        for threads in (around, load):
            for thread in threads:
                thread.start()
        for thread in load:
            thread.join()
        time.sleep(1)
        ended.set()
        for thread in around:
            thread.join()
        took = sorted(seconds for _, seconds in others)
        statuses = [status for status, _ in answers]
        print(f"    {what}: {statuses.count(200)} accepted, {statuses.count(503)} to be sent again; most memory {peak[0]} MiB, then "
              f"{self.memory('VmRSS')} MiB; the other list: p95 {took[int(0.95 * (len(took) - 1))]:.3f} s, slowest {took[-1]:.3f} s", flush=True)
        self.holds("Each is accepted, or to be sent again", [status for status in statuses if status not in (200, 503)])
        self.holds("Each report of the other list is accepted", [status for status, _ in others if status != 200])
        self.holds(f"It takes less than {MOST} MiB", peak[0] if peak[0] >= MOST else None)


def group(name, alerts, filling, status="firing"):
    """A webhook's body."""
    labels = {"alertname": name}
    alerts = [{"status": status, "labels": {**labels, "instance": f"host-{number}.example.test:9100", "job": "node", "severity": "critical"},
               "annotations": {"summary": f"{name} on host {number}", "description": "x" * filling}, "startsAt": "2026-11-28T09:00:00Z",
               "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://prometheus.example.test/graph",
               "fingerprint": f"{hash((name, number)) & 0xffffffffffffffff:016x}"} for number in range(alerts)]
    return json.dumps({"version": "4", "receiver": "x", "status": status, "groupKey": f"{{}}:{{{name}}}", "groupLabels": labels, "commonLabels": labels,
                       "commonAnnotations": {}, "externalURL": "http://a.example.test", "truncatedAlerts": 0, "alerts": alerts}).encode()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--folder", required=True, help="has memory.yaml, large_token and other_token; gets the log")
    parser.add_argument("--webhook", type=int, required=True, help="the port for webhooks")
    trial = Trial(parser.parse_args())
    sys.stdout.reconfigure(errors="replace")
    try:
        trial.start()
        print(f"    idle: {trial.memory('VmRSS')} MiB", flush=True)
        trial.load("24 bodies of 3.5 MB", [group(f"Large{number}", 5_000, 380) for number in range(24)])
        trial.load("6 bodies of 8 MiB", [group(f"Huge{number}", 19_000, 70) for number in range(6)])
        trial.load("the same 6, resolved", [group(f"Huge{number}", 19_000, 70, "resolved") for number in range(6)])
    finally:
        trial.process.terminate()
        trial.process.wait()
    print(f"\n{trial.passed} passed, {trial.failed} failed", flush=True)
    return 1 if trial.failed else 0


if __name__ == "__main__":
    sys.exit(main())
