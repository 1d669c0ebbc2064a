-- Silences that people ask for in rooms: what they asked for, until it is answered, and the silences that were made.
CREATE TABLE silence_order (
    id         uuid        PRIMARY KEY,
    room_lists text[]      NOT NULL,
    incident   bigint      REFERENCES incident (id) ON DELETE CASCADE,
    who        text        NOT NULL,
    request    jsonb       NOT NULL,
    room       text        NOT NULL,
    event_id   text        NOT NULL,
    thread     text,
    asked_at   timestamptz NOT NULL,
    try_at     timestamptz NOT NULL,
    attempts   integer     NOT NULL DEFAULT 0,
    CONSTRAINT silence_order_has_list CHECK (cardinality(room_lists) > 0),
    CONSTRAINT silence_order_attempts CHECK (attempts >= 0)
);
CREATE INDEX silence_order_incident ON silence_order (incident);
COMMENT ON TABLE silence_order IS 'A command about silences that Alertmanager has not carried out yet. The transaction that answers it deletes it.';
COMMENT ON COLUMN silence_order.id IS 'Its identity; ids sort by the time of the command.';
COMMENT ON COLUMN silence_order.room_lists IS 'The room lists that it applies to; the first one answers.';
COMMENT ON COLUMN silence_order.incident IS 'The incident to silence; null: the command is about silences.';
COMMENT ON COLUMN silence_order.who IS 'The Matrix user who gave it.';
COMMENT ON COLUMN silence_order.request IS 'What it asks for.';
COMMENT ON COLUMN silence_order.room IS 'The room that gets the answer.';
COMMENT ON COLUMN silence_order.event_id IS 'The event that is answered.';
COMMENT ON COLUMN silence_order.thread IS 'The root of the thread that gets the answer; null: the room does.';
COMMENT ON COLUMN silence_order.asked_at IS 'When it arrived.';
COMMENT ON COLUMN silence_order.try_at IS 'When it is tried; while a process tries it, when another one may.';
COMMENT ON COLUMN silence_order.attempts IS 'How often it was tried.';

CREATE TABLE silence (
    token        uuid        PRIMARY KEY,
    incident     bigint      NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
    alertmanager text        NOT NULL,
    matchers     jsonb       NOT NULL,
    who          text        NOT NULL,
    comment      text        NOT NULL,
    lasting_ms   bigint      NOT NULL,
    state        text        NOT NULL,
    silence_id   text,
    ends_at      timestamptz,
    ordered_by   uuid        NOT NULL,
    try_at       timestamptz NOT NULL,
    CONSTRAINT silence_state_known CHECK (state IN ('wanted', 'active', 'to_end', 'ended')),
    CONSTRAINT silence_lasts CHECK (lasting_ms > 0),
    CONSTRAINT silence_active_is_made CHECK (state <> 'active' OR (silence_id IS NOT NULL AND ends_at IS NOT NULL))
);
CREATE UNIQUE INDEX silence_once ON silence (incident, alertmanager, md5(matchers::text))
    WHERE state IN ('wanted', 'active');
CREATE INDEX silence_incident ON silence (incident);
CREATE INDEX silence_open ON silence (try_at) WHERE state IN ('active', 'to_end');
COMMENT ON TABLE silence IS 'A silence that matrixbot made, or is about to make, in an Alertmanager.';
COMMENT ON COLUMN silence.token IS 'Its comment in Alertmanager ends with this token, so it is found if the answer is lost.';
COMMENT ON COLUMN silence.incident IS 'The incident whose alerts it holds. It ends when the incident resolves.';
COMMENT ON COLUMN silence.alertmanager IS 'The name of the Alertmanager in the configuration.';
COMMENT ON COLUMN silence.matchers IS 'The labels that it matches exactly, by name.';
COMMENT ON COLUMN silence.who IS 'The Matrix user who asked for it.';
COMMENT ON COLUMN silence.comment IS 'Its comment in Alertmanager, without the token.';
COMMENT ON COLUMN silence.lasting_ms IS 'How long it lasts, in milliseconds, as it was last asked for.';
COMMENT ON COLUMN silence.state IS 'wanted: it may exist; active: Alertmanager has it; to_end: it has to end; ended: it has ended, or was never made.';
COMMENT ON COLUMN silence.silence_id IS 'Its id in Alertmanager; null: not known. Edits may change it.';
COMMENT ON COLUMN silence.ends_at IS 'When it ends, as Alertmanager lists it.';
COMMENT ON COLUMN silence.ordered_by IS 'The command that it was last made or prolonged for.';
COMMENT ON COLUMN silence.try_at IS 'When a process may end it: later than now while one tries.';
