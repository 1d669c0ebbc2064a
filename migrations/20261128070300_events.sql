-- Events that cannot be handled: they wait, and leave the queue of their room after some failures.
ALTER TABLE inbox
    ADD COLUMN failures     integer NOT NULL DEFAULT 0,
    ADD COLUMN failure      text,
    ADD COLUMN not_before   timestamptz,
    ADD COLUMN set_aside_at timestamptz,
    ADD CONSTRAINT inbox_failures_positive CHECK (failures >= 0),
    ADD CONSTRAINT inbox_set_aside_is_retried CHECK (set_aside_at IS NULL OR not_before IS NOT NULL);
CREATE INDEX inbox_queue ON inbox (room, seq) WHERE state = 'waiting' AND set_aside_at IS NULL;
CREATE INDEX inbox_set_aside ON inbox (room, not_before) WHERE state = 'waiting' AND set_aside_at IS NOT NULL;
COMMENT ON COLUMN inbox.failures IS 'How often handling it has failed in a way that a retry may cure.';
COMMENT ON COLUMN inbox.failure IS 'The error of the last failure.';
COMMENT ON COLUMN inbox.not_before IS 'When it is handled next, at the earliest; null: at once.';
COMMENT ON COLUMN inbox.set_aside_at IS 'When it left the queue of its room because it kept failing; later events go on without it.';

-- Only the person who reacted withdraws an acknowledgement, and only in the room of the reaction.
ALTER TABLE ack_reaction ADD COLUMN room text;
COMMENT ON COLUMN ack_reaction.room IS 'The room of the reaction; null in rows of releases up to 0.1.0.';
ALTER TABLE redacted ADD COLUMN room text, ADD COLUMN by_user text;
ALTER TABLE redacted DROP CONSTRAINT redacted_pkey;
CREATE UNIQUE INDEX redacted_once ON redacted (event_id, coalesce(room, ''), coalesce(by_user, ''));
COMMENT ON COLUMN redacted.room IS 'The room of the redaction; null in rows of releases up to 0.1.0.';
COMMENT ON COLUMN redacted.by_user IS 'Who redacted it; null in rows of releases up to 0.1.0.';

-- Rooms that moved: what their tombstones name, and whether matrixbot follows.
CREATE TABLE room_move (
    room      text        PRIMARY KEY,
    successor text        NOT NULL,
    state     text        NOT NULL,
    why       text,
    since     timestamptz NOT NULL,
    CONSTRAINT room_move_state_known CHECK (state IN ('waiting', 'followed', 'refused', 'undone')),
    CONSTRAINT room_move_leads_elsewhere CHECK (room <> successor),
    CONSTRAINT room_move_why_not_followed CHECK (state <> 'followed' OR why IS NULL)
);
COMMENT ON TABLE room_move IS 'Rooms of room lists whose tombstone names a successor.';
COMMENT ON COLUMN room_move.room IS 'The room with the tombstone.';
COMMENT ON COLUMN room_move.successor IS 'The room that the tombstone names.';
COMMENT ON COLUMN room_move.state IS 'waiting: not joined yet; followed; refused: the successor does not name the room as its predecessor; undone: an operator took the move back.';
COMMENT ON COLUMN room_move.why IS 'Why matrixbot does not follow (yet).';
COMMENT ON COLUMN room_move.since IS 'Since when it is in this state.';
-- The moves that earlier releases followed.
INSERT INTO room_move (room, successor, state, since)
    SELECT reference, room, 'followed', resolved_at FROM room_alias WHERE reference LIKE '!%' AND reference <> room;

-- Every process serves every list that has an open incident, also one that its own configuration does not have.
ALTER TABLE room_list ADD COLUMN ack_reactions text[];
COMMENT ON COLUMN room_list.ack_reactions IS 'The reactions that acknowledge, the placed one first; null in rows of releases up to 0.1.0.';
CREATE INDEX room_membership_of_room ON room_membership (room);

CREATE FUNCTION room_origins(room text) RETURNS text[] LANGUAGE sql STABLE AS $$
    WITH RECURSIVE origin (reference, depth) AS (
        SELECT room, 0
        UNION
        SELECT room_alias.reference, origin.depth + 1
        FROM origin JOIN room_alias ON room_alias.room = origin.reference
        WHERE origin.depth < 20
    )
    SELECT array_agg(DISTINCT reference) FROM origin
$$;
COMMENT ON FUNCTION room_origins IS 'The references that lead to a room, the room itself included, also if the room has moved since.';

-- A person who floods a room with commands.
CREATE TABLE command_rate (
    room     text        NOT NULL,
    user_id  text        NOT NULL,
    since    timestamptz NOT NULL,
    commands integer     NOT NULL,
    latest   timestamptz NOT NULL,
    dropping boolean     NOT NULL,
    PRIMARY KEY (room, user_id),
    CONSTRAINT command_rate_counts CHECK (commands >= 1)
);
CREATE INDEX command_rate_latest ON command_rate (latest);
COMMENT ON TABLE command_rate IS 'How many commands a person has given in a room lately.';
COMMENT ON COLUMN command_rate.room IS 'The room.';
COMMENT ON COLUMN command_rate.user_id IS 'The person.';
COMMENT ON COLUMN command_rate.since IS 'When the current minute of counting began.';
COMMENT ON COLUMN command_rate.commands IS 'How many commands were accepted in that minute.';
COMMENT ON COLUMN command_rate.latest IS 'When the latest command came.';
COMMENT ON COLUMN command_rate.dropping IS 'Whether commands are dropped until the person pauses.';
