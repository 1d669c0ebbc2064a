-- An incident whose timer cannot be handled is set aside, so that it stops no other one.
ALTER TABLE incident
    ADD COLUMN timer_failures   integer NOT NULL DEFAULT 0,
    ADD COLUMN timer_not_before timestamptz,
    ADD COLUMN timer_failure    text,
    ADD CONSTRAINT incident_set_aside_whole CHECK
        (timer_failures >= 0 AND num_nulls(timer_not_before, timer_failure) = CASE WHEN timer_failures = 0 THEN 2 ELSE 0 END);
CREATE INDEX incident_set_aside ON incident (timer_not_before) WHERE timer_failures > 0;
COMMENT ON COLUMN incident.timer_failures IS 'How often in a row its timer could not be handled, for a reason of its own; 0: it is not set aside.';
COMMENT ON COLUMN incident.timer_not_before IS 'While it is set aside: when its timer is tried again.';
COMMENT ON COLUMN incident.timer_failure IS 'While it is set aside: why its timer could not be handled.';

-- An event that touched an incident is kept for as long as the incident can change: reconciliation may find the event
-- again, and it must not act twice.
ALTER TABLE inbox ADD COLUMN incidents bigint[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN inbox.incidents IS 'The incidents that it is about. It is kept until all of them are closed.';
-- What was handled before names its incidents only in its result: "ack: acknowledged #1 #2".
UPDATE inbox SET incidents = named.numbers
FROM (SELECT seq, array_agg(DISTINCT number[1]::bigint) AS numbers
      FROM inbox, regexp_matches(result, '#(\d{1,18})', 'g') AS number
      WHERE state = 'handled' GROUP BY seq) AS named
WHERE named.seq = inbox.seq;
