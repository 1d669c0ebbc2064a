#!/usr/bin/env python3
"""Runs the main job on real servers and prints what the rooms show.

Alerts go in through Alertmanager's API, and people act and read through the Matrix Client-Server API, as ordinary members
of the rooms. Nothing else is checked.

    story.py rooms …   creates the three rooms, before matrixbot starts
    story.py play …    invites the virtual user and runs the story; exit status 1 if a step is not seen
    story.py storm …   forty alerts at once: one message shows them, alice acknowledges all of them, and they resolve

The accounts alice and bob exist, with their names as passwords. Only Python's standard library is used.
"""

import argparse
import datetime
import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

# The rooms in the order of escalation; the configuration has the same aliases.
ROOMS = [("first-line", "First line"), ("second-line", "Second line"), ("fallback", "Fallback")]
FIRST, SECOND, FALLBACK = (alias for alias, _ in ROOMS)

COLOUR = sys.stdout.isatty()


def paint(code, text):
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


class NotSeen(Exception):
    """A step of the story did not happen in time."""


class HttpError(Exception):
    """An answer that is not 2xx."""

    def __init__(self, method, url, status, body):
        super().__init__(f"{method} {url} answered {status}: {body}")
        self.status = status


def call(method, url, body=None, token=None, timeout=60):
    """One HTTP request with JSON in, encoded or not, and out."""
    request = urllib.request.Request(url, method=method)
    if body is not None:
        request.data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    # Everything is on loopback: no proxy.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        raise HttpError(method, url.split("?")[0], error.code, error.read().decode()[:500]) from None
    return json.loads(text) if text.strip() else {}


def quote(text):
    return urllib.parse.quote(text, safe="")


class Person:
    """A person with an ordinary Matrix client."""

    def __init__(self, homeserver, name):
        self.base = f"{homeserver}/_matrix/client/v3"
        self.name = name
        self.token = None
        self.txn = int(time.time() * 1000)
        login = self.post("/login", {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": name},
                                     "password": name, "initial_device_display_name": "story"})
        self.token, self.user_id = login["access_token"], login["user_id"]

    def get(self, path, **query):
        return call("GET", f"{self.base}{path}?{urllib.parse.urlencode(query)}", token=self.token)

    def post(self, path, body):
        return call("POST", self.base + path, body, self.token)

    def put(self, path, body):
        return call("PUT", self.base + path, body, self.token)

    def send(self, room_id, event_type, content):
        self.txn += 1
        path = f"/rooms/{quote(room_id)}/send/{event_type}/{self.txn}"
        return call("PUT", self.base + path, content, self.token)["event_id"]

    def say(self, room_id, body):
        return self.send(room_id, "m.room.message", {"msgtype": "m.text", "body": body})

    def react(self, room_id, event_id, key):
        relation = {"rel_type": "m.annotation", "event_id": event_id, "key": key}
        return self.send(room_id, "m.reaction", {"m.relates_to": relation})

    def room_id(self, alias):
        return self.get(f"/directory/room/{quote(alias)}")["room_id"]

    def membership(self, room_id, user_id):
        try:
            return self.get(f"/rooms/{quote(room_id)}/state/m.room.member/{quote(user_id)}").get("membership")
        except HttpError as error:
            if error.status == 404:
                return None
            raise

    def logout(self):
        self.post("/logout", {})


class Event:
    """An event of a room's timeline, as far as the story needs it."""

    # How many lines of a message the transcript shows.
    SHOWN = 4

    def __init__(self, room, event):
        content = event.get("content", {})
        relation = content.get("m.relates_to", {})
        self.room, self.id, self.type, self.sender = room, event["event_id"], event["type"], event["sender"]
        self.relation, self.target = relation.get("rel_type"), relation.get("event_id")
        self.key = relation.get("key")
        self.is_edit = self.relation == "m.replace"
        self.is_reply = "m.in_reply_to" in relation
        shown = content.get("m.new_content", content) if self.is_edit else content
        self.body = shown.get("body", "")
        self.membership = content.get("membership") if self.type == "m.room.member" else None
        self.whom = event.get("state_key", "").split(":")[0]

    def lines(self):
        """The lines that a client shows."""
        who = self.sender.split(":")[0]
        if self.type == "m.reaction":
            return [f"{who} reacts {self.key}"]
        if self.membership:
            return [{"join": f"{who} joins", "invite": f"{who} invites {self.whom}"}.get(
                self.membership, f"{self.whom}: {self.membership}")]
        if self.type != "m.room.message":
            return []
        how = " edits" if self.is_edit else " in the thread" if self.relation == "m.thread" else ""
        lines = [line for line in self.body.splitlines() if line.strip()] or [""]
        more = ["…"] if len(lines) > self.SHOWN else []
        return [f"{who}{how}: {lines[0]}", *("  " + line for line in lines[1:self.SHOWN] + more)]


