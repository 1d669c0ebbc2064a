-- What polls of Alertmanager's API say, beside its webhooks.
CREATE TABLE alertmanager (
    name               text        PRIMARY KEY,
    owner              uuid,
    until              timestamptz,
    polled_at          timestamptz,
    longest_promise_ms bigint      NOT NULL DEFAULT 0,
    peers              jsonb       NOT NULL DEFAULT '{}',
    failing_since      timestamptz,
    reported_at        timestamptz,
    CONSTRAINT alertmanager_lease_is_whole CHECK ((owner IS NULL) = (until IS NULL)),
    CONSTRAINT alertmanager_promises CHECK (longest_promise_ms >= 0)
);
COMMENT ON TABLE alertmanager IS 'An Alertmanager of the configuration that is polled, by one process at a time.';
COMMENT ON COLUMN alertmanager.name IS 'Its name in the configuration.';
COMMENT ON COLUMN alertmanager.owner IS 'The process that polls it; null: none does.';
COMMENT ON COLUMN alertmanager.until IS 'When another process may take over.';
COMMENT ON COLUMN alertmanager.polled_at IS 'When a poll was last answered.';
COMMENT ON COLUMN alertmanager.longest_promise_ms IS 'The longest time, in milliseconds, for which a source has promised an alert (endsAt) beyond a poll.';
COMMENT ON COLUMN alertmanager.peers IS 'The URL of each peer, with the start of its process at the last poll that it answered.';
COMMENT ON COLUMN alertmanager.failing_since IS 'Since when no peer answers; null: the last poll was answered.';
COMMENT ON COLUMN alertmanager.reported_at IS 'When the fallback rooms were notified of that.';

ALTER TABLE incident ADD COLUMN hold jsonb;
COMMENT ON COLUMN incident.hold IS 'What holds back all its firing alerts in Alertmanager, and until when; null: nothing is known to.';

ALTER TABLE incident_alert
    ADD COLUMN listed_by      text,
    ADD COLUMN unlisted_since timestamptz;
COMMENT ON COLUMN incident_alert.listed_by IS 'The Alertmanager whose polls list the alert; null: none has.';
COMMENT ON COLUMN incident_alert.unlisted_since IS 'Since which poll it does not; null: it does.';
