-- Background runs and their logs. src/antiphon/store/runs.py says what they are.

CREATE TABLE runs (
    key             INTEGER PRIMARY KEY,  -- the order of the queue
    project_id      TEXT NOT NULL,
    id              TEXT NOT NULL,        -- of the response
    created_at      INTEGER NOT NULL,
    previous_id     TEXT,
    conversation_id TEXT,
    streamed        INTEGER NOT NULL,
    status          TEXT NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'ended')),
    cancelled       INTEGER NOT NULL DEFAULT 0,
    request         BLOB,                 -- sealed; gone when the run has ended
    progress        BLOB,
    next            INTEGER NOT NULL,     -- sequence number of the next event
    -- Who carries it, and until when (seconds since the epoch).
    owner           TEXT,
    leased_until    REAL NOT NULL DEFAULT 0,
    claims          INTEGER NOT NULL DEFAULT 0,
    started_at      REAL,
    ended_at        REAL,
    UNIQUE (project_id, id)
) STRICT;

CREATE INDEX runs_by_status ON runs (status, key) WHERE status <> 'ended';
CREATE INDEX runs_by_owner ON runs (owner) WHERE owner IS NOT NULL;
CREATE INDEX runs_by_conversation ON runs (project_id, conversation_id)
    WHERE conversation_id IS NOT NULL AND status <> 'ended';
CREATE INDEX runs_by_end ON runs (ended_at) WHERE ended_at IS NOT NULL;

-- Stretches of a log: the JSON of events, one a line, the last of which has the number `last`.
CREATE TABLE events (
    run  INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
    last INTEGER NOT NULL,
    json BLOB NOT NULL,
    PRIMARY KEY (run, last)
) STRICT, WITHOUT ROWID;
