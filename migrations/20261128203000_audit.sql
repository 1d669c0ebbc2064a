-- What the audit of the database finds, and since when, so that each violation is counted and reported once by all processes.
CREATE TABLE audit_finding (
    name      text        NOT NULL,
    subject   text        NOT NULL,
    room_list text,
    since     timestamptz NOT NULL,
    counted   boolean     NOT NULL DEFAULT false,
    reported  boolean     NOT NULL DEFAULT false,
    PRIMARY KEY (name, subject)
);
COMMENT ON TABLE audit_finding IS 'A violation of the invariants that the last audit found.';
COMMENT ON COLUMN audit_finding.name IS 'What was checked; see domain::audit::AuditCheck.';
COMMENT ON COLUMN audit_finding.subject IS 'What it is about: the number of an incident (#42), a room, or a room list.';
COMMENT ON COLUMN audit_finding.room_list IS 'The room list that it concerns; null if none is known.';
COMMENT ON COLUMN audit_finding.since IS 'When an audit found it first, without a gap since.';
COMMENT ON COLUMN audit_finding.counted IS 'Whether it is counted in the metric.';
COMMENT ON COLUMN audit_finding.reported IS 'Whether the fallback rooms of the list were notified.';
