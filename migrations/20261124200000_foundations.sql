-- Room lists and their rules ------------------------------------------------------------------------------------

CREATE TABLE room_list (
    name           text        PRIMARY KEY,
    user_id        text        NOT NULL UNIQUE,
    policy_version bigint,
    active         boolean     NOT NULL,
    CONSTRAINT room_list_name_form CHECK (name ~ '^[a-z0-9._=-]+$'),
    CONSTRAINT room_list_active_has_policy CHECK (NOT active OR policy_version IS NOT NULL)
);
COMMENT ON TABLE room_list IS 'An ordered list of rooms: the escalation ladder of one team.';
COMMENT ON COLUMN room_list.name IS 'Its name in the configuration.';
COMMENT ON COLUMN room_list.user_id IS 'The virtual user that speaks for it.';
COMMENT ON COLUMN room_list.policy_version IS 'The newest policy: what a new run begins with.';
COMMENT ON COLUMN room_list.active IS 'Whether the configuration still has it.';

CREATE TABLE policy_version (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    room_list  text        NOT NULL REFERENCES room_list (name),
    hash       bytea       NOT NULL,
    policy     jsonb       NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT policy_version_hash_length CHECK (octet_length(hash) = 32),
    CONSTRAINT policy_version_once UNIQUE (room_list, hash)
);
COMMENT ON TABLE policy_version IS 'Every policy a room list has had; a run keeps the one it began with.';
COMMENT ON COLUMN policy_version.id IS 'Identity.';
COMMENT ON COLUMN policy_version.room_list IS 'Whose policy it is.';
COMMENT ON COLUMN policy_version.hash IS 'SHA-256 of the policy as JSON: the same policy is kept once.';
COMMENT ON COLUMN policy_version.policy IS 'domain::policy::Policy as JSON.';
COMMENT ON COLUMN policy_version.created_at IS 'When it was first in force.';

ALTER TABLE room_list
    ADD CONSTRAINT room_list_policy FOREIGN KEY (policy_version) REFERENCES policy_version (id);

-- Incidents -----------------------------------------------------------------------------------------------------

