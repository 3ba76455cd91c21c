-- API keys that are made at run time, and what was used of their limits (store/keys.py,
-- store/allowances.py, store/key_places.py).

CREATE TABLE api_keys (
    key        INTEGER PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    project_id TEXT NOT NULL,
    name       TEXT NOT NULL,
    digest     TEXT NOT NULL UNIQUE,   -- the key itself is nowhere
    hint       TEXT NOT NULL,
    admin      INTEGER NOT NULL,
    limits     TEXT NOT NULL,          -- JSON
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;

-- A name is free again when its key was revoked.
CREATE UNIQUE INDEX api_keys_by_name ON api_keys (project_id, name) WHERE revoked_at IS NULL;

CREATE TABLE key_usage (
    digest TEXT NOT NULL,
    kind   TEXT NOT NULL,
    slot   INTEGER NOT NULL,           -- when it begins
    used   INTEGER NOT NULL,
    PRIMARY KEY (digest, kind, slot)
) STRICT;

CREATE TABLE key_places (
    digest TEXT NOT NULL,
    owner  TEXT NOT NULL,              -- a process
    places INTEGER NOT NULL,
    until  REAL NOT NULL,
    PRIMARY KEY (digest, owner)
) STRICT;

CREATE INDEX key_places_by_owner ON key_places (owner);
