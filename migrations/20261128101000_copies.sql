-- An incident that a report could not read does not keep its group from having another one.
ALTER TABLE incident ADD COLUMN unreadable boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN incident.unreadable IS 'A report of its group could not read it. It does not count as the open incident of its group, which may have another one since.';
DROP INDEX incident_one_open;
CREATE UNIQUE INDEX incident_one_open ON incident (room_list, key) WHERE phase <> 'closed' AND NOT unreadable;
-- The index served this as well.
CREATE INDEX incident_not_closed ON incident (id) WHERE phase <> 'closed';

-- A message that the homeserver accepted twice: its other event may turn up at any time.
ALTER TABLE outbox ADD COLUMN seen_event text;
COMMENT ON COLUMN outbox.seen_event IS 'An event of this message that the homeserver showed while an attempt to send it was uncertain.';
