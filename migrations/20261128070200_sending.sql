-- What keeps messages from being sent: trouble of a list's virtual user, and rooms that do not let it write.

CREATE TABLE user_trouble (
    room_list  text        PRIMARY KEY REFERENCES room_list (name),
    why        text        NOT NULL,
    since      timestamptz NOT NULL,
    checks     integer     NOT NULL DEFAULT 0,
    next_check timestamptz NOT NULL,
    CONSTRAINT user_trouble_checks_positive CHECK (checks >= 0)
);
COMMENT ON TABLE user_trouble IS 'Room lists whose virtual user cannot send: their messages wait, and none is given up.';
COMMENT ON COLUMN user_trouble.room_list IS 'The room list.';
COMMENT ON COLUMN user_trouble.why IS 'What the homeserver answered last.';
COMMENT ON COLUMN user_trouble.since IS 'When it was first noticed.';
COMMENT ON COLUMN user_trouble.checks IS 'How often a message was sent since to check it. The pause between checks grows with it.';
COMMENT ON COLUMN user_trouble.next_check IS 'When one message of the list may be sent again, to check it.';

ALTER TABLE room_trouble ADD COLUMN muted boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN room_trouble.muted IS 'Whether the virtual user is in the room, but its power level is too low to send messages.';