CREATE TABLE incident (
    id             bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    room_list      text        NOT NULL REFERENCES room_list (name),
    key            bytea       NOT NULL,
    receiver       text        NOT NULL,
    group_key      text        NOT NULL,
    group_labels   jsonb       NOT NULL,
    common_labels  jsonb       NOT NULL,
    external_url   text,
    truncated      bigint      NOT NULL,
    phase          text        NOT NULL,
    next_at        timestamptz,
    stale_at       timestamptz,
    run_no         integer     NOT NULL,
    level          integer,
    loop_no        integer     NOT NULL,
    told           boolean     NOT NULL,
    policy_version bigint      NOT NULL REFERENCES policy_version (id),
    ackers         text[]      NOT NULL,
    ack_until      timestamptz,
    ack_reminded   boolean     NOT NULL DEFAULT false,
    ack_kept       boolean     NOT NULL DEFAULT false,
    snoozed_until  timestamptz,
    reminders      integer     NOT NULL DEFAULT 0,
    forced         boolean     NOT NULL DEFAULT false,
    flap_count     integer     NOT NULL,
    version        bigint      NOT NULL,
    opened_at      timestamptz NOT NULL,
    reopened_at    timestamptz,
    resolved_at    timestamptz,
    CONSTRAINT incident_key_length CHECK (octet_length(key) = 32),
    CONSTRAINT incident_phase_known CHECK (phase IN
        ('firing', 'acknowledged', 'snoozed', 'unanswered', 'suppressed', 'resolved', 'closed')),
    -- I3
    CONSTRAINT incident_armed CHECK (phase NOT IN ('firing', 'snoozed', 'resolved') OR next_at IS NOT NULL),
    CONSTRAINT incident_disarmed CHECK (phase NOT IN ('suppressed', 'closed') OR next_at IS NULL),
    CONSTRAINT incident_ack_has_acker CHECK (phase <> 'acknowledged' OR cardinality(ackers) > 0),
    CONSTRAINT incident_ack_until_only_acknowledged CHECK (ack_until IS NULL OR phase IN ('acknowledged', 'resolved')),
    CONSTRAINT incident_ack_until_resolved_is_kept CHECK (ack_until IS NULL OR phase <> 'resolved' OR ack_kept),
    CONSTRAINT incident_ack_reminded_only_acknowledged CHECK (NOT ack_reminded OR phase = 'acknowledged'),
    CONSTRAINT incident_ack_kept_only_resolved CHECK (NOT ack_kept OR phase = 'resolved'),
    CONSTRAINT incident_snooze_has_end CHECK ((phase = 'snoozed') = (snoozed_until IS NOT NULL)),
    CONSTRAINT incident_forced_only_resolved CHECK (NOT forced OR phase = 'resolved'),
    CONSTRAINT incident_reminders_only_unanswered CHECK (reminders = 0 OR phase = 'unanswered'),
    CONSTRAINT incident_resolved_has_time CHECK ((phase IN ('resolved', 'closed')) = (resolved_at IS NOT NULL)),
    CONSTRAINT incident_stale_only_open CHECK (stale_at IS NULL OR phase NOT IN ('resolved', 'closed')),
    CONSTRAINT incident_counts CHECK
        (run_no >= 1 AND loop_no >= 0 AND (level IS NULL OR level >= 0) AND flap_count >= 0 AND version >= 1 AND truncated >= 0),
    CONSTRAINT incident_told_has_level CHECK (NOT told OR level IS NOT NULL)
);
-- I1
CREATE UNIQUE INDEX incident_one_open ON incident (room_list, key) WHERE phase <> 'closed';
CREATE INDEX incident_of_key ON incident (room_list, key, id DESC);
CREATE INDEX incident_due ON incident (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX incident_stale ON incident (stale_at) WHERE stale_at IS NOT NULL;
CREATE INDEX incident_current ON incident (room_list, phase, opened_at, id) WHERE phase NOT IN ('resolved', 'closed');
CREATE INDEX incident_open ON incident (id) WHERE phase NOT IN ('resolved', 'closed');
CREATE INDEX incident_over ON incident (resolved_at) WHERE phase = 'closed';
COMMENT ON TABLE incident IS 'One Alertmanager group in one room list: what people see, acknowledge and hear of.';
COMMENT ON COLUMN incident.id IS 'The number people say: ack 42.';
COMMENT ON COLUMN incident.room_list IS 'Whose ladder it climbs.';
COMMENT ON COLUMN incident.key IS 'SHA-256 of receiver and group key (a raw group key can exceed an index row).';
COMMENT ON COLUMN incident.receiver IS 'Alertmanager''s receiver, its escapes undone.';
COMMENT ON COLUMN incident.group_key IS 'Alertmanager''s identity of the group.';
COMMENT ON COLUMN incident.group_labels IS 'The labels the group was made by.';
COMMENT ON COLUMN incident.common_labels IS 'The labels all alerts shared in the newest webhook.';
COMMENT ON COLUMN incident.external_url IS 'Alertmanager''s own page.';
COMMENT ON COLUMN incident.truncated IS 'How many alerts Alertmanager left out of its newest webhook.';
COMMENT ON COLUMN incident.phase IS 'Where it stands; see domain::incident::Phase.';
COMMENT ON COLUMN incident.next_at IS 'The only timer of the rules: when a tick is due.';
COMMENT ON COLUMN incident.stale_at IS 'When it counts as over unless a webhook comes before.';
COMMENT ON COLUMN incident.run_no IS 'Counts the passages of the ladder from its start, from 1.';
COMMENT ON COLUMN incident.level IS 'The level paged last in this run; null before the first page.';
COMMENT ON COLUMN incident.loop_no IS 'How often the ladder was begun again within this run.';
COMMENT ON COLUMN incident.told IS 'Whether the page of the current level has reached a room.';
COMMENT ON COLUMN incident.policy_version IS 'The policy this run began with.';
COMMENT ON COLUMN incident.ackers IS 'Matrix ids of those who took it, first first.';
COMMENT ON COLUMN incident.ack_until IS 'When the acknowledgement ends (or would, for one kept through a clear).';
COMMENT ON COLUMN incident.ack_reminded IS 'Whether the ackers were told that it ends soon.';
COMMENT ON COLUMN incident.ack_kept IS 'Whether an acknowledgement was in force when it resolved.';
COMMENT ON COLUMN incident.snoozed_until IS 'When the snooze ends.';
COMMENT ON COLUMN incident.reminders IS 'How many reminders were given since it went unanswered.';
COMMENT ON COLUMN incident.forced IS 'Resolved by a person while alerts still fire.';
COMMENT ON COLUMN incident.flap_count IS 'How often it fired again after it had cleared.';
COMMENT ON COLUMN incident.version IS 'Counts the changes, from 1.';
COMMENT ON COLUMN incident.opened_at IS 'When it opened.';
COMMENT ON COLUMN incident.reopened_at IS 'When a new alert last broke an acknowledgement or a snooze.';
COMMENT ON COLUMN incident.resolved_at IS 'When it resolved.';

CREATE FUNCTION incident_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.phase = 'closed' THEN
        RAISE EXCEPTION 'incident % is closed', OLD.id USING ERRCODE = 'check_violation', CONSTRAINT = 'incident_closed_is_final';
    END IF;
    IF NEW.version < OLD.version THEN
        RAISE EXCEPTION 'incident % goes back from version % to %', OLD.id, OLD.version, NEW.version
            USING ERRCODE = 'check_violation', CONSTRAINT = 'incident_version_grows';
    END IF;
    IF NEW.version = OLD.version AND
       (NEW.phase, NEW.run_no, NEW.loop_no, NEW.level, NEW.ackers, NEW.forced)
       IS DISTINCT FROM (OLD.phase, OLD.run_no, OLD.loop_no, OLD.level, OLD.ackers, OLD.forced) THEN
        RAISE EXCEPTION 'incident % changes without a version', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'incident_change_has_version';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION incident_guard IS 'Closed is final, versions only grow, and a change of state has a version.';
CREATE TRIGGER incident_guard BEFORE UPDATE ON incident FOR EACH ROW EXECUTE FUNCTION incident_guard();

CREATE TABLE incident_alert (
    incident          bigint      NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
    fingerprint       text        NOT NULL,
    firing            boolean     NOT NULL,
    severity          text,
    rank              integer     NOT NULL,
    escalate          boolean     NOT NULL,
    starts_at         timestamptz NOT NULL,
    last_seen         timestamptz NOT NULL,
    cleared_starts_at timestamptz,
    cleared_at        timestamptz,
    known_rank        integer,
    labels            jsonb       NOT NULL,
    annotations       jsonb       NOT NULL,
    generator_url     text,
    defect            text,
    PRIMARY KEY (incident, fingerprint),
    CONSTRAINT incident_alert_cleared_whole CHECK ((cleared_at IS NULL) = (cleared_starts_at IS NULL)),
    CONSTRAINT incident_alert_fires_or_cleared CHECK (firing OR cleared_at IS NOT NULL)
);
COMMENT ON TABLE incident_alert IS 'One label set of an incident.';
COMMENT ON COLUMN incident_alert.incident IS 'The incident it is in.';
COMMENT ON COLUMN incident_alert.fingerprint IS 'Its identity there: Alertmanager''s fingerprint.';
COMMENT ON COLUMN incident_alert.firing IS 'Whether it fires now.';
COMMENT ON COLUMN incident_alert.severity IS 'The value of its severity label.';
COMMENT ON COLUMN incident_alert.rank IS 'The rank of that severity under the policy.';
COMMENT ON COLUMN incident_alert.escalate IS 'Whether that severity climbs the ladder.';
COMMENT ON COLUMN incident_alert.starts_at IS 'When the episode began, according to Alertmanager.';
COMMENT ON COLUMN incident_alert.last_seen IS 'When a webhook last reported it firing.';
COMMENT ON COLUMN incident_alert.cleared_starts_at IS 'When the last episode that cleared had begun.';
COMMENT ON COLUMN incident_alert.cleared_at IS 'When it cleared, by our clock.';
COMMENT ON COLUMN incident_alert.known_rank IS 'Its rank when a person took the incident; null if it was not firing then.';
COMMENT ON COLUMN incident_alert.labels IS 'Its labels.';
COMMENT ON COLUMN incident_alert.annotations IS 'Its annotations.';
COMMENT ON COLUMN incident_alert.generator_url IS 'Where it comes from.';
COMMENT ON COLUMN incident_alert.defect IS 'What was wrong with it as it was sent.';

CREATE TABLE timeline (
    id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident bigint      NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
    version  bigint      NOT NULL,
    at       timestamptz NOT NULL,
    kind     text        NOT NULL,
    actor    text,
    entry    jsonb       NOT NULL,
    CONSTRAINT timeline_version_positive CHECK (version >= 1),
    CONSTRAINT timeline_kind_is_entrys CHECK (entry ->> 'kind' IS NOT DISTINCT FROM kind)
);
-- I8: a late acknowledgement is told without a version of its own.
CREATE UNIQUE INDEX timeline_one_per_version ON timeline (incident, version) WHERE kind <> 'late_ack';
CREATE INDEX timeline_of_incident ON timeline (incident, id);
COMMENT ON TABLE timeline IS 'What happened to each incident, by whom and when.';
COMMENT ON COLUMN timeline.id IS 'Identity, in order.';
COMMENT ON COLUMN timeline.incident IS 'To which incident.';
COMMENT ON COLUMN timeline.version IS 'The incident''s version afterwards.';
COMMENT ON COLUMN timeline.at IS 'When.';
COMMENT ON COLUMN timeline.kind IS 'What, in one word; see domain::timeline::Kind.';
COMMENT ON COLUMN timeline.actor IS 'The Matrix id of the person who did it, if one did.';
COMMENT ON COLUMN timeline.entry IS 'The whole domain::timeline::Entry.';

-- Out -----------------------------------------------------------------------------------------------------------

CREATE TABLE post (
    id           uuid        PRIMARY KEY,
    incident     bigint      NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
    room         text        NOT NULL,
    event_id     text,
    shown        bigint      NOT NULL DEFAULT 0,
    newest       text,
    newest_shown bigint      NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL,
    CONSTRAINT post_once_per_room UNIQUE (incident, room),
    CONSTRAINT post_newest_after_first CHECK (newest IS NULL OR event_id IS NOT NULL)
);
CREATE UNIQUE INDEX post_event ON post (event_id) WHERE event_id IS NOT NULL;
CREATE INDEX post_unsent ON post (room) WHERE event_id IS NULL;
COMMENT ON TABLE post IS 'Which Matrix event shows which incident in which room.';
COMMENT ON COLUMN post.id IS 'Identity.';
COMMENT ON COLUMN post.incident IS 'The incident it shows.';
COMMENT ON COLUMN post.room IS 'In which room: a room id, or an alias that is not resolved yet.';
COMMENT ON COLUMN post.event_id IS 'The Matrix event; null until it is sent.';
COMMENT ON COLUMN post.shown IS 'The incident''s version that the message shows.';
COMMENT ON COLUMN post.newest IS 'The newest message of the room that pages it again; null if there is none.';
COMMENT ON COLUMN post.newest_shown IS 'The incident''s version that the newest message shows.';
COMMENT ON COLUMN post.created_at IS 'When it was put into the outbox.';

CREATE TABLE outbox (
    id          uuid        PRIMARY KEY,
    seq         bigint      GENERATED ALWAYS AS IDENTITY,
    room_list   text        NOT NULL REFERENCES room_list (name),
    room        text        NOT NULL,
    kind        text        NOT NULL,
    priority    smallint    NOT NULL,
    incident    bigint      REFERENCES incident (id) ON DELETE CASCADE,
    run_no      integer,
    loop_no     integer,
    level       integer,
    post        uuid        REFERENCES post (id) ON DELETE CASCADE,
    payload     jsonb       NOT NULL,
    event_type  text,
    content     jsonb,
    version     bigint,
    state       text        NOT NULL,
    not_before  timestamptz NOT NULL,
    attempts    integer     NOT NULL DEFAULT 0,
    first_tried timestamptz,
    uncertain   boolean     NOT NULL DEFAULT false,
    event_id    text,
    error       text,
    created_at  timestamptz NOT NULL,
    settled_at  timestamptz,
    CONSTRAINT outbox_kind_known CHECK (kind IN
        ('page', 'fallback', 'reminder', 'edit', 'thread', 'notice', 'reaction', 'answer')),
    CONSTRAINT outbox_state_known CHECK (state IN ('pending', 'sending', 'sent', 'cancelled', 'undeliverable')),
    CONSTRAINT outbox_sent_has_event CHECK ((state = 'sent') = (event_id IS NOT NULL)),
    CONSTRAINT outbox_settled_has_time CHECK ((state IN ('pending', 'sending')) = (settled_at IS NULL)),
    CONSTRAINT outbox_sending_is_frozen CHECK (state <> 'sending' OR content IS NOT NULL),
    CONSTRAINT outbox_uncertain_was_tried CHECK (NOT uncertain OR first_tried IS NOT NULL),
    CONSTRAINT outbox_frozen_whole CHECK ((content IS NULL) = (event_type IS NULL)),
    CONSTRAINT outbox_page_has_rung CHECK
        (kind <> 'page' OR (incident IS NOT NULL AND run_no IS NOT NULL AND loop_no IS NOT NULL AND level IS NOT NULL AND post IS NOT NULL)),
    CONSTRAINT outbox_edit_has_post CHECK (kind NOT IN ('edit', 'thread', 'reaction') OR post IS NOT NULL),
    CONSTRAINT outbox_fallback_has_run CHECK (kind <> 'fallback' OR (run_no IS NOT NULL AND post IS NOT NULL)),
    CONSTRAINT outbox_has_incident CHECK (kind = 'answer' OR incident IS NOT NULL),
    CONSTRAINT outbox_rung_whole CHECK (num_nulls(run_no, loop_no, level) IN (0, 3)),
    CONSTRAINT outbox_counts CHECK (priority >= 0 AND attempts >= 0)
);
-- I4
CREATE UNIQUE INDEX outbox_page_once ON outbox (incident, run_no, loop_no, level, room) WHERE kind = 'page';
-- I15
CREATE UNIQUE INDEX outbox_fallback_once ON outbox (incident, run_no, room) WHERE kind = 'fallback' AND state <> 'cancelled';
CREATE UNIQUE INDEX outbox_one_pending_edit ON outbox (post, (payload ->> 'what'))
    WHERE kind = 'edit' AND state = 'pending' AND content IS NULL;
CREATE INDEX outbox_queue ON outbox (room, priority, seq) WHERE state = 'pending';
CREATE INDEX outbox_of_incident ON outbox (incident, state);
CREATE INDEX outbox_event ON outbox (event_id) WHERE event_id IS NOT NULL;
CREATE INDEX outbox_rungs ON outbox (incident, run_no, loop_no, level) WHERE kind = 'page';
CREATE INDEX outbox_settled ON outbox (settled_at) WHERE settled_at IS NOT NULL AND incident IS NULL;
CREATE INDEX outbox_undeliverable ON outbox (id) WHERE state = 'undeliverable';
CREATE INDEX outbox_of_post ON outbox (post, state);
COMMENT ON TABLE outbox IS 'Every message that is to be sent, was sent, or will not be sent any more.';
COMMENT ON COLUMN outbox.id IS 'Identity, and the Matrix transaction id of the send: fixed for ever.';
COMMENT ON COLUMN outbox.seq IS 'The order within a room and priority.';
COMMENT ON COLUMN outbox.room_list IS 'Whose virtual user sends it.';
COMMENT ON COLUMN outbox.room IS 'To which room: a room id, or an alias that is not resolved yet.';
COMMENT ON COLUMN outbox.kind IS 'What it is; see store::outbox::Kind.';
COMMENT ON COLUMN outbox.priority IS 'Smaller goes first.';
COMMENT ON COLUMN outbox.incident IS 'The incident it is about.';
COMMENT ON COLUMN outbox.run_no IS 'The run it belongs to.';
COMMENT ON COLUMN outbox.loop_no IS 'Of a page: the loop.';
COMMENT ON COLUMN outbox.level IS 'Of a page: the level.';
COMMENT ON COLUMN outbox.post IS 'The post it makes, or hangs on.';
COMMENT ON COLUMN outbox.payload IS 'What to render it from, besides the incident.';
COMMENT ON COLUMN outbox.event_type IS 'The Matrix event type, once rendered.';
COMMENT ON COLUMN outbox.content IS 'The Matrix content of an attempt: kept for the next one unless it is certain that nothing was accepted.';
COMMENT ON COLUMN outbox.version IS 'The incident''s version that the content shows.';
COMMENT ON COLUMN outbox.state IS 'pending, sending (leased by the room''s gate), sent, cancelled or undeliverable.';
COMMENT ON COLUMN outbox.not_before IS 'When it may be sent.';
COMMENT ON COLUMN outbox.attempts IS 'How often it was tried.';
COMMENT ON COLUMN outbox.first_tried IS 'When it was first tried: homeservers forget transaction ids after a day.';
COMMENT ON COLUMN outbox.uncertain IS 'Whether an attempt may have been accepted although no answer came: then it is no longer cancelled.';
COMMENT ON COLUMN outbox.event_id IS 'The Matrix event it became.';
COMMENT ON COLUMN outbox.error IS 'Why the last attempt failed.';
COMMENT ON COLUMN outbox.created_at IS 'When it was put here.';
COMMENT ON COLUMN outbox.settled_at IS 'When it was sent, cancelled or given up.';

CREATE TABLE room_gate (
    room            text        PRIMARY KEY,
    next_allowed_at timestamptz NOT NULL DEFAULT '-infinity',
    lease_owner     uuid,
    lease_until     timestamptz,
    message         uuid,
    failures        integer     NOT NULL DEFAULT 0,
    CONSTRAINT room_gate_leased_has_owner CHECK
        ((lease_owner IS NULL) = (lease_until IS NULL) AND (lease_owner IS NULL) = (message IS NULL)),
    CONSTRAINT room_gate_failures_positive CHECK (failures >= 0)
);
COMMENT ON TABLE room_gate IS 'One message in flight per room: so order holds, and a limit stops one room only.';
COMMENT ON COLUMN room_gate.room IS 'The room: a room id, or an alias that is not resolved yet.';
COMMENT ON COLUMN room_gate.next_allowed_at IS 'Before this nothing is sent to the room.';
COMMENT ON COLUMN room_gate.lease_owner IS 'The worker that is sending to it.';
COMMENT ON COLUMN room_gate.lease_until IS 'When that worker counts as lost.';
COMMENT ON COLUMN room_gate.message IS 'The outbox message it is sending.';
COMMENT ON COLUMN room_gate.failures IS 'Temporary failures in a row: what the back-off grows with.';

-- In ------------------------------------------------------------------------------------------------------------

CREATE TABLE inbox (
    seq         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id    text        NOT NULL,
    room        text        NOT NULL,
    event       jsonb       NOT NULL,
    source      text        NOT NULL,
    received_at timestamptz NOT NULL,
    state       text        NOT NULL,
    result      text,
    target      text,
    CONSTRAINT inbox_once UNIQUE (event_id),
    CONSTRAINT inbox_state_known CHECK (state IN ('waiting', 'handled', 'malformed')),
    CONSTRAINT inbox_source_known CHECK (source IN ('transaction', 'reconcile')),
    CONSTRAINT inbox_handled_has_result CHECK ((state = 'waiting') = (result IS NULL)),
    CONSTRAINT inbox_target_of_handled CHECK (target IS NULL OR state = 'handled')
);
CREATE INDEX inbox_waiting ON inbox (room, seq) WHERE state = 'waiting';
CREATE INDEX inbox_received ON inbox (received_at) WHERE state <> 'waiting';
CREATE INDEX inbox_target ON inbox (target) WHERE target IS NOT NULL;
COMMENT ON TABLE inbox IS 'Every event the homeserver gave us, once, and what became of it.';
COMMENT ON COLUMN inbox.seq IS 'The order of arrival.';
COMMENT ON COLUMN inbox.event_id IS 'The Matrix event: what makes it once.';
COMMENT ON COLUMN inbox.room IS 'The room it happened in; empty if it has none.';
COMMENT ON COLUMN inbox.event IS 'The event as it came.';
COMMENT ON COLUMN inbox.source IS 'How we know of it: pushed in a transaction, or found by reconciliation.';
COMMENT ON COLUMN inbox.received_at IS 'When it came.';
COMMENT ON COLUMN inbox.state IS 'waiting, handled or malformed.';
COMMENT ON COLUMN inbox.result IS 'What became of it, in a word.';
COMMENT ON COLUMN inbox.target IS 'The event that it hangs on, if that was not known to be ours: should it turn out to be, this is handled again.';

CREATE TABLE ack_reaction (
    event_id text   PRIMARY KEY,
    incident bigint NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
    run_no   integer NOT NULL,
    user_id  text   NOT NULL
);
CREATE INDEX ack_reaction_of_incident ON ack_reaction (incident);
COMMENT ON TABLE ack_reaction IS 'The reactions that acknowledged: their redaction gives the incident back.';
COMMENT ON COLUMN ack_reaction.event_id IS 'The reaction.';
COMMENT ON COLUMN ack_reaction.incident IS 'What it acknowledged.';
COMMENT ON COLUMN ack_reaction.run_no IS 'In which run.';
COMMENT ON COLUMN ack_reaction.user_id IS 'Whose reaction it is.';

CREATE TABLE redacted (
    event_id text        PRIMARY KEY,
    at       timestamptz NOT NULL
);
CREATE INDEX redacted_at ON redacted (at);
COMMENT ON TABLE redacted IS 'Events that were taken back, so that one that comes after its redaction does nothing.';
COMMENT ON COLUMN redacted.event_id IS 'The event that is gone.';
COMMENT ON COLUMN redacted.at IS 'When we learned of it.';

-- Rooms and users -----------------------------------------------------------------------------------------------

CREATE TABLE virtual_user (
    user_id      text PRIMARY KEY,
    registered   boolean NOT NULL DEFAULT false,
    device_id    text,
    display_name text,
    avatar       text
);
COMMENT ON TABLE virtual_user IS 'What the homeserver knows of each virtual user.';
COMMENT ON COLUMN virtual_user.user_id IS 'Its Matrix id.';
COMMENT ON COLUMN virtual_user.registered IS 'Whether it is registered.';
COMMENT ON COLUMN virtual_user.device_id IS 'Its device; null while none is known, or where the homeserver has no such devices.';
COMMENT ON COLUMN virtual_user.display_name IS 'The display name last set.';
COMMENT ON COLUMN virtual_user.avatar IS 'The avatar last set.';

CREATE TABLE room_membership (
    user_id    text        NOT NULL,
    room       text        NOT NULL,
    membership text        NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, room),
    CONSTRAINT room_membership_known CHECK (membership IN ('join', 'invite', 'leave', 'ban', 'unreachable'))
);
COMMENT ON TABLE room_membership IS 'Where each virtual user is, so that it does not join per message.';
COMMENT ON COLUMN room_membership.user_id IS 'The virtual user.';
COMMENT ON COLUMN room_membership.room IS 'The room id.';
COMMENT ON COLUMN room_membership.membership IS 'As in Matrix; unreachable: it cannot be joined.';
COMMENT ON COLUMN room_membership.changed_at IS 'Since when.';

