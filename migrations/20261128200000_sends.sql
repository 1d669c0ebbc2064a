-- A room has several messages on their way, of different incidents. Its gate belongs to one process at a time, and every
-- message in the state `sending` to that process.
CREATE INDEX outbox_on_its_way ON outbox (room) WHERE state = 'sending';

-- The gate of a room changes hands, or is given back: what its last holder had on its way may have arrived. In the database,
-- so that it is true for a release that knows only the message that the gate names.
CREATE FUNCTION room_gate_changes_hands() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE outbox SET state = 'pending', uncertain = true
    WHERE room = OLD.room AND state = 'sending' AND id IS DISTINCT FROM NEW.message;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION room_gate_changes_hands IS 'No message is on its way without the process that sends it: it waits again, and is looked for in its room before it is sent again.';
CREATE TRIGGER room_gate_changes_hands AFTER UPDATE ON room_gate FOR EACH ROW
    WHEN (OLD.lease_owner IS NOT NULL AND OLD.lease_owner IS DISTINCT FROM NEW.lease_owner)
    EXECUTE FUNCTION room_gate_changes_hands();

COMMENT ON TABLE room_gate IS 'One process at a time sends to a room: so the messages of an incident keep their order, and a limit stops one room only.';
COMMENT ON COLUMN room_gate.lease_owner IS 'The hold of the process that sends to it: new each time a process begins to.';
COMMENT ON COLUMN room_gate.message IS 'The message that was claimed last. Others may be on their way as well: outbox.state.';
COMMENT ON COLUMN outbox.state IS 'pending, sending (by the process that holds the room''s gate), sent, cancelled or undeliverable.';
