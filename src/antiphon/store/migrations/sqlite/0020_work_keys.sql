-- A job's key is never used again: who still holds a job that is gone does nothing to another one.

CREATE TABLE jobs (
    key          INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order of creation
    kind         TEXT NOT NULL,
    name         TEXT,
    project_id   TEXT,
    payload      BLOB NOT NULL,
    run_at       REAL NOT NULL,        -- seconds since the epoch, like all times here
    attempts     INTEGER NOT NULL DEFAULT 0,
    fence        INTEGER NOT NULL DEFAULT 0,
    -- Who does it, and until when.
    owner        TEXT,
    leased_until REAL NOT NULL DEFAULT 0,
    error        TEXT,                 -- why the last attempt was none
    failed_at    REAL                  -- when it was given up
) STRICT;

INSERT INTO jobs SELECT * FROM work;

DROP TABLE work;

ALTER TABLE jobs RENAME TO work;

CREATE INDEX work_by_time ON work (kind, run_at) WHERE failed_at IS NULL;
CREATE UNIQUE INDEX work_by_name ON work (kind, name) WHERE name IS NOT NULL;
CREATE INDEX work_by_owner ON work (owner) WHERE owner IS NOT NULL;
CREATE INDEX work_by_failure ON work (failed_at) WHERE failed_at IS NOT NULL;
CREATE INDEX work_by_turn ON work (coalesce(project_id, ''), run_at) WHERE failed_at IS NULL;
