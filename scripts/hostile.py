"""What a hostile room list does to its neighbours, for the trial of soak.py: a slow homeserver for its rooms, huge webhooks,
strange events and a flood of commands. Only Python's standard library is used.
"""

import contextlib
import datetime
import http.client
import http.server
import json
import random
import string
import threading
import time
import urllib.parse

from story import HttpError, Person, call, quote

LIST = "hostile"
# A list that nobody disturbs on purpose.
STOCK = "stock"
# Rooms of one list, more than matrixbot serves at a time.
SLOW_ROOMS = 40
SLOW = 3.0
HUGE = 8 * 1024 * 1024 - 64 * 1024


# In a body that was made before; of the length of `now`.
START = "2026-01-01T00:00:00.000000Z"


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class SlowHomeserver:
    """Passes requests to the homeserver, and lets those wait that name one of `rooms`."""

    def __init__(self, port, homeserver):
        self.rooms = set()
        target, rooms, local = urllib.parse.urlsplit(homeserver).netloc, self.rooms, threading.local()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_request(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = urllib.parse.unquote(self.path)
                if any(room in path for room in rooms):
                    time.sleep(SLOW)
                headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
                for attempt in (1, 2):
                    if not getattr(local, "connection", None):
                        local.connection = http.client.HTTPConnection(target, timeout=120)
                    try:
                        local.connection.request(self.command, self.path, body, headers)
                        answer = local.connection.getresponse()
                        content = answer.read()
                        break
                    except (OSError, http.client.HTTPException):
                        local.connection.close()
                        local.connection = None
                        if attempt == 2:
                            self.close_connection = True
                            return
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_DELETE = handle_request

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_):
                """A client that went away."""

        self.server = Server(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Attack:
    """What the admin of the hostile list's rooms (mallory) and the owner of its webhook token can do."""

    def __init__(self, options, instances, slow):
        self.options, self.instances, self.slow = options, instances, slow
        self.mallory = Person(options.homeserver, "mallory")
        self.server_name = self.mallory.user_id.split(":", 1)[1]
        self.user = f"@_alerts_{LIST}:{self.server_name}"
        self.stopped = threading.Event()
        self.huge = []
        self.counts = {"huge webhooks": 0, "webhooks": 0, "commands": 0, "strange events": 0}
        self.random = random.Random(2)
        self.threads = []

    def prepare(self):
        """Creates the list's rooms, and the huge bodies: made while the trial runs, they would hold up everything that this
        process passes on. Mallory's room is of a version that accepts power levels that are no numbers.
        """
        self.huge = [self.huge_body(f"Huge{number % 3}") for number in range(6)]
        names = ["hostile", *(f"slow-{number}" for number in range(SLOW_ROOMS))]
        rooms = {}
        for name in names:
            version = {"room_version": "9"} if name == "hostile" else {}
            rooms[name] = self.mallory.post("/createRoom", {"room_alias_name": name, "preset": "public_chat", **version})["room_id"]
        self.room = rooms.pop("hostile")
        self.slow.rooms.update(rooms.values())
        self.mallory.post("/createRoom", {"room_alias_name": STOCK, "preset": "public_chat"})

    def start(self):
        for action, seconds in ((self.huge_webhook, 5), (self.webhook, 1), (self.command, 0.1), (self.strange_event, 1)):
            thread = threading.Thread(target=self.repeat, args=(action, seconds), daemon=True)
            thread.start()
            self.threads.append(thread)

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join(60)

    def repeat(self, action, seconds):
        while not self.stopped.wait(seconds):
            with contextlib.suppress(HttpError, OSError):
                action()

    def post(self, body):
        token = (self.options.folder_path / "hostile_token").read_text().strip()
        call("POST", f"http://127.0.0.1:{self.random.choice(self.instances).webhook}/webhook/{LIST}", body, token, 30)

    def group(self, name, alerts):
        return {"version": "4", "receiver": LIST, "status": "firing", "groupKey": f"{{}}:{{{name}}}", "groupLabels": {"alertname": name},
                "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://a.example.test", "truncatedAlerts": 0, "alerts": alerts}

    def alert(self, name, number, filling, starts):
        return {"status": self.random.choice(["firing", "resolved"]), "labels": {"alertname": name, "n": str(number), "severity": "critical"},
                "annotations": {"summary": filling}, "startsAt": starts, "endsAt": starts, "generatorURL": "", "fingerprint": f"{hash((name, number)) & 0xffffffffffffffff:016x}"}

    def huge_body(self, name):
        filling = "x" * 1000
        count = HUGE // (len(json.dumps(self.alert(name, 100_000, filling, START))) + 2)
        return json.dumps(self.group(name, [self.alert(name, number, filling, START) for number in range(count)])).encode()

    def huge_webhook(self):
        """Most alerts end, or start anew."""
        self.counts["huge webhooks"] += 1
        body = self.huge[self.counts["huge webhooks"] % len(self.huge)]
        self.post(body.replace(START.encode(), now().encode()))

    def webhook(self):
        """An incident more, in every slow room."""
        self.counts["webhooks"] += 1
        name = f"Hostile{self.counts['webhooks']}"
        self.post(self.group(name, [{**self.alert(name, 0, "slow", now()), "status": "firing"}]))

    def command(self):
        self.counts["commands"] += 1
        self.mallory.say(self.room, self.random.choice(["help", "pending", "ack 1", "ack all", "resolve all", "snooze all 9h", "show 1"]))

    def strange_event(self):
        self.counts["strange events"] += 1
        kind = self.counts["strange events"] % 4
        if kind == 0:
            long_id = "$" + "".join(self.random.choices(string.ascii_letters, k=6000))
            relation = {"m.in_reply_to": {"event_id": long_id}}
            self.mallory.send(self.room, "m.room.message", {"msgtype": "m.text", "body": "ack", "m.relates_to": relation})
        elif kind == 1:
            self.mallory.react(self.room, "$" + "y" * 6000, "✅")
        elif kind == 2:
            levels = self.mallory.get(f"/rooms/{quote(self.room)}/state/m.room.power_levels")
            levels["users_default"] = self.random.choice(["0", " 0 ", 0])
            call("PUT", f"{self.mallory.base}/rooms/{quote(self.room)}/state/m.room.power_levels", levels, self.mallory.token)
        else:
            relation = {"rel_type": "m.thread", "event_id": "$none", "m.in_reply_to": {"event_id": 5}}
            self.mallory.send(self.room, "m.room.message", {"msgtype": "m.text", "body": "help", "m.relates_to": relation})
