"""Judges what the rooms of the trial truth.py contain, from what was firing and what was held back when.

An alert is *active* while it is firing and nothing holds it back. All times are in seconds since 1970, all bounds in seconds.
"""

import re
from story import FIRST

# As the trial configures Alertmanager; the time between two peers of a cluster is Alertmanager's default.
GROUP_WAIT, GROUP_INTERVAL, PEER_TIMEOUT = 5, 15, 15
# How far ahead sources set the end of an alert: a peer that one report does not reach lists it for so long.
AHEAD = 40
# matrixbot's poll interval, its shortest patience with a webhook, and how long it keeps a resolved incident here.
POLL, PATIENCE, REOPEN_WINDOW = 30, 60, 30
# What processes and the homeserver need, on a machine with two cores.
SLACK = 10

# A webhook: the group's next flush, the turn of the second peer.
WEBHOOK = max(GROUP_WAIT, GROUP_INTERVAL) + PEER_TIMEOUT + SLACK
# A page that only a poll can give: the first poll that lists the alert, the patience, the next poll.
NOTIFIED = POLL + PATIENCE + POLL + SLACK
# The end of a hold: two polls. If it came while matrixbot was away, it pages 90 s after the start, unless polls know better.
RELEASED, RELEASED_LATE = 2 * POLL + SLACK, 90 + SLACK
# The end of an incident: what the peers were promised, two polls.
RESOLVED = AHEAD + 2 * POLL + SLACK
# A page may come that long after its alert has ended or is held back, because Alertmanager's report is so old, or because a
# hold is seen by the next poll.
LATE = max(WEBHOOK, POLL + SLACK)
# A shorter pause joins two outages: the incident is open, or is reopened with its acknowledgement.
PAUSE = RESOLVED + REOPEN_WINDOW
# A shorter hold may be seen by no poll.
SEEN_HOLD = POLL + SLACK

HEADLINE = re.compile(r"(FIRING AGAIN|FIRING|ESCALATED|ACKNOWLEDGED|SNOOZED|UNANSWERED|SUPPRESSED|RESOLVED) #(\d+) Truth\d+")
ALERT = re.compile(r"\bi(\d\d)\b")


class Alert:
    """The truth about one alert: when it was firing, and when it was held back."""

    def __init__(self, mates=False):
        self.outages, self.holds, self.mates = [], [], mates

    def is_held(self, now):
        return any(start <= now <= end + 5 for start, end in self.holds)

    def active(self):
        """When it was firing and nothing held it back, with the start of its outage, and the hold before, if any."""
        for start, end in self.outages:
            at, before = start, None
            for hold in sorted(self.holds):
                if hold[1] <= at or hold[0] >= end:
                    continue
                if hold[0] > at:
                    yield at, hold[0], start, before
                at, before = max(at, min(hold[1], end)), hold
            if at < end:
                yield at, end, start, before

    def was_firing(self, at):
        return any(start <= at <= end for start, end in self.outages)


class Record:
    """What happened."""

    def __init__(self):
        self.alerts, self.absences, self.restarts, self.end = {}, [], [], 0.0

    def extended(self, start, bound, anew=None):
        """When a bound that begins at `start` is over: matrixbot begins anew when it is back, perhaps with another bound."""
        due = start + bound
        for left, back in self.absences:
            if left <= due and back is not None and back >= start:
                due = max(due, back + (anew or bound))
        return due


class Seen:
    """A page, or an edit of one: what it shows of an incident."""

    def __init__(self, event, state, number):
        self.at, self.state, self.number, self.room, self.is_page = event.at, state, number, event.room, not event.is_edit
        lines = (line for line in event.body.splitlines() if "http" not in line)
        self.alerts = sorted({f"i{found}" for line in lines for found in ALERT.findall(line)})

    def __str__(self):
        return f"{self.at:.0f} {self.state} #{self.number} {' '.join(self.alerts)} in {self.room}{'' if self.is_page else ' (edit)'}"


def seen(event, bot):
    """What a message of the virtual user shows of an incident in full; None for others. A later page replies to the first."""
    if event.sender != bot or event.type != "m.room.message" or event.relation == "m.thread":
        return None
    found = HEADLINE.search(event.body.splitlines()[0] if event.body else "")
    is_answer = found and event.is_reply and found[1] in ("ACKNOWLEDGED", "SNOOZED", "RESOLVED")
    return (found[1], int(found[2])) if found and not is_answer else None


