-- Totals over all processes. Whatever commits a change writes what it counts in the same transaction, as rows of
-- total_delta: nobody waits for anybody. One process at a time, the one with the lease, adds them up and exports them.
-- The release before this one writes no deltas and counts for itself.

CREATE TABLE total_delta (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    metric    text NOT NULL,
    room_list text NOT NULL,
    label     text NOT NULL,
    seconds   double precision NOT NULL,
    CONSTRAINT total_delta_metric_known CHECK (metric IN ('acknowledgements_total', 'late_acknowledgements_total',
        'pages_total', 'unanswered_total', 'incident_time_to_ack_seconds', 'incident_time_to_resolve_seconds'))
);
COMMENT ON TABLE total_delta IS 'What happened once and is not yet added to its total.';
COMMENT ON COLUMN total_delta.id IS 'The identity of the row.';
COMMENT ON COLUMN total_delta.metric IS 'The metric without its prefix.';
COMMENT ON COLUMN total_delta.room_list IS 'The label room_list; empty if the metric has none.';
COMMENT ON COLUMN total_delta.label IS 'The other label of a counter, or the bucket of a histogram; empty if there is none.';
COMMENT ON COLUMN total_delta.seconds IS 'What a histogram observed; 0 for a counter.';

CREATE TABLE total (
    metric    text NOT NULL,
    room_list text NOT NULL,
    label     text NOT NULL,
    count     bigint NOT NULL,
    seconds   double precision NOT NULL,
    PRIMARY KEY (metric, room_list, label),
    CONSTRAINT total_metric_known CHECK (metric IN ('acknowledgements_total', 'late_acknowledgements_total',
        'pages_total', 'unanswered_total', 'incident_time_to_ack_seconds', 'incident_time_to_resolve_seconds')),
    CONSTRAINT total_counted CHECK (count > 0)
);
COMMENT ON TABLE total IS 'How often something has happened, over all processes; never deleted, so that totals only grow.';
COMMENT ON COLUMN total.metric IS 'The metric without its prefix.';
COMMENT ON COLUMN total.room_list IS 'The label room_list; empty if the metric has none.';
COMMENT ON COLUMN total.label IS 'The other label of a counter, or the bucket of a histogram; empty if there is none.';
COMMENT ON COLUMN total.count IS 'How often; for a histogram, in this bucket alone.';
COMMENT ON COLUMN total.seconds IS 'The sum of what a histogram observed in this bucket; 0 for a counter.';

CREATE TABLE total_lease (
    single boolean PRIMARY KEY DEFAULT true,
    owner  uuid,
    until  timestamptz,
    CONSTRAINT total_lease_single CHECK (single),
    CONSTRAINT total_lease_held_until CHECK ((owner IS NULL) = (until IS NULL))
);
INSERT INTO total_lease DEFAULT VALUES;
COMMENT ON TABLE total_lease IS 'Which process adds up the totals and exports them.';
COMMENT ON COLUMN total_lease.single IS 'There is one row.';
COMMENT ON COLUMN total_lease.owner IS 'The process; null if there is none.';
COMMENT ON COLUMN total_lease.until IS 'Until when it need not share them; it renews this all the time.';
