-- What must happen later. src/antiphon/store/work.py says how.

CREATE TABLE work (
    key          INTEGER PRIMARY KEY,  -- the order of creation
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

CREATE INDEX work_by_time ON work (kind, run_at) WHERE failed_at IS NULL;
CREATE UNIQUE INDEX work_by_name ON work (kind, name) WHERE name IS NOT NULL;
CREATE INDEX work_by_owner ON work (owner) WHERE owner IS NOT NULL;
CREATE INDEX work_by_failure ON work (failed_at) WHERE failed_at IS NOT NULL;
