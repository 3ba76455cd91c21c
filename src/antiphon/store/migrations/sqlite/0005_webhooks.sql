-- Deliveries of webhooks, and what the sweeping of old rows goes by. src/antiphon/store/webhooks.py and
-- src/antiphon/store/retention.py say what they are.

CREATE TABLE webhook_deliveries (
    key         INTEGER PRIMARY KEY,  -- the order of creation
    id          TEXT NOT NULL UNIQUE,
    event_id    TEXT NOT NULL,
    project_id  TEXT NOT NULL,
    endpoint    TEXT NOT NULL,
    type        TEXT NOT NULL,
    response_id TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    body        BLOB NOT NULL,
    status      TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'delivered', 'failed')),
    attempts    INTEGER NOT NULL DEFAULT 0,
    -- When a pending one is due. Whoever takes it moves this forward by the time it may need: if it dies,
    -- the delivery is due again.
    next_at     REAL NOT NULL,
    ended_at    INTEGER,
    http_status INTEGER,
    error       TEXT
) STRICT;

CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint, next_at) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_by_age ON webhook_deliveries (created_at);

CREATE INDEX responses_by_age ON responses (created_at);

-- When the conversation of a thread was deleted: its items go by that age.
ALTER TABLE threads ADD COLUMN left_at INTEGER;

UPDATE threads SET left_at = CAST(strftime('%s', 'now') AS INTEGER)
WHERE conversation_id IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM conversations AS c WHERE c.project_id = threads.project_id AND c.id = conversation_id
);

CREATE INDEX threads_by_leaving ON threads (left_at) WHERE left_at IS NOT NULL;