CREATE TABLE room_alias (
    reference   text        PRIMARY KEY,
    room        text        NOT NULL,
    resolved_at timestamptz NOT NULL
);
COMMENT ON TABLE room_alias IS 'Which room a reference of the configuration leads to: an alias, or a room that was upgraded.';
COMMENT ON COLUMN room_alias.reference IS 'The alias, or the id of a room that has a replacement.';
COMMENT ON COLUMN room_alias.room IS 'The room id.';
COMMENT ON COLUMN room_alias.resolved_at IS 'When that was found out.';

CREATE FUNCTION room_of(reference text) RETURNS text LANGUAGE sql STABLE AS $$
    WITH RECURSIVE chain (room, depth) AS (
        SELECT reference, 0
        UNION ALL
        SELECT room_alias.room, chain.depth + 1
        FROM chain JOIN room_alias ON room_alias.reference = chain.room
        WHERE chain.depth < 20
    )
    SELECT room FROM chain ORDER BY depth DESC LIMIT 1
$$;
COMMENT ON FUNCTION room_of IS 'The room a reference leads to: through its alias, and through upgrades.';

CREATE TABLE room_trouble (
    room_list text        NOT NULL REFERENCES room_list (name),
    reference text        NOT NULL,
    why       text        NOT NULL,
    since     timestamptz NOT NULL,
    PRIMARY KEY (room_list, reference)
);
COMMENT ON TABLE room_trouble IS 'Rooms of the configuration that a room list cannot reach, each told once.';
COMMENT ON COLUMN room_trouble.room_list IS 'Which list.';
COMMENT ON COLUMN room_trouble.reference IS 'The room, as the configuration names it.';
COMMENT ON COLUMN room_trouble.why IS 'What the homeserver said when it was first noticed.';
COMMENT ON COLUMN room_trouble.since IS 'When that was.';

