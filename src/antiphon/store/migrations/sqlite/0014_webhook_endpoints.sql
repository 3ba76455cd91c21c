-- Endpoints of webhooks that clients made. src/antiphon/store/webhook_endpoints.py says what they are.

CREATE TABLE webhook_endpoints (
    key        INTEGER PRIMARY KEY,
    project_id TEXT NOT NULL,
    id         TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL,
    url        TEXT NOT NULL,
    events     TEXT NOT NULL,             -- a JSON list
    secret     TEXT NOT NULL,             -- sealed
    hint       TEXT NOT NULL,
    old_secret TEXT,                      -- sealed
    old_until  INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX webhook_endpoints_by_project ON webhook_endpoints (project_id);