class Watcher:
    """Reads all rooms as one of their members and remembers everything in order."""

    def __init__(self, person, rooms):
        self.person = person
        self.shows = True
        self.aliases = {room_id: alias for alias, room_id in rooms.items()}
        self.events = []
        query = json.dumps({"room": {"timeline": {"limit": 100}}, "presence": {"types": []}})
        self.filter = person.post(f"/user/{quote(person.user_id)}/filter", json.loads(query))["filter_id"]
        self.since = person.get("/sync", filter=self.filter, timeout=0)["next_batch"]

    def poll(self):
        answer = self.person.get("/sync", filter=self.filter, since=self.since, timeout=500)
        self.since = answer["next_batch"]
        for room_id, room in answer.get("rooms", {}).get("join", {}).items():
            for raw in room.get("timeline", {}).get("events", []):
                if room_id not in self.aliases:
                    continue
                event = Event(self.aliases[room_id], raw)
                self.events.append(event)
                lines = event.lines() if self.shows else []
                for number, line in enumerate(lines):
                    label = f"#{event.room}" if number == 0 else ""
                    print("    " + paint(36, f"{label:<14}") + line, flush=True)

    def wait(self, what, timeout, wanted):
        """The first event that matches `wanted`, old or coming."""
        started, looked_at = time.monotonic(), 0
        while True:
            for event in self.events[looked_at:]:
                if wanted(event):
                    return event
            looked_at = len(self.events)
            if time.monotonic() - started > timeout:
                raise NotSeen(f"{what}: not seen within {timeout} s")
            self.poll()