CREATE TABLE room_cursor (
    room    text        PRIMARY KEY,
    ts      bigint      NOT NULL,
    checked timestamptz NOT NULL
);
COMMENT ON TABLE room_cursor IS 'How far reconciliation has read each room.';
COMMENT ON COLUMN room_cursor.room IS 'The room id.';
COMMENT ON COLUMN room_cursor.ts IS 'origin_server_ts of the newest event read, in milliseconds.';
COMMENT ON COLUMN room_cursor.checked IS 'When the room was last read.';

-- Running several of us -----------------------------------------------------------------------------------------

CREATE TABLE heartbeat (
    name text        PRIMARY KEY,
    at   timestamptz NOT NULL
);
COMMENT ON TABLE heartbeat IS 'When something was last heard of.';
COMMENT ON COLUMN heartbeat.name IS 'What.';
COMMENT ON COLUMN heartbeat.at IS 'When.';

CREATE TABLE maintenance (
    id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    room_list text        NOT NULL REFERENCES room_list (name),
    matchers  jsonb       NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at   timestamptz NOT NULL,
    by_user   text        NOT NULL,
    CONSTRAINT maintenance_ends_after_start CHECK (ends_at > starts_at)
);
CREATE INDEX maintenance_of_list ON maintenance (room_list, ends_at);
COMMENT ON TABLE maintenance IS 'When and for what a room list wants no pages.';
COMMENT ON COLUMN maintenance.id IS 'Identity.';
COMMENT ON COLUMN maintenance.room_list IS 'Which list.';
COMMENT ON COLUMN maintenance.matchers IS 'Which incidents: label values by name; empty: all.';
COMMENT ON COLUMN maintenance.starts_at IS 'From when.';
COMMENT ON COLUMN maintenance.ends_at IS 'Until when.';
COMMENT ON COLUMN maintenance.by_user IS 'Who asked for it.';

CREATE TABLE engine_version (
    single  boolean PRIMARY KEY DEFAULT true,
    version integer NOT NULL,
    CONSTRAINT engine_version_single CHECK (single)
);
INSERT INTO engine_version (version) VALUES (1);
COMMENT ON TABLE engine_version IS 'The newest release whose workers have run: older workers stop.';
COMMENT ON COLUMN engine_version.single IS 'There is one row.';
COMMENT ON COLUMN engine_version.version IS 'Raised by a release that older workers must not run beside.';
