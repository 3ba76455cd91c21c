-- Background runs that may wait for quiet times, and which of them belong together.

ALTER TABLE runs ADD COLUMN patient_until REAL NOT NULL DEFAULT 0;  -- seconds since the epoch
ALTER TABLE runs ADD COLUMN continuation_id TEXT;

CREATE INDEX runs_by_patience ON runs (patient_until, key) WHERE status = 'queued' AND patient_until > 0;
CREATE INDEX runs_by_continuation ON runs (project_id, continuation_id) WHERE continuation_id IS NOT NULL;
