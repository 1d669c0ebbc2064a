#!/usr/bin/env python3
"""The trials of scripts/soak.sh, which starts the servers.

    soak.py kills …     two processes of matrixbot, killed in turns under load
    soak.py hostile …   two processes, and a room list that does what it can to disturb another one

The exit status is 1 if a promise was broken.

Built from the parts of story.py: people use the Matrix Client-Server API, and a referee reads the rooms as an ordinary
member. Only Python's standard library is used.
"""

import argparse
import contextlib
import datetime
import json
import pathlib
import queue
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error

import hostile
import story
from story import FIRST, SECOND, HttpError, NotSeen, call, quote

GROUP = re.compile(r"\bSoak(\d+)\b")


class Instance:
    """One process of matrixbot."""

    def __init__(self, options, name):
        folder = pathlib.Path(options.folder)
        self.command = [options.binary, "run", "--config", folder / f"{name}.yaml"]
        self.log = folder / f"{name}.log"
        self.appservice, self.webhook, self.admin = map(int, (folder / f"{name}.ports").read_text().split())
        self.process = None

    def start(self):
        with open(self.log, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def ended(self):
        return self.process.poll() is not None

    def end(self, signal_number):
        """Ends it; returns its exit status."""
        self.process.send_signal(signal_number)
        return self.process.wait(120)


def relay(source, target):
    with contextlib.suppress(OSError):
        shutil.copyfileobj(source.makefile("rb", 0), target.makefile("wb", 0))
    for one in (source, target):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


class Service:
    """What a Service of Kubernetes does: a port whose connections lead to any process that listens."""

    def __init__(self, port, backends):
        self.backends = backends
        self.listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            for port in random.sample(self.backends, len(self.backends)):
                with contextlib.suppress(OSError):
                    server = socket.create_connection(("127.0.0.1", port))
                    for pair in ((client, server), (server, client)):
                        threading.Thread(target=relay, args=pair, daemon=True).start()
                    break
            else:
                client.close()


class Poster:
    """Two Alertmanagers: posts groups until each has been accepted, and a third of them to both processes at once."""

    def __init__(self, instances, room_list, token):
        self.instances, self.room_list, self.token = instances, room_list, token
        self.posted, self.slowest, self.attempts, self.errors = {}, 0.0, 0, []
        self.work = queue.Queue()
        self.threads = [threading.Thread(target=self.serve, daemon=True) for _ in range(4)]
        for thread in self.threads:
            thread.start()

    def post(self, number):
        self.posted[number] = time.time()
        starts = datetime.datetime.now(datetime.timezone.utc).isoformat()
        labels = {"alertname": f"Soak{number}", "severity": "critical"}
        body = {"version": "4", "receiver": "soak", "status": "firing", "groupKey": f'{{}}:{{alertname="Soak{number}"}}', "groupLabels": labels,
                "commonLabels": labels, "commonAnnotations": {}, "externalURL": "http://alertmanager.example.test", "truncatedAlerts": 0,
                "alerts": [{"status": "firing", "labels": labels, "annotations": {"summary": f"Alert {number} of a trial"}, "startsAt": starts,
                            "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://prometheus.example.test", "fingerprint": f"{number:016x}"}]}
        for instance in random.sample(self.instances, 2 if number % 3 == 0 else 1):
            self.work.put((instance, body))

    def serve(self):
        while True:
            instance, body = self.work.get()
            try:
                self.deliver(instance, body)
            except Exception as error:  # The referee reports it: a thread must not end unnoticed.
                self.errors.append(str(error))
            self.work.task_done()

    def deliver(self, instance, body):
        started = time.monotonic()
        while True:
            self.attempts += 1
            try:
                call("POST", f"http://127.0.0.1:{instance.webhook}/webhook/{self.room_list}", body, self.token, 10)
                self.slowest = max(self.slowest, time.monotonic() - started)
                return
            except (HttpError, OSError) as error:
                if isinstance(error, HttpError) and error.status not in (500, 503) or time.monotonic() - started > 180:
                    raise
                # Alertmanager tries again, at a process that its peer may reach.
                instance = random.choice(self.instances)
                time.sleep(0.3)


class Trial(story.Story):
    """Two processes of matrixbot, alerts that people acknowledge, and a referee."""

    def __init__(self, options):
        super().__init__(options)
        self.watcher.shows = False
        self.instances = [Instance(options, "a"), Instance(options, "b")]
        self.poster = Poster(self.instances, options.room_list, (pathlib.Path(options.folder) / "webhook_token").read_text().strip())
        self.service = Service(options.appservice, [instance.appservice for instance in self.instances])
        self.random = random.Random(1)
        # Group to how it was acknowledged.
        self.acknowledged, self.disturbed_by, self.looked_at = {}, "", 0
        self.failed = 0

    def is_ready(self):
        options = argparse.Namespace(**vars(self.options))
        for instance in self.instances:
            self.options = argparse.Namespace(**{**vars(options), "admin": f"http://127.0.0.1:{instance.admin}"})
            super().is_ready()
        self.options = options

    def number_of(self, event):
        """The group of a page in the room; None for other events."""
        if event.sender == self.bot and event.type == "m.room.message" and event.relation is None and not event.is_reply:
            found = GROUP.search(event.body)
            return int(found[1]) if found else None
        return None

    def acknowledge(self):
        """People react to every fourth page of the first room, and answer every fourth with a command."""
        for event in self.watcher.events[self.looked_at:]:
            number = self.number_of(event) if event.room == FIRST else None
            if number is None or number in self.acknowledged or number % 4 > 1:
                continue
            if number % 4 == 0:
                self.alice.react(self.rooms[FIRST], event.id, "✅")
            else:
                self.bob.say(self.rooms[FIRST], f"ack {self.number(event)}")
            self.acknowledged[number] = "reaction" if number % 4 == 0 else "command"
        self.looked_at = len(self.watcher.events)

    def start(self):
        for instance in self.instances:
            instance.start()
        self.step("The virtual user is in all three rooms", self.accept_invites)
        self.step("Both processes are ready", self.is_ready)

    def finish(self):
        self.title("Until everything has settled")
        self.step("Every webhook is accepted", self.settle, lambda: not self.poster.work.unfinished_tasks)
        self.step("Every page is in its room, every acknowledgement shown", self.settle, lambda: not self.missing(self.read()))
        # Whatever is sent twice is sent by now: longer than a lease, and than the homeserver's next attempt.
        self.step("Nothing more comes", self.watch, 30)
        self.referee(self.read())

    def watch(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.watcher.poll()
            self.acknowledge()

    def settle(self, reached):
        deadline = time.monotonic() + 180
        while not reached():
            if time.monotonic() > deadline:
                raise NotSeen("not within 3 minutes")
            self.watch(2)

    # --- the referee ---------------------------------------------------------------------------------

    def read(self):
        """Every event of every room, as bob reads it: pages by room and group, and the groups shown as acknowledged."""
        pages, shown = {FIRST: {}, SECOND: {}}, set()
        for alias in pages:
            groups, edited = {}, set()
            for event in self.history(alias):
                if (number := self.number_of(event)) is not None:
                    pages[alias].setdefault(number, []).append(event)
                    groups[event.id] = number
                elif event.sender == self.bot and event.is_edit and "acknowledged" in event.body.lower():
                    edited.add(event.target)
            shown |= {groups[target] for target in edited if target in groups}
        return pages, shown

    def counted(self):
        """How many incidents of the list matrixbot counts as acknowledged."""
        command = [self.options.binary, "incidents", "list", "--room-list", self.options.room_list, "--state", "acknowledged",
                   "--limit", "10000", "--json", "--config", pathlib.Path(self.options.folder) / "a.yaml"]
        return len(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))

    def history(self, alias):
        path, start = f"/rooms/{quote(self.rooms[alias])}/messages", {}
        while True:
            answer = self.bob.get(path, dir="b", limit=500, **start)
            for raw in answer["chunk"]:
                event = story.Event(alias, raw)
                event.at = raw["origin_server_ts"] / 1000
                yield event
            if not answer["chunk"] or "end" not in answer:
                return
            start = {"from": answer["end"]}

    def missing(self, found):
        """What has yet to come: pages, escalations of what nobody acknowledged, and acknowledgements."""
        pages, shown = found
        groups = set(self.poster.posted)
        return (groups - pages[FIRST].keys()) | ((groups - self.acknowledged.keys()) - pages[SECOND].keys()) | (self.acknowledged.keys() - shown)

    def referee(self, found):
        pages, shown = found
        groups, acknowledged = set(self.poster.posted), set(self.acknowledged)
        twice = {alias: sorted(number for number, events in of.items() if len(events) > 1) for alias, of in pages.items()}
        latencies = sorted(events[0].at - self.poster.posted[number] for number, events in pages[FIRST].items() if number in groups)
        # Escalated before the acknowledgement, which is slow while a process is dead.
        late = len(acknowledged & pages[SECOND].keys())
        self.title("What bob sees")
        ways = list(self.acknowledged.values())
        print(f"    {len(groups)} groups, {self.poster.attempts} webhooks, the slowest accepted after {self.poster.slowest:.1f} s; {self.disturbed_by}", flush=True)
        print(f"    {len(pages[FIRST])} pages, {len(pages[SECOND])} escalations (of acknowledged groups: {late})")
        print(f"    {len(ways)} acknowledgements: {ways.count('reaction')} reactions, {ways.count('command')} commands; {len(shown)} shown")
        if latencies:
            middle, high = (latencies[int(part * (len(latencies) - 1))] for part in (0.5, 0.95))
            print(f"    webhook → page in the room: median {middle:.2f} s, p95 {high:.2f} s, slowest {latencies[-1]:.2f} s", flush=True)
        self.holds("Every webhook was accepted", self.poster.errors)
        self.holds("Every page is there", sorted(groups - pages[FIRST].keys()))
        self.holds("No page is there twice", twice[FIRST])
        self.holds("Every escalation is there", sorted(groups - acknowledged - pages[SECOND].keys()))
        self.holds("No escalation is there twice", twice[SECOND])
        self.holds("Every acknowledgement is shown, and no other", sorted(acknowledged ^ shown))
        counted = self.counted()
        self.holds("Every acknowledgement is counted", [] if counted == len(acknowledged) else [f"matrixbot counts {counted}"])
        self.holds("No other page is there", sorted((pages[FIRST].keys() | pages[SECOND].keys()) - groups))

    def holds(self, what, broken):
        if broken:
            self.failed += 1
            print("  " + story.paint(31, f"✗ {what}, except: {broken}"), flush=True)
        else:
            self.step(what, lambda: None)

    def close(self):
        for instance in self.instances:
            if instance.process and not instance.ended() and instance.end(signal.SIGTERM):
                self.failed += 1
                print("  " + story.paint(31, f"✗ a process did not stop; its log is {instance.log}"), flush=True)


class Kills(Trial):
    """The processes are killed in turns."""

    def play(self):
        self.start()
        self.title(f"{self.options.minutes} minutes of alerts and kills")
        end = time.monotonic() + 60 * self.options.minutes
        next_group = next_kill = time.monotonic()
        restart, victim, shown, kills = None, 0, 0, 0
        while time.monotonic() < end:
            now = time.monotonic()
            if now >= next_group:
                self.poster.post(len(self.poster.posted) + 1)
                next_group = now + self.random.uniform(0.5, 2)
            if restart is None and now >= next_kill + 5:
                self.instances[victim].end(signal.SIGKILL)
                kills += 1
                restart = now + self.random.uniform(0, 4)
            elif restart is not None and now >= restart:
                self.instances[victim].start()
                restart, victim, next_kill = None, 1 - victim, now + self.random.uniform(0, 5)
            for index, instance in enumerate(self.instances):
                if instance.ended() and not (restart is not None and index == victim):
                    raise NotSeen(f"a process ended that nobody killed; its log is {instance.log}")
            self.watcher.poll()
            self.acknowledge()
            if (minute := int((now - end) / 60 + self.options.minutes)) > shown:
                shown = minute
                print(f"    {len(self.poster.posted)} groups, {kills} kills, {len(self.acknowledged)} acknowledgements", flush=True)
        if restart is not None:
            self.instances[victim].start()
        self.disturbed_by = f"{kills} kills"
        self.finish()


class Hostile(Trial):
    """Half of the time in peace, then as long beside a hostile room list."""

    def __init__(self, options):
        super().__init__(options)
        # A third list, which has nothing to do with either.
        self.stock = Poster(self.instances, hostile.STOCK, self.poster.token)
        self.slow = hostile.SlowHomeserver(options.slow_homeserver, options.homeserver)
        self.attack = hostile.Attack(options, self.instances, self.slow)
        self.began = None

    def play(self):
        self.step("Mallory has her rooms", self.attack.prepare)
        self.start()
        self.title(f"{self.options.minutes} minutes of alerts, the second half beside a hostile room list")
        self.post_for(30 * self.options.minutes)
        self.began = time.time()
        self.attack.start()
        self.post_for(30 * self.options.minutes)
        self.attack.stop()
        self.disturbed_by = ", ".join(f"{count} {what}" for what, count in self.attack.counts.items())
        self.finish()

    def post_for(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.poster.post(len(self.poster.posted) + 1)
            self.stock.post(1_000_000 + len(self.poster.posted))
            self.watch(self.random.uniform(0.5, 2))
        print(f"    {len(self.poster.posted)} groups, {len(self.acknowledged)} acknowledgements", flush=True)

    def referee(self, found):
        super().referee(found)
        pages, _ = found
        times = {number: (events[0].at - self.poster.posted[number], self.poster.posted[number]) for number, events in pages[FIRST].items()
                 if number in self.poster.posted}
        before, during = (sorted(took for took, posted in times.values() if (posted >= self.began) == attacked) for attacked in (False, True))
        p95 = [of[int(0.95 * (len(of) - 1))] if of else 0.0 for of in (before, during)]
        wait = self.options.escalate_after
        late = sorted(number for number, events in pages[SECOND].items() if number in pages[FIRST]
                      and not wait - 1 < events[0].at - pages[FIRST][number][0].at < wait + 5)
        print(f"    webhook → page, p95: {p95[0]:.3f} s in peace, {p95[1]:.3f} s beside the hostile list: {p95[1] / max(p95[0], 0.001):.2f} times", flush=True)
        self.holds("Every report of the third list is accepted within 10 s", self.stock.errors or [took for took in [self.stock.slowest] if took > 10])
        if not self.options.without_speed:
            self.holds("The p95 is below twice that in peace", [] if p95[1] < 2 * max(p95[0], 0.05) else [f"{p95[1]:.3f} s"])
        self.holds("No escalation is early or late", late)


def run(trial):
    try:
        trial.play()
    except (NotSeen, HttpError, OSError, urllib.error.URLError) as error:
        trial.failed += 1
        print("  " + story.paint(31, f"✗ {error}"), flush=True)
        with contextlib.suppress(HttpError, OSError):
            trial.referee(trial.read())
    finally:
        trial.close()
    print(f"\n{trial.passed} passed, {trial.failed} failed", flush=True)
    return 1 if trial.failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trial", choices=["kills", "hostile"])
    parser.add_argument("--minutes", type=int, required=True)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--folder", required=True, help="has a.yaml, a.ports, b.yaml, b.ports and webhook_token; gets the logs")
    parser.add_argument("--homeserver", required=True, help="URL of the Client-Server API")
    parser.add_argument("--appservice", type=int, required=True, help="the port that the homeserver calls")
    parser.add_argument("--room-list", required=True)
    parser.add_argument("--virtual-user", required=True)
    parser.add_argument("--slow-homeserver", type=int, help="hostile: the port that matrixbot takes for the homeserver")
    parser.add_argument("--without-speed", action="store_true", help="hostile: show the speed, but do not judge it")
    parser.add_argument("--escalate-after", type=int, required=True, help="seconds")
    options = parser.parse_args()
    sys.stdout.reconfigure(errors="replace")
    # So that processes are stopped when this one is.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options.folder_path = pathlib.Path(options.folder)
    return run({"kills": Kills, "hostile": Hostile}[options.trial](options))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
