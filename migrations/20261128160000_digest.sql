-- A storm of pages in one room is told in a digest: one message that shows many incidents, and is edited as it grows.
CREATE TABLE digest (
    id        uuid        PRIMARY KEY,
    room_list text        NOT NULL REFERENCES room_list (name),
    room      text        NOT NULL,
    class     text        NOT NULL,
    event_id  text,
    sent_at   timestamptz,
    edited_at timestamptz,
    shown     bigint,
    look_at   timestamptz NOT NULL,
    ended_at  timestamptz,
    CONSTRAINT digest_class_known CHECK (class IN ('first', 'escalation', 'fallback')),
    CONSTRAINT digest_sent_has_event CHECK ((sent_at IS NULL) = (event_id IS NULL)),
    CONSTRAINT digest_edited_is_sent CHECK (edited_at IS NULL OR sent_at IS NOT NULL)
);
CREATE INDEX digest_open ON digest (room, room_list, class) WHERE ended_at IS NULL;
CREATE INDEX digest_due ON digest (look_at) WHERE ended_at IS NULL;
CREATE INDEX digest_over ON digest (ended_at) WHERE ended_at IS NOT NULL;
COMMENT ON TABLE digest IS 'Messages that show many incidents at once. The pages that one carries are in the outbox.';
COMMENT ON COLUMN digest.id IS 'Its identity: that of its first message in the outbox.';
COMMENT ON COLUMN digest.room_list IS 'The room list whose pages it carries.';
COMMENT ON COLUMN digest.room IS 'The room in which it is.';
COMMENT ON COLUMN digest.class IS 'Which pages it carries: first pages, escalations, or notices for a fallback room.';
COMMENT ON COLUMN digest.event_id IS 'Its Matrix event; null: not known to be sent.';
COMMENT ON COLUMN digest.sent_at IS 'When it was sent.';
COMMENT ON COLUMN digest.edited_at IS 'When it was last sent or edited.';
COMMENT ON COLUMN digest.shown IS 'A hash of what it shows: an edit that would show the same is not sent.';
COMMENT ON COLUMN digest.look_at IS 'When to check whether the storm is over.';
COMMENT ON COLUMN digest.ended_at IS 'When the storm was over. What was still open then has got a page of its own.';

ALTER TABLE outbox ADD COLUMN digest uuid REFERENCES digest (id);
ALTER TABLE outbox ADD COLUMN carrier uuid;
CREATE INDEX outbox_of_digest ON outbox (digest) WHERE digest IS NOT NULL;
CREATE INDEX outbox_digest_edits ON outbox (digest) WHERE kind = 'digest_part' AND state = 'pending';
CREATE INDEX outbox_told_lately ON outbox (room, settled_at) WHERE state = 'sent' AND kind IN ('page', 'fallback');
COMMENT ON COLUMN outbox.digest IS 'The digest that it is or belongs to; of a page, the digest that carries or carried it.';
COMMENT ON COLUMN outbox.carrier IS 'Of a page in a digest: the message of the digest that carries it. While that is on its way, the page is not sent by itself.';

ALTER TABLE outbox DROP CONSTRAINT outbox_kind_known;
ALTER TABLE outbox ADD CONSTRAINT outbox_kind_known CHECK (kind IN
    ('page', 'fallback', 'reminder', 'edit', 'thread', 'notice', 'reaction', 'answer', 'digest', 'digest_part')) NOT VALID;
ALTER TABLE outbox DROP CONSTRAINT outbox_has_incident;
ALTER TABLE outbox ADD CONSTRAINT outbox_has_incident CHECK
    (kind IN ('answer', 'digest', 'digest_part') OR incident IS NOT NULL) NOT VALID;
ALTER TABLE outbox ADD CONSTRAINT outbox_digest_has_one CHECK (kind NOT IN ('digest', 'digest_part') OR digest IS NOT NULL) NOT VALID;

-- One reaction to a digest acknowledges many incidents.
ALTER TABLE ack_reaction DROP CONSTRAINT ack_reaction_pkey;
ALTER TABLE ack_reaction ADD PRIMARY KEY (event_id, incident);
