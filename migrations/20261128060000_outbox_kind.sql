COMMENT ON COLUMN outbox.kind IS 'The kind of the message: OutgoingKind in src/domain/outgoing.rs.';
