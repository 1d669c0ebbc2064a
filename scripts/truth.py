#!/usr/bin/env python3
"""Whether the rooms say what is true: the trial of soak.sh, which starts the servers. The exit status is 1 if they did not.

Seeded sources report to a pair of Alertmanagers, as Prometheus does. Outages, silences, inhibitions, restarts of a peer without
its storage, edits of the routes and absences of matrixbot come at random. referee.py judges what the rooms contain.

Only Python's standard library is used.
"""

import argparse
import contextlib
import datetime
import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time
import urllib.error

import referee
import soak
import story
from story import FIRST, HttpError, NotSeen, call, quote

# Seconds between two reports of a source, and how far ahead they set the end of an alert.
EVERY, AHEAD = 8, referee.AHEAD
# For so long a source reports that an alert has ended.
ENDS_FOR = 30
# How many alerts are alone in their groups.
ALONE = 15
CONFIGURATION = """\
route:
  receiver: {receiver}
  group_by: [{group_by}]
  group_wait: {wait}s
  group_interval: {interval}s
  repeat_interval: 5m
  routes: [{{receiver: nobody, matchers: [role="inhibitor"]}}]
inhibit_rules: [{{source_matchers: [role="inhibitor"], target_matchers: [role="source"], equal: [instance]}}]
receivers:
  - name: nobody
  - name: {receiver}
    webhook_configs:
      - {{url: "http://127.0.0.1:{webhook}/webhook/{room_list}", http_config: {{authorization: {{credentials: "{token}"}}}}}}
"""
# What an edit of the routes chooses from: the receiver's name, and the labels of a group.
ROUTES = [("matrixbot", "alertname"), ("matrixbot", "alertname, instance"), ("pager", "alertname, severity"), ("pager", "alertname, instance")]


def instant(at):
    return datetime.datetime.fromtimestamp(at, datetime.timezone.utc).isoformat()


