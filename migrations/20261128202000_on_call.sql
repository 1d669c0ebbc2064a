-- Who is on call: what calendars hold, who serves instead of whom, and who was on call last.
CREATE TABLE on_call_calendar (
    schedule      text        PRIMARY KEY,
    due_at        timestamptz NOT NULL,
    source        text        NOT NULL DEFAULT '',
    read_at       timestamptz,
    shifts_until  timestamptz,
    failing_since timestamptz,
    problem       text,
    unreadable    text[]      NOT NULL DEFAULT '{}',
    CONSTRAINT on_call_calendar_failing CHECK ((failing_since IS NULL) = (problem IS NULL))
);
COMMENT ON TABLE on_call_calendar IS 'The calendar of a schedule, as it was read last.';
COMMENT ON COLUMN on_call_calendar.schedule IS 'The name of the schedule in the configuration.';
COMMENT ON COLUMN on_call_calendar.due_at IS 'When it is read again; while a process reads it, when another one may.';
COMMENT ON COLUMN on_call_calendar.source IS 'A hash of where it is and how it is read: another one is read at once.';
COMMENT ON COLUMN on_call_calendar.read_at IS 'When it was last read; null: never.';
COMMENT ON COLUMN on_call_calendar.shifts_until IS 'Until when its shifts are known; null: it was never read.';
COMMENT ON COLUMN on_call_calendar.failing_since IS 'Since when it cannot be read; null: the last attempt succeeded.';
COMMENT ON COLUMN on_call_calendar.problem IS 'Why it cannot be read, without its URL; null: the last attempt succeeded.';
COMMENT ON COLUMN on_call_calendar.unreadable IS 'What it had that could not be read, when it was last read.';

CREATE TABLE on_call_shift (
    id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schedule  text        NOT NULL REFERENCES on_call_calendar (schedule) ON DELETE CASCADE,
    starts_at timestamptz NOT NULL,
    ends_at   timestamptz NOT NULL,
    names     jsonb       NOT NULL,
    CONSTRAINT on_call_shift_lasts CHECK (starts_at < ends_at)
);
CREATE INDEX on_call_shift_times ON on_call_shift (schedule, ends_at);
COMMENT ON TABLE on_call_shift IS 'A shift of a calendar. A successful reading replaces all of the calendar.';
COMMENT ON COLUMN on_call_shift.id IS 'Its identity.';
COMMENT ON COLUMN on_call_shift.schedule IS 'The schedule.';
COMMENT ON COLUMN on_call_shift.starts_at IS 'From when.';
COMMENT ON COLUMN on_call_shift.ends_at IS 'Until when.';
COMMENT ON COLUMN on_call_shift.names IS 'What the event has that may name the person. The configuration says who is meant.';

CREATE TABLE on_call_override (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schedule   text        NOT NULL,
    person     text        NOT NULL,
    instead_of text,
    starts_at  timestamptz NOT NULL,
    ends_at    timestamptz NOT NULL,
    made_by    text        NOT NULL,
    made_at    timestamptz NOT NULL,
    command    text        NOT NULL,
    undone_at  timestamptz,
    CONSTRAINT on_call_override_lasts CHECK (starts_at < ends_at)
);
CREATE INDEX on_call_override_times ON on_call_override (schedule, ends_at) WHERE undone_at IS NULL;
CREATE INDEX on_call_override_ended ON on_call_override (ends_at);
COMMENT ON TABLE on_call_override IS 'A person who serves instead of whom the schedule names, as somebody asked for it in a room.';
COMMENT ON COLUMN on_call_override.id IS 'Its identity; of overlapping ones the highest wins.';
COMMENT ON COLUMN on_call_override.schedule IS 'The schedule.';
COMMENT ON COLUMN on_call_override.person IS 'The Matrix user who serves.';
COMMENT ON COLUMN on_call_override.instead_of IS 'Only instead of this Matrix user, while that one serves; null: instead of everybody.';
COMMENT ON COLUMN on_call_override.starts_at IS 'From when.';
COMMENT ON COLUMN on_call_override.ends_at IS 'Until when.';
COMMENT ON COLUMN on_call_override.made_by IS 'The Matrix user who asked for it.';
COMMENT ON COLUMN on_call_override.made_at IS 'When.';
COMMENT ON COLUMN on_call_override.command IS 'The event of the command. A command may make several, which are undone together.';
COMMENT ON COLUMN on_call_override.undone_at IS 'When it was undone; null: it counts.';

CREATE TABLE on_call_watch (
    schedule text        PRIMARY KEY,
    people   text[]      NOT NULL,
    since    timestamptz NOT NULL,
    next_at  timestamptz NOT NULL
);
COMMENT ON TABLE on_call_watch IS 'Who was on call in a schedule when it was last looked at. The transaction that changes it announces the hand-over.';
COMMENT ON COLUMN on_call_watch.schedule IS 'The schedule.';
COMMENT ON COLUMN on_call_watch.people IS 'The Matrix users, sorted; empty: nobody.';
COMMENT ON COLUMN on_call_watch.since IS 'Since when.';
COMMENT ON COLUMN on_call_watch.next_at IS 'When it is looked at again.';
