-- Silences that hold some alerts of an incident, so that its thread shows when they are made, changed and removed; and how
-- often a silence of ours was made again.
ALTER TABLE incident ADD COLUMN partly_silenced jsonb;
COMMENT ON COLUMN incident.partly_silenced IS 'The silences that hold some of its firing alerts in Alertmanager, but not all; null: none is known.';
ALTER TABLE silence ADD COLUMN made_again integer NOT NULL DEFAULT 0;
ALTER TABLE silence ADD CONSTRAINT silence_made_again CHECK (made_again >= 0);
COMMENT ON COLUMN silence.made_again IS 'How often it was made again because Alertmanager had lost it.';
COMMENT ON COLUMN silence.ends_at IS 'When it ends, by the clock of matrixbot.';
