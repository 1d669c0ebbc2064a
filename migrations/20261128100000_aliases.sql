-- Aliases that lead to another room than before, and what rooms are called.

-- An alias of a room list whose room at the homeserver is not the one that the list's pages go to.
CREATE TABLE strayed_alias (
    room_list text        NOT NULL REFERENCES room_list (name),
    alias     text        NOT NULL,
    leads_to  text,
    state     text        NOT NULL,
    why       text,
    since     timestamptz NOT NULL,
    PRIMARY KEY (room_list, alias),
    CONSTRAINT strayed_alias_state_known CHECK (state IN ('waiting', 'kept', 'missing')),
    CONSTRAINT strayed_alias_missing_leads_nowhere CHECK ((state = 'missing') = (leads_to IS NULL)),
    CONSTRAINT strayed_alias_waiting_has_why CHECK ((state = 'waiting') = (why IS NOT NULL))
);
COMMENT ON TABLE strayed_alias IS 'Aliases of room lists that lead to another room than the one that matrixbot pages, or that nobody has any more.';
COMMENT ON COLUMN strayed_alias.room_list IS 'The room list.';
COMMENT ON COLUMN strayed_alias.alias IS 'The alias.';
COMMENT ON COLUMN strayed_alias.leads_to IS 'The room that it leads to now; null: it was deleted.';
COMMENT ON COLUMN strayed_alias.state IS 'waiting: the virtual user cannot post in that room yet; kept: the list never follows its aliases; missing: the alias was deleted.';
COMMENT ON COLUMN strayed_alias.why IS 'Why the virtual user cannot post there.';
COMMENT ON COLUMN strayed_alias.since IS 'Since when it is in this state.';

-- A room that a list left because its alias leads elsewhere: its people continue in the new room.
CREATE TABLE left_room (
    room_list text        NOT NULL REFERENCES room_list (name),
    room      text        NOT NULL,
    successor text        NOT NULL,
    since     timestamptz NOT NULL,
    PRIMARY KEY (room_list, room),
    CONSTRAINT left_room_leads_elsewhere CHECK (room <> successor)
);
COMMENT ON TABLE left_room IS 'Rooms that a room list left because its alias leads to another room.';
COMMENT ON COLUMN left_room.room_list IS 'The room list. Other lists may still have the room.';
COMMENT ON COLUMN left_room.room IS 'The room that it left.';
COMMENT ON COLUMN left_room.successor IS 'The room that it posts in instead.';
COMMENT ON COLUMN left_room.since IS 'When it left. Only what was enqueued before then counts as posted in the successor.';

CREATE FUNCTION counts_in(room_list text, posted_in text, enqueued_at timestamptz, room text) RETURNS boolean
    LANGUAGE sql STABLE AS $$
    SELECT posted_in = counts_in.room OR room_of(posted_in) = counts_in.room OR EXISTS (
        SELECT 1 FROM left_room
        WHERE left_room.room_list = counts_in.room_list AND left_room.room IN (posted_in, room_of(posted_in))
          AND enqueued_at <= left_room.since AND room_of(left_room.successor) = counts_in.room)
$$;
COMMENT ON FUNCTION counts_in IS 'Whether what a room list posted in one room counts as posted in another one: that replaced it, for everybody or for this list.';

CREATE TABLE room_name (
    room       text        PRIMARY KEY,
    name       text,
    alias      text,
    learned_at timestamptz NOT NULL
);
COMMENT ON TABLE room_name IS 'What the rooms of room lists are called.';
COMMENT ON COLUMN room_name.room IS 'The room id.';
COMMENT ON COLUMN room_name.name IS 'Its name, as its members see it; null: it has none.';
COMMENT ON COLUMN room_name.alias IS 'The alias that it presents as its main one; null: it presents none.';
COMMENT ON COLUMN room_name.learned_at IS 'When its state was last read.';
