-- Background runs that may wait for quiet times, and which of them belong together. Their jobs are due when
-- their patience ends; who has nothing else to do takes them before.

ALTER TABLE runs ADD COLUMN patient_until DOUBLE PRECISION NOT NULL DEFAULT 0;  -- seconds since the epoch
ALTER TABLE runs ADD COLUMN continuation_id TEXT;

CREATE INDEX runs_by_patience ON runs (patient_until, key) WHERE status = 'queued' AND patient_until > 0;
CREATE INDEX runs_by_continuation ON runs (project_id, continuation_id) WHERE continuation_id IS NOT NULL;

CREATE OR REPLACE FUNCTION queue_defer_run(run runs) RETURNS BIGINT
LANGUAGE sql AS $$
    SELECT queue_defer('runs', 'run', jsonb_build_object('key', run.key, 'response', run.id),
        CASE WHEN run.status = 'queued' THEN run.patient_until ELSE 0 END)
$$;
