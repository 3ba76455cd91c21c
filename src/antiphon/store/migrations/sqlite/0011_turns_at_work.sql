-- Projects take turns with their jobs: which project is next, and which of its jobs has been due longest, are
-- one step in this index each. Jobs of no project have a turn as well.

CREATE INDEX work_by_turn ON work (coalesce(project_id, ''), run_at) WHERE failed_at IS NULL;