class Peer:
    """One Alertmanager of the pair."""

    def __init__(self, options, name, port, cluster, other):
        self.folder = pathlib.Path(options.folder) / name
        self.folder.mkdir(exist_ok=True)
        self.url, self.process = f"http://127.0.0.1:{port}", None
        self.command = [*json.loads(options.alertmanager), f"--config.file={options.folder}/truth.yml", f"--storage.path={self.folder}/data",
                        f"--web.listen-address=127.0.0.1:{port}", f"--cluster.listen-address=127.0.0.1:{cluster}",
                        f"--cluster.peer=127.0.0.1:{other}", "--cluster.reconnect-interval=2s", "--log.level=info"]

    def start(self):
        with open(self.folder / "alertmanager.log", "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def lose_everything(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder / "data", ignore_errors=True)

    def call(self, method, path, body=None):
        """The answer; None if there is none."""
        with contextlib.suppress(HttpError, OSError, ValueError):
            return call(method, self.url + path, body, timeout=5)
        return None

    def is_ready(self):
        try:
            call("GET", self.url + "/api/v2/status", timeout=2)
            return True
        except (HttpError, OSError):
            return False


class Source:
    """An alert that a Prometheus would report, and when it was firing."""

    def __init__(self, labels, truth, chance):
        self.labels, self.truth, self.chance = labels, truth, chance
        self.starts_at, self.ended_at, self.report_at = None, None, 0.0
        self.change_at = time.time() + chance.uniform(2, 40)
        self.promised = 0.0

    def begin(self, now, lasts):
        self.starts_at, self.ended_at, self.report_at, self.change_at = now, None, now, now + lasts

    def end(self, now, pause, at_once=True):
        """It ends. Unless at once, the source only stops to report it."""
        over = now if at_once else max(self.promised, now)
        self.truth.outages.append((self.starts_at, over))
        self.ended_at = now if at_once else None
        self.starts_at, self.report_at, self.change_at = None if not at_once else self.starts_at, now, max(over, now) + pause

    def reports(self, peers, now):
        is_over = self.ended_at is not None and now > self.ended_at + ENDS_FOR
        if self.starts_at is None or is_over or now < self.report_at:
            return
        alert = {"labels": self.labels, "annotations": {"summary": f"Source {self.labels['instance']} fails"}, "startsAt": instant(self.starts_at),
                 "endsAt": instant(self.ended_at or now + AHEAD), "generatorURL": "http://prometheus.example.test/graph"}
        # Some reports reach one peer only; that it has ended reaches both.
        some = peers if self.ended_at or self.chance.random() < 0.85 else [self.chance.choice(peers)]
        for peer in some:
            peer.call("POST", "/api/v2/alerts", [alert])
        self.promised, self.report_at = now + AHEAD, now + EVERY

    @property
    def is_firing(self):
        return self.starts_at is not None and self.ended_at is None


class Truth(story.Story):
    """The world of the trial."""

    def __init__(self, options):
        super().__init__(options)
        self.watcher.shows = False
        self.chance = random.Random(options.seed)
        self.bot_process = soak.Instance(options, "a")
        ports = options.alertmanager_ports
        self.peers = [Peer(options, "peer-a", ports[0], ports[1], ports[3]), Peer(options, "peer-b", ports[2], ports[3], ports[1])]
        self.record = referee.Record()
        self.sources, self.inhibitors, self.silences = [], [], []
        self.down = {}
        self.acknowledge_at, self.looked_at = [], 0
        self.counts = dict.fromkeys(["silences", "ended early", "inhibitions", "edits of routes", "restarts of a peer", "absences",
                                     "acknowledgements"], 0)

    # --- what happens ------------------------------------------------------------------------------------

    def routes(self, route):
        options = self.options
        (options.folder_path / "truth.yml").write_text(CONFIGURATION.format(
            receiver=route[0], group_by=route[1], wait=referee.GROUP_WAIT, interval=referee.GROUP_INTERVAL, webhook=self.bot_process.webhook,
            room_list=options.room_list, token=(options.folder_path / "webhook_token").read_text().strip()))

    def prepare(self):
        self.routes(ROUTES[0])
        for peer in self.peers:
            peer.start()
        self.bot_process.start()
        self.step("Both peers answer", self.wait_for, lambda: all(peer.is_ready() for peer in self.peers))
        self.step("The virtual user is in all three rooms", self.accept_invites)
        self.step("matrixbot is ready", self.is_ready)
        # Alerts that are alone in their groups, and three that can share one.
        for number in range(ALONE + 3):
            labels = {"alertname": f"Truth{min(number, ALONE)}", "instance": f"i{number:02}", "role": "source", "severity": "critical"}
            truth = self.record.alerts[labels["instance"]] = referee.Alert(mates=number >= ALONE)
            self.sources.append(Source(labels, truth, self.chance))

    def wait_for(self, reached):
        deadline = time.monotonic() + 60
        while not reached():
            if time.monotonic() > deadline:
                raise NotSeen("not within a minute")
            time.sleep(0.2)

    def outages(self, now):
        for source in self.sources:
            if now >= source.change_at:
                if source.is_firing:
                    pause = self.chance.choice([self.chance.uniform(15, 100), self.chance.uniform(referee.PAUSE, 200)])
                    source.end(now, pause, self.chance.random() < 0.8)
                else:
                    source.begin(now, self.chance.choice([self.chance.uniform(20, 75), self.chance.uniform(75, 240)]))

    def reports(self, now):
        up = [peer for peer in self.peers if peer not in self.down]
        for source in self.sources + self.inhibitors:
            source.reports(up, now)

    def hold(self, now):
        """A silence, or another alert that inhibits one."""
        free = [source for source in self.sources if not source.truth.is_held(now)]
        if not free:
            return
        source = self.chance.choice([source for source in free if source.is_firing] or free)
        instance, lasts = source.labels["instance"], self.chance.uniform(20, 150)
        if self.chance.random() < 0.25:
            labels = {"alertname": "Inhibitor", "instance": instance, "role": "inhibitor"}
            inhibitor = Source(labels, referee.Alert(), random.Random(1))
            inhibitor.begin(now, lasts)
            inhibitor.holding = [now, now + lasts]
            source.truth.holds.append(inhibitor.holding)
            self.inhibitors.append(inhibitor)
            self.counts["inhibitions"] += 1
            return
        matcher = {"name": "instance", "value": instance, "isRegex": False, "isEqual": True}
        silence = {"matchers": [matcher], "startsAt": instant(now - 60), "endsAt": instant(now + lasts), "createdBy": "bob", "comment": "trial"}
        up = [peer for peer in self.peers if peer not in self.down]
        answer = self.chance.choice(up).call("POST", "/api/v2/silences", silence)
        if answer is None:
            return
        hold = [now, now + lasts]
        source.truth.holds.append(hold)
        self.silences.append((answer["silenceID"], hold, now + self.chance.uniform(15, lasts) if self.chance.random() < 0.5 else None))
        self.counts["silences"] += 1

    def end_holds(self, now, all_of_them=False):
        for inhibitor in self.inhibitors:
            if inhibitor.is_firing and (now >= inhibitor.change_at or all_of_them):
                inhibitor.end(now, 1e9)
                inhibitor.holding[1] = now
        for silence in list(self.silences):
            number, hold, early = silence
            if hold[1] <= now:
                self.silences.remove(silence)
            elif all_of_them or (early is not None and now >= early):
                up = [peer for peer in self.peers if peer not in self.down]
                if any(peer.call("DELETE", f"/api/v2/silence/{number}") is not None for peer in up):
                    hold[1] = now
                    self.silences.remove(silence)
                    self.counts["ended early"] += 1

    def restart(self, now):
        peer = self.chance.choice(self.peers)
        peer.lose_everything()
        self.down[peer] = now + self.chance.uniform(2, 10)
        self.counts["restarts of a peer"] += 1

    def return_peers(self, now):
        for peer, at in list(self.down.items()):
            if now >= at and peer.process.poll() is not None:
                peer.start()
            elif now >= at and peer.is_ready():
                del self.down[peer]
                self.record.restarts.append(now)

    def edit_routes(self, _now):
        self.routes(self.chance.choice(ROUTES))
        for peer in self.peers:
            peer.call("POST", "/-/reload")
        self.counts["edits of routes"] += 1

    def leave(self, now):
        self.bot_process.end(self.chance.choice([signal.SIGKILL, signal.SIGTERM]))
        self.record.absences.append([now, None])
        self.back_at = now + self.chance.uniform(20, 90)
        self.counts["absences"] += 1

    def come_back(self, now):
        """Whether matrixbot is there."""
        if not self.record.absences or self.record.absences[-1][1] is not None:
            return True
        if now < self.back_at:
            return False
        if self.bot_process.ended():
            self.bot_process.start()
        with contextlib.suppress(HttpError, OSError):
            call("GET", f"{self.options.admin}/livez", timeout=1)
            self.record.absences[-1][1] = time.time()
        return self.record.absences[-1][1] is not None

    def acknowledge(self, now):
        """Alice reacts to two of five pages, some seconds later."""
        for event in self.watcher.events[self.looked_at:]:
            if event.room == FIRST and referee.seen(event, self.bot) and not event.is_edit and self.chance.random() < 0.4:
                self.acknowledge_at.append((now + self.chance.uniform(2, 20), event.id))
        self.looked_at = len(self.watcher.events)
        for due in [due for due in self.acknowledge_at if due[0] <= now]:
            self.acknowledge_at.remove(due)
            self.alice.react(self.rooms[FIRST], due[1], "✅")
            self.counts["acknowledgements"] += 1

    # --- the trial ---------------------------------------------------------------------------------------

    def play(self):
        self.prepare()
        self.title(f"{self.options.minutes} minutes of outages, seed {self.options.seed}")
        began = time.time()
        end, printed = began + 60 * self.options.minutes, 0
        # What happens, when next, and how many seconds pass between.
        events = [[self.hold, began + 15, (5, 18)], [self.edit_routes, began + 30, (30, 80)],
                  [self.restart, began + 75, (60, 130)], [self.leave, began + 110, (110, 170)]]
        while (now := time.time()) < end:
            here = self.come_back(now)
            self.return_peers(now)
            self.outages(now)
            for event in events:
                if now >= event[1] and not (event[0] == self.leave and not here or event[0] == self.restart and self.down):
                    event[0](now)
                    event[1] = now + self.chance.uniform(*event[2])
            self.end_holds(now)
            self.reports(now)
            self.watcher.poll()
            self.acknowledge(now)
            if self.come_back(now) and self.bot_process.ended():
                raise NotSeen(f"matrixbot ended on its own; its log is {self.bot_process.log}")
            if (minute := int((now - began) / 60)) > printed:
                printed = minute
                print(f"    {sum(len(one.outages) for one in self.record.alerts.values())} outages over; " + self.counted(), flush=True)
        self.record.end = time.time()
        self.title("Until everything has settled")
        self.step("Every outage and every hold ends", self.settle)
        self.judge()

    def settle(self):
        now = time.time()
        self.end_holds(now, True)
        for source in self.sources:
            source.change_at = float("inf")
            if source.is_firing:
                source.end(now, float("inf"))
        until = now + referee.RESOLVED + 45
        while (now := time.time()) < until:
            # Nothing is over before matrixbot is back for as long as the longest bound.
            if not self.come_back(now):
                until = now + referee.RESOLVED + 45
            self.return_peers(now)
            self.reports(now)
            self.end_holds(now, True)
            self.watcher.poll()

    def counted(self):
        return ", ".join(f"{count} {what}" for what, count in self.counts.items())

    def judge(self):
        self.title("What bob sees")
        events = [event for alias in self.rooms for event in soak.Trial.history(self, alias)]
        print("    " + self.counted(), flush=True)
        judge = referee.Referee(self.record, events, self.bot)
        (self.options.folder_path / "truth.json").write_text(json.dumps(judge.evidence(), indent=1))
        for line in judge.figures():
            print(f"    {line}", flush=True)
        for what, broken in judge.verdicts():
            if broken:
                self.failed += 1
                print("  " + story.paint(31, f"✗ {what}, except:"), *broken, sep="\n      ", flush=True)
            else:
                self.step(what, lambda: None)

    failed = 0

    def close(self):
        if self.bot_process.process and not self.bot_process.ended():
            self.bot_process.end(signal.SIGTERM)
        for peer in self.peers:
            if peer.process and peer.process.poll() is None:
                peer.process.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--folder", required=True, help="has a.yaml, a.ports and webhook_token; gets the logs and truth.json")
    parser.add_argument("--homeserver", required=True, help="URL of the Client-Server API")
    parser.add_argument("--room-list", required=True)
    parser.add_argument("--virtual-user", required=True)
    parser.add_argument("--admin", required=True, help="URL of matrixbot's admin listener")
    parser.add_argument("--alertmanager", required=True, help="the words that start it, in JSON")
    parser.add_argument("--alertmanager-ports", type=int, nargs=4, required=True, help="of each peer, for its API and its cluster")
    options = parser.parse_args()
    sys.stdout.reconfigure(errors="replace")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options.folder_path = pathlib.Path(options.folder)
    trial = Truth(options)
    try:
        trial.play()
    except (NotSeen, HttpError, OSError, urllib.error.URLError) as error:
        trial.failed += 1
        print("  " + story.paint(31, f"✗ {error}"), flush=True)
    finally:
        trial.close()
    print(f"\n{trial.passed} passed, {trial.failed} failed", flush=True)
    return 1 if trial.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