class Story:
    """The steps, each with what must be seen."""

    def __init__(self, options):
        self.options = options
        self.bot = options.virtual_user
        self.alice = Person(options.homeserver, "alice")
        self.bob = Person(options.homeserver, "bob")
        server_name = self.alice.user_id.split(":", 1)[1]
        self.rooms = {alias: self.alice.room_id(f"#{alias}:{server_name}") for alias, _ in ROOMS}
        self.watcher = Watcher(self.alice, self.rooms)
        # Distinguishes the alerts of this run from those of an earlier one.
        self.run = datetime.datetime.now().strftime("%H:%M:%S")
        self.passed = 0

    # --- alerts --------------------------------------------------------------------------------------

    def fire(self, name, severity, instance, summary):
        """Fires an alert and returns it for `resolve`."""
        now = datetime.datetime.now(datetime.timezone.utc)
        alert = {"labels": {"alertname": name, "severity": severity, "instance": instance, "story": self.run},
                 "annotations": {"summary": summary}, "generatorURL": "http://prometheus.example/graph",
                 "startsAt": now.isoformat(), "endsAt": (now + datetime.timedelta(hours=1)).isoformat()}
        self.send(alert)
        return alert

    def resolve(self, alert):
        now = datetime.datetime.now(datetime.timezone.utc)
        self.send({**alert, "endsAt": now.isoformat()})

    def send(self, alert):
        """To every peer, as Prometheus does."""
        for peer in self.options.alertmanager:
            call("POST", f"{peer}/api/v2/alerts", [alert])

    def silence(self, alert, state, seconds):
        """The only silence by alice of this alert, as every peer lists it within some seconds: in this state, for about so long."""
        for peer in self.options.alertmanager:
            deadline = time.monotonic() + 10
            while True:
                try:
                    found = self.listed_silence(peer, alert, state, seconds)
                    break
                except NotSeen:
                    if time.monotonic() > deadline:
                        raise
                    self.watcher.poll()
        return found

    def listed_silence(self, peer, alert, state, seconds):
        listed = call("GET", f"{peer}/api/v2/silences")
        matchers = {(name, value) for name, value in alert["labels"].items()}
        ours = [one for one in listed if one["createdBy"] == self.alice.user_id
                and {(matcher["name"], matcher["value"]) for matcher in one["matchers"]} == matchers]
        if [one["status"]["state"] for one in ours] != [state]:
            raise NotSeen(f"Alertmanager lists {[(one['createdBy'], one['status'], one['matchers']) for one in listed]}")
        found = ours[0]
        ends_at = datetime.datetime.fromisoformat(found["endsAt"].replace("Z", "+00:00"))
        lasts = (ends_at - datetime.datetime.now(datetime.timezone.utc)).total_seconds()
        if not seconds - 30 < lasts < seconds + 5:
            raise NotSeen(f"the silence lasts for {lasts:.0f} s more, not {seconds} s")
        query = urllib.parse.urlencode({"filter": f'instance="{alert["labels"]["instance"]}"'})
        held = any(found["id"] in one["status"]["silencedBy"]
                   for one in call("GET", f"{peer}/api/v2/alerts?{query}"))
        if held != (state == "active"):
            raise NotSeen(f"Alertmanager lists the alert as {'silenced' if held else 'not silenced'}")
        return found

    # --- what alice sees -----------------------------------------------------------------------------

    def step(self, what, action, *arguments):
        started = time.monotonic()
        result = action(*arguments)
        self.passed += 1
        print("  " + paint(32, "✓") + f" {what} " + paint(2, f"({time.monotonic() - started:.1f} s)"), flush=True)
        return result

    def from_bot(self, event, room):
        return event.sender == self.bot and event.room == room and event.type == "m.room.message"

    def is_page(self, event, room, name):
        """A new message about this alert: neither an edit nor an answer."""
        return (self.from_bot(event, room) and event.relation is None and not event.is_reply and name in event.body
                and self.run in event.body)

    def page(self, room, name, timeout):
        return self.watcher.wait(f"a page about {name} in #{room}", timeout,
                                 lambda event: self.is_page(event, room, name))

    def edited(self, page, word, who=""):
        return self.watcher.wait(f"the message in #{page.room} edited to {word} {who}".rstrip(), 30, lambda event: (
            self.from_bot(event, page.room) and event.is_edit and event.target == page.id
            and word in event.body.lower() and who in event.body))

    def answer(self, room, after, *words):
        """An answer of the virtual user to that event, with these words."""
        return self.watcher.wait(f"an answer in #{room}", 30, lambda event: (
            self.from_bot(event, room) and not event.is_edit and self.is_after(event, after)
            and all(word in event.body for word in words)))

    def is_after(self, event, event_id):
        ids = [seen.id for seen in self.watcher.events]
        return event_id in ids and ids.index(event.id) > ids.index(event_id)

    def number(self, page):
        found = re.search(r"#(\d+)", page.body)
        if not found:
            raise NotSeen(f"no incident number in {page.body.splitlines()[0]!r}")
        return found.group(1)

    def placed_reaction(self, page):
        return self.watcher.wait("the reaction of the virtual user", 30, lambda event: (
            event.sender == self.bot and event.type == "m.reaction" and event.target == page.id))

    def accept_invites(self):
        for alias, room_id in self.rooms.items():
            if self.alice.membership(room_id, self.bot) != "join":
                self.alice.post(f"/rooms/{quote(room_id)}/invite", {"user_id": self.bot})
        deadline = time.monotonic() + 60
        for alias, room_id in self.rooms.items():
            while self.alice.membership(room_id, self.bot) != "join":
                if time.monotonic() > deadline:
                    raise NotSeen(f"{self.bot} did not accept the invite to #{alias} within 60 s")
                self.watcher.poll()

    def is_ready(self):
        deadline = time.monotonic() + 60
        while True:
            try:
                return call("GET", f"{self.options.admin}/readyz")
            except (HttpError, OSError) as error:
                if time.monotonic() > deadline:
                    raise NotSeen(f"matrixbot did not become ready within 60 s: {error}") from None
                self.watcher.poll()

    def exactly_once(self, expected):
        """Every page is in its rooms once, and in no other room."""
        self.watcher.poll()
        for name, rooms in expected.items():
            for alias, _ in ROOMS:
                seen = sum(self.is_page(event, alias, name) for event in self.watcher.events)
                if seen != rooms.count(alias):
                    raise NotSeen(f"{name} appears {seen} times in #{alias}, not {rooms.count(alias)}")

    # --- the story -----------------------------------------------------------------------------------

    def play(self):
        wait = self.options.escalate_after

        self.title("Invited into three rooms")
        self.step("The virtual user joined all three", self.accept_invites)
        self.step("matrixbot is ready", self.is_ready)

        self.title("1. An alert fires; alice acknowledges it with a reaction")
        self.fire("DiskFull", "critical", "db-1", "The disk of db-1 is 98 % full")
        page = self.step("It pages the first room", self.page, FIRST, "DiskFull", 30)
        offered = self.step("The virtual user adds its reaction", self.placed_reaction, page)
        reaction = self.alice.react(self.rooms[FIRST], page.id, offered.key)
        self.step("The message is edited: acknowledged by alice", self.edited, page, "acknowledged", "alice")
        self.step("alice gets an answer", self.answer, FIRST, reaction, f"#{self.number(page)}", "acknowledged")

        self.title(f"2. Nobody acknowledges within {wait} s, so it escalates; bob acknowledges it with a command")
        self.fire("ApiDown", "critical", "api-1", "The API of api-1 does not answer")
        low = self.step("It pages the first room", self.page, FIRST, "ApiDown", 30)
        high = self.step("It escalates to the second room", self.page, SECOND, "ApiDown", wait + 30)
        command = self.bob.say(self.rooms[SECOND], f"ack {self.number(high)}")
        self.step("bob gets an answer", self.answer, SECOND, command, f"#{self.number(high)}", "acknowledged")
        self.step("The message in the second room is edited: acknowledged by bob", self.edited, high, "acknowledged", "bob")
        self.step("The message in the first room as well", self.edited, low, "acknowledged", "bob")

        self.title("3. An alert resolves")
        alert = self.fire("HighLatency", "warning", "web-1", "The 99th percentile is above 2 s")
        page = self.step("It pages the first room", self.page, FIRST, "HighLatency", 30)
        self.resolve(alert)
        self.step("The message is edited to RESOLVED", self.edited, page, "resolved")

        self.title("4. alice silences an alert in Alertmanager, for longer, and no more")
        alert = self.fire("QueueLong", "critical", "mq-1", "The queue of mq-1 is long")
        page = self.step("It pages the first room", self.page, FIRST, "QueueLong", 30)
        number = self.number(page)
        command = self.alice.say(self.rooms[FIRST], f"silence {number} 1m new consumers")
        self.step("alice gets an answer", self.answer, FIRST, command, f"#{number}", "silenced in Alertmanager")
        self.step("The message is edited: silenced by alice", self.edited, page, "🔇 silenced by", "alice")
        made = self.step("Alertmanager lists the silence as hers, and that it holds the alert", self.silence, alert, "active", 60)
        reaction = self.alice.react(self.rooms[FIRST], page.id, "🔇")
        self.step("A reaction makes it longer", self.answer, FIRST, reaction, f"#{number}", "silenced in Alertmanager")
        longer = self.step("Alertmanager lists the same silence for two hours", self.silence, alert, "active", 7200)
        if longer["id"] != made["id"]:
            raise NotSeen(f"the reaction made a second silence: {made['id']}, {longer['id']}")
        command = self.alice.say(self.rooms[FIRST], f"unsilence {made['id'][:8]}")
        self.step("alice ends it", self.answer, FIRST, command, made["id"][:8], "ended in Alertmanager")
        self.step("Alertmanager lists it as ended", self.silence, alert, "expired", 0)
        self.resolve(alert)
        self.step("The alert resolves", self.edited, page, "resolved")

        self.title("In total")
        self.step("Every page is in its rooms once, and in no other room", self.exactly_once,
                  {"DiskFull": [FIRST], "ApiDown": [FIRST, SECOND], "HighLatency": [FIRST],
                   "QueueLong": [FIRST]})

    # --- a storm -------------------------------------------------------------------------------------

    STORM = [("InstanceDown", "critical", 8), ("HighLoad", "warning", 20), ("DiskFull", "critical", 12)]

    def storm_alerts(self):
        """The alerts of a failed rack, each in a group of its own."""
        now = datetime.datetime.now(datetime.timezone.utc)
        times = {"startsAt": now.isoformat(), "endsAt": (now + datetime.timedelta(hours=1)).isoformat()}
        return [{"labels": {"alertname": name, "severity": severity, "instance": f"rack7-{number}", "story": self.run},
                 "annotations": {"summary": f"{name} on rack7-{number}"},
                 "generatorURL": "http://prometheus.example/graph", **times}
                for name, severity, count in self.STORM for number in range(1, count + 1)]

    def report(self, alerts):
        """Prometheus reports to each peer."""
        for peer in self.options.alertmanager:
            call("POST", f"{peer}/api/v2/alerts", alerts)

    def storm(self):
        is_digest = re.compile(r"FIRING: \d+ incidents")
        alerts = self.storm_alerts()
        self.title(f"{len(alerts)} alerts fire at once")
        self.report(alerts)
        digest = self.step("One message in the first room shows many of them", self.watcher.wait, "a digest", 60, lambda event: (
            self.from_bot(event, FIRST) and not event.is_edit and is_digest.search(event.body)))
        # Until it shows what came after the first ones.
        time.sleep(5)
        self.watcher.poll()
        sent = [event for event in self.watcher.events if self.from_bot(event, FIRST) and not event.is_edit]
        print(f"    {len(sent)} messages for {len(alerts)} alerts", flush=True)

        self.title("alice reacts to it")
        reaction = self.alice.react(self.rooms[FIRST], digest.id, "✅")
        self.step("She gets one answer for what it showed", self.answer, FIRST, reaction, "acknowledged")
        self.step("The message names her", self.edited, digest, "acknowledged", "alice")

        self.title("The alerts resolve")
        now = datetime.datetime.now(datetime.timezone.utc).isoformat()
        self.report([{**alert, "endsAt": now} for alert in alerts])
        self.step("The message is edited: resolved", self.edited, digest, "resolved: ")

    @staticmethod
    def title(text):
        print("\n" + paint(1, text), flush=True)


