-- In one room list an alert is held by one incident, and an incident may own several of Alertmanager's groups.
CREATE TABLE incident_key (
    room_list text   NOT NULL REFERENCES room_list (name),
    key       bytea  NOT NULL,
    incident  bigint NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
    PRIMARY KEY (room_list, key),
    CONSTRAINT incident_key_is_a_hash CHECK (octet_length(key) = 32)
);
CREATE INDEX incident_key_of_incident ON incident_key (incident);
COMMENT ON TABLE incident_key IS 'Which incident of a room list owns a group of Alertmanager: new alerts of the group join it while it is not closed. An incident that a release up to 0.1.0 opened owns the group of its own key without a row here.';
COMMENT ON COLUMN incident_key.room_list IS 'The room list.';
COMMENT ON COLUMN incident_key.key IS 'SHA-256 of receiver and group key.';
COMMENT ON COLUMN incident_key.incident IS 'The incident; the newest one if the group has opened several.';
COMMENT ON COLUMN incident.key IS 'SHA-256 of receiver and group key of the group that opened it; incident_key has all its groups.';
COMMENT ON TABLE incident IS 'One alert group in one room list: what people see and acknowledge.';

INSERT INTO incident_key (room_list, key, incident)
    SELECT DISTINCT ON (room_list, key) room_list, key, id FROM incident ORDER BY room_list, key, id DESC;

-- A run that something worse starts goes on where the ladder was.
ALTER TABLE incident
    ADD COLUMN start_level      integer NOT NULL DEFAULT 0,
    ADD COLUMN paged_severities text[],
    ADD COLUMN paged_run_no     integer,
    ADD CONSTRAINT incident_start_level_counts CHECK (start_level >= 0);
COMMENT ON COLUMN incident.start_level IS 'The level of the first page of the run paged_run_no; other runs start at level 0.';
COMMENT ON COLUMN incident.paged_severities IS 'The names of the severities that pages of the run paged_run_no have shown; an empty name is an alert without a severity.';
COMMENT ON COLUMN incident.paged_run_no IS 'The run that start_level and paged_severities belong to; null or an older run: an earlier release started the current one.';

ALTER TABLE incident_alert
    ADD COLUMN first_seen     timestamptz,
    ADD COLUMN start_known    boolean NOT NULL DEFAULT true,
    ADD COLUMN left_out_since timestamptz,
    ADD COLUMN doubted_at     timestamptz,
    ADD COLUMN reported_by    bytea;
COMMENT ON COLUMN incident_alert.first_seen IS 'When the first report of the current episode arrived; null in rows of releases up to 0.1.0.';
COMMENT ON COLUMN incident_alert.start_known IS 'Whether Alertmanager gave starts_at; if not, it is when the alert arrived.';
COMMENT ON COLUMN incident_alert.left_out_since IS 'Since when the reports of its group leave the firing alert out; null: the newest has it.';
COMMENT ON COLUMN incident_alert.doubted_at IS 'When a report that may be an old one said that the resolved alert is firing; it counts only after cleared_at.';
COMMENT ON COLUMN incident_alert.reported_by IS 'The group of its newest report, as in incident_key; null in rows of releases up to 0.1.0.';
-- Who holds an alert: bounded by the firing alerts, and by those that have just resolved.
CREATE INDEX incident_alert_firing ON incident_alert (fingerprint) WHERE firing;
CREATE INDEX incident_alert_reported_by ON incident_alert (reported_by) WHERE firing;
CREATE INDEX incident_alert_cleared ON incident_alert (fingerprint, cleared_at) WHERE NOT firing;
