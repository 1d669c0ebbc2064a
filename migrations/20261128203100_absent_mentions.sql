-- People whom pages mention without reaching them, so that the fallback rooms are notified of each once.
CREATE TABLE absent_mention (
    room_list text        NOT NULL REFERENCES room_list (name),
    user_id   text        NOT NULL,
    why       text        NOT NULL,
    since     timestamptz NOT NULL,
    PRIMARY KEY (room_list, user_id)
);
COMMENT ON TABLE absent_mention IS 'A person whom pages of a room list mention, and who is not in the room or does not exist.';
COMMENT ON COLUMN absent_mention.room_list IS 'The room list.';
COMMENT ON COLUMN absent_mention.user_id IS 'The person''s Matrix id.';
COMMENT ON COLUMN absent_mention.why IS 'Why pages do not reach the person: which rooms, or that there is no such user.';
COMMENT ON COLUMN absent_mention.since IS 'When that was found.';
