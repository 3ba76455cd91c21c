-- Threads of positions, and what hangs on them: src/antiphon/store/threads.py has the idea and the rules.

CREATE TABLE items (
    key        INTEGER PRIMARY KEY,
    project_id TEXT NOT NULL,
    id         TEXT NOT NULL,
    -- Clients make ids too, and may use one again for something else: that is kept beside the first.
    version    INTEGER NOT NULL DEFAULT 0,
    json       BLOB NOT NULL,
    UNIQUE (project_id, id, version)
) STRICT;

CREATE TABLE threads (
    id              INTEGER PRIMARY KEY,
    project_id      TEXT NOT NULL,
    -- A fork continues its parent's rows below `parent_position`; its own positions go on from there.
    parent          INTEGER REFERENCES threads (id),
    parent_position INTEGER,
    next_position   INTEGER NOT NULL,
    -- Stays when the conversation is deleted: nothing may be appended as if it were a plain thread.
    conversation_id TEXT,
    CHECK ((parent IS NULL) = (parent_position IS NULL))
) STRICT;

CREATE INDEX threads_by_parent ON threads (parent, parent_position) WHERE parent IS NOT NULL;
CREATE UNIQUE INDEX threads_by_conversation ON threads (project_id, conversation_id)
    WHERE conversation_id IS NOT NULL;

CREATE TABLE links (
    thread     INTEGER NOT NULL REFERENCES threads (id),
    position   INTEGER NOT NULL,
    item       INTEGER NOT NULL REFERENCES items (key),
    -- Linked, held, hidden. IN would make a table of the three for each row that is written.
    state      INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2),
    project_id TEXT NOT NULL,
    PRIMARY KEY (thread, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX links_by_item ON links (item, thread);

-- Positions are half open: [start, middle) is the input, [middle, stop) the output.
CREATE TABLE responses (
    key        INTEGER PRIMARY KEY,
    project_id TEXT NOT NULL,
    id         TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    thread     INTEGER NOT NULL REFERENCES threads (id),
    start      INTEGER NOT NULL,
    middle     INTEGER NOT NULL,
    stop       INTEGER NOT NULL,
    json       BLOB NOT NULL,
    UNIQUE (project_id, id),
    CHECK (start <= middle AND middle <= stop)
) STRICT;

CREATE INDEX responses_by_thread ON responses (thread, stop, start);

CREATE TABLE conversations (
    project_id   TEXT NOT NULL,
    id           TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    metadata     BLOB NOT NULL,
    -- Who may write, and until when (seconds since the epoch).
    lock_holder  TEXT,
    locked_until REAL NOT NULL DEFAULT 0,
    PRIMARY KEY (project_id, id)
) STRICT, WITHOUT ROWID;