def create_rooms(options):
    """Creates the three rooms, with alice and bob in each, unless they exist."""
    alice, bob = Person(options.homeserver, "alice"), Person(options.homeserver, "bob")
    server_name = alice.user_id.split(":", 1)[1]
    for alias, name in ROOMS:
        try:
            room_id = alice.room_id(f"#{alias}:{server_name}")
        except HttpError as error:
            if error.status != 404:
                raise
            room_id = alice.post("/createRoom", {"room_alias_name": alias, "name": name, "preset": "private_chat",
                                                 "invite": [bob.user_id]})["room_id"]
        if options.virtual_user:
            # Otherwise the @room of its last notices would notify nobody.
            path = f"/rooms/{quote(room_id)}/state/m.room.power_levels"
            levels = alice.get(path)
            alice.put(path, {**levels, "users": {**levels.get("users", {}), options.virtual_user: 50}})
        if alice.membership(room_id, bob.user_id) != "join":
            bob.post(f"/rooms/{quote(room_id)}/join", {})
    alice.logout()
    bob.logout()


def play(options):
    story = Story(options)
    failed = 0
    try:
        story.storm() if options.command == "storm" else story.play()
    except (NotSeen, HttpError, OSError) as error:
        failed = 1
        print("  " + paint(31, f"✗ {error}"), flush=True)
    finally:
        story.alice.logout()
        story.bob.logout()
    print(f"\nstory: {story.passed} passed, {failed} failed", flush=True)
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["rooms", "play", "storm"])
    parser.add_argument("--homeserver", required=True, help="URL of the Client-Server API")
    parser.add_argument("--alertmanager", nargs="+", help="URL of Alertmanager, or of each peer")
    parser.add_argument("--admin", help="URL of matrixbot's admin listener")
    parser.add_argument("--virtual-user", help="user id of the room list's virtual user")
    parser.add_argument("--escalate-after", type=int, default=10, help="seconds before the first level escalates")
    options = parser.parse_args()
    # A terminal that cannot show a character gets a question mark.
    sys.stdout.reconfigure(errors="replace")
    if options.command == "rooms":
        create_rooms(options)
        return 0
    if not (options.alertmanager and options.admin and options.virtual_user):
        parser.error("play needs --alertmanager, --admin and --virtual-user")
    return play(options)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