class Referee:
    def __init__(self, record, events, bot):
        self.record = record
        found = [Seen(event, *what) for event in events if (what := seen(event, bot))]
        self.seen = sorted(found, key=lambda one: one.at)
        self.incidents = {}
        for one in self.seen:
            self.incidents.setdefault(one.number, []).append(one)
        self.first = [one for one in self.seen if one.is_page and one.room == FIRST]
        self.delays, self.released, self.resolves = [], [], []
        self.missed, self.unseen, self.excused, self.joined = [], [], 0, 0
        self.unlisted = []
        self.listed_only, self.noticed, self.unknown = 0, 0, 0
        self.notified()
        self.false = self.without_cause()
        self.late, self.early = self.resolved()
        self.over = self.after_the_end()

    def name(self, alert, *times):
        return alert + " " + "…".join(f"{at:.0f}" for at in times)

    # --- every outage is notified ------------------------------------------------------------------------

    def page_of(self, alert, start, due):
        """When a page about it was sent in the first room."""
        return next((one.at for one in self.first if alert in one.alerts and start - 1 <= one.at <= due), None)

    def is_listed(self, alert, at, unacknowledged=True):
        """Whether an open page shows it, which nobody has acknowledged."""
        closed = ("RESOLVED", "ACKNOWLEDGED") if unacknowledged else ("RESOLVED",)
        for incident in self.incidents.values():
            before = [one for one in incident if one.at <= at and one.room == FIRST]
            if before and before[-1].state not in closed and alert in before[-1].alerts:
                return True
        return False

    def notified(self):
        for name, alert in self.record.alerts.items():
            before, ended_held = None, False
            for start, end, began, hold in alert.active():
                fresh = before is None or start - before >= PAUSE
                # Its incident was open before it was held.
                again = hold is not None and began < hold[0] and hold[1] - hold[0] >= SEEN_HOLD and self.is_listed(name, hold[0], False)
                bound = RELEASED if again else NOTIFIED
                due = self.record.extended(start, bound, RELEASED_LATE if again else None)
                at = self.page_of(name, start, min(due, max(end + LATE, start)))
                is_due = min(end, self.record.end) >= due and (fresh or again)
                if again and self.record.extended(hold[0], SEEN_HOLD) > hold[1]:
                    is_due = is_due and fresh
                if at is not None:
                    (self.released if again else self.delays).append(max(0.0, at - start))
                    self.noticed += (fresh or again) and end - start > 60
                elif is_due:
                    if alert.mates and self.is_listed(name, due):
                        self.listed_only += 1
                    else:
                        self.missed.append(f"{self.name(name, start, end)}{' after a hold' if hold else ''}, due at {due:.0f}")
                elif not fresh:
                    self.joined += end - start > 60
                elif end - start > 60 and end <= self.record.end:
                    self.short(name, start, end, ended_held or hold is not None)
                before = end
                ended_held = any(held[0] <= end <= held[1] + 1 for held in alert.holds)

    def short(self, name, start, end, silent):
        """An outage of more than a minute that ended before a poll has to page it: only a webhook could have."""
        alert = self.record.alerts[name]
        near = any(abs(at - start) < 60 for at in self.record.restarts) or self.record.extended(start, WEBHOOK) > start + WEBHOOK
        # Alertmanager sends nothing about an alert that ended while it was held, and fires again.
        silent = silent or any(start - 400 < end_of < start and alert.is_held(end_of) for _, end_of in alert.outages)
        if near or silent:
            self.excused += 1
        else:
            self.unseen.append(self.name(name, start, end))

    # --- no page without a cause -------------------------------------------------------------------------

    def without_cause(self):
        """Each page of the first room uses up a cause: the start of an outage, or the end of a hold."""
        causes = {name: sorted({start for start, *_ in alert.active()} | {start for start, _ in alert.outages})
                  for name, alert in self.record.alerts.items()}
        false = []
        for one in self.first:
            if one.state == "ESCALATED" or "UNANSWERED" in one.state:
                continue
            oldest = None
            for name in one.alerts:
                for cause in causes.get(name, []):
                    if cause <= one.at + 1 and self.record.extended(cause, NOTIFIED) >= one.at and (oldest is None or cause < oldest[0]):
                        oldest = (cause, name)
            if oldest is None:
                false.append(str(one))
            else:
                causes[oldest[1]].remove(oldest[0])
        return false

    def after_the_end(self):
        """Pages and escalations about what has not been active for longer than matrixbot may take to know it."""
        return [str(one) for one in self.seen if one.is_page and one.state not in ("RESOLVED", "ACKNOWLEDGED") and not self.is_true(one)]

    def is_true(self, one):
        ends = [end for name in one.alerts for start, end, *_ in self.record.alerts[name].active() if start <= one.at + 1]
        if not one.alerts or any(self.record.extended(end, LATE) >= one.at for end in ends):
            return True
        is_known = all(self.known_by(end) < one.at for end in ends) and one.number not in self.unlisted
        self.unknown += not is_known
        return not is_known

    def known_by(self, end):
        """When matrixbot knows from the polls that an alert has ended: a new process of Alertmanager needs time to know it itself."""
        is_new = any(-AHEAD < at - end < RESOLVED for at in self.record.restarts)
        return self.record.extended(end, RESOLVED + (AHEAD if is_new else 0))

    # --- every incident ends with its last alert ---------------------------------------------------------

    def resolved(self):
        late, early = [], []
        for number, incident in self.incidents.items():
            in_first = [one for one in incident if one.room == FIRST]
            for before, one in zip(in_first, in_first[1:]):
                if one.state == "RESOLVED" and before.state != "RESOLVED":
                    early += [f"{one} although {name} is firing" for name in before.alerts if self.is_firing_around(name, one.at)]
            if in_first:
                self.bounded(number, in_first, late)
        return late, early

    def is_firing_around(self, name, at):
        """Whether it has been firing for long, and goes on."""
        return any(start < at - LATE and at + 2 < end for start, end in self.record.alerts[name].outages)

    def bounded(self, number, in_first, late):
        """Whenever all its alerts have ended for as long as the bound, it is resolved."""
        alerts = {name for one in in_first for name in one.alerts if one.state != "RESOLVED"}
        for end in sorted({end for name in alerts for _, end in self.record.alerts[name].outages if end >= in_first[0].at - LATE}):
            due = self.known_by(end)
            until_due = [one for one in in_first if one.at <= due]
            known = {name for one in until_due for name in one.alerts if one.state != "RESOLVED"}
            if not until_due or any(start < due and until > end for name in known for start, until in self.record.alerts[name].outages):
                continue
            at = next((one.at for one in in_first if one.at >= end - 1 and one.state == "RESOLVED"), None)
            if until_due[-1].state == "RESOLVED":
                self.resolves += [] if at is None else [max(0.0, at - end)]
            elif self.was_never_listed(in_first, known, end):
                self.unlisted.append(number)
            else:
                late.append(f"#{number} {' '.join(sorted(known))} ended at {end:.0f}, due at {due:.0f}, shows {until_due[-1]}")

    def was_never_listed(self, incident, alerts, end):
        """A poll can end only what Alertmanager has listed when matrixbot asked, soon after the webhook. What it could not ask about,
        and whose resolved report gets lost because it ended while it was held or matrixbot was away, stays until it is stale."""
        def is_lost(name):
            known = next(one.at for one in incident if name in one.alerts)
            listed_until = min([end, *(left for left, _ in self.record.absences if left > known)])
            is_away = any(left <= end + WEBHOOK and (back or end) >= end - 1 for left, back in self.record.absences)
            return listed_until - known < SLACK and (is_away or self.record.alerts[name].is_held(end))
        ended = [name for name in alerts if any(until == end for _, until in self.record.alerts[name].outages)]
        return all(is_lost(name) for name in ended)

    # --- the results -------------------------------------------------------------------------------------

    def figures(self):
        def row(what, values, bound):
            if not values:
                return f"{what}: none"
            values = sorted(values)
            middle, high = (values[int(part * (len(values) - 1))] for part in (0.5, 0.95))
            return (f"{what}: {len(values)}, p50 {middle:.0f} s, p95 {high:.0f} s, slowest {values[-1]:.0f} s "
                    f"(bound {bound} s, and matrixbot's absences)")
        outages = [end - start for alert in self.record.alerts.values() for start, end in alert.outages]
        yield (f"{len(outages)} outages, {sum(lasted > 60 for lasted in outages)} of them longer than a minute; {len(self.incidents)} incidents, "
               f"{len(self.first)} pages in the first room")
        yield (f"of those longer than a minute, apart from {self.joined} within {PAUSE} s after another one: {self.noticed} paged, "
               f"{self.listed_only} added to a page that nobody had acknowledged, {self.excused} over before a poll could page what "
               "Alertmanager does not send")
        yield (f"{self.unknown} pages about what had ended or was held, before two polls could know it; {len(self.unlisted)} incidents stay "
               "until they are stale, because no poll had listed them")
        yield row("start → page", self.delays, NOTIFIED)
        yield row("hold's end → page", self.released, RELEASED)
        yield row("end → resolved", self.resolves, RESOLVED)

    def verdicts(self):
        yield f"Every outage is notified within {NOTIFIED} s, and after a hold within {RELEASED} s", self.missed
        yield "None longer than a minute that Alertmanager reports is missed", self.unseen
        yield "No page is without a cause", self.false
        yield f"No page is about what has been over or held for {RESOLVED} s", self.over
        yield f"Every incident resolves within {RESOLVED} s", self.late
        yield "No incident resolves while its alerts are firing", self.early

    def evidence(self):
        alerts = {name: {"outages": alert.outages, "holds": alert.holds} for name, alert in self.record.alerts.items()}
        return {"alerts": alerts, "absences": self.record.absences, "restarts": self.record.restarts, "end": self.record.end,
                "seen": [vars(one) for one in self.seen]}
