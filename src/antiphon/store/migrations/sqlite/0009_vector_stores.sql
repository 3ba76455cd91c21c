-- Vector stores, their files and what is searched in them. src/antiphon/store/vector_stores.py says what they
-- are; vector_words.py makes a table for the words of each project.

CREATE TABLE vector_stores (
    key            INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order of creation; never used again
    project_id     TEXT NOT NULL,
    id             TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    name           TEXT NOT NULL,
    description    TEXT,
    metadata       BLOB NOT NULL,
    expires_days   INTEGER,
    last_active_at INTEGER NOT NULL,
    embedder       TEXT NOT NULL,
    dimension      INTEGER,                            -- NULL before anything was indexed
    version        INTEGER NOT NULL DEFAULT 0,         -- changes when there is more or less to search
    next_chunk     INTEGER NOT NULL DEFAULT 0,
    swept          INTEGER NOT NULL DEFAULT 0,         -- 1: it has expired, and its files are gone
    UNIQUE (project_id, id)
) STRICT;

CREATE INDEX vector_stores_by_project ON vector_stores (project_id, key);
CREATE INDEX vector_stores_by_expiry ON vector_stores (last_active_at)
    WHERE expires_days IS NOT NULL AND swept = 0;

CREATE TABLE vector_store_batches (
    key        INTEGER PRIMARY KEY AUTOINCREMENT,
    store      INTEGER NOT NULL REFERENCES vector_stores (key) ON DELETE CASCADE,
    id         TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    cancelled  INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX vector_store_batches_by_store ON vector_store_batches (store);

CREATE TABLE vector_store_files (
    key           INTEGER PRIMARY KEY AUTOINCREMENT,
    store         INTEGER NOT NULL REFERENCES vector_stores (key),
    file          INTEGER NOT NULL,                    -- its key in files
    batch         INTEGER REFERENCES vector_store_batches (key),
    created_at    INTEGER NOT NULL,
    status        TEXT NOT NULL CHECK (status IN ('in_progress', 'completed', 'failed', 'cancelled')),
    attributes    TEXT NOT NULL,                       -- a JSON object
    chunk_tokens  INTEGER NOT NULL,
    overlap       INTEGER NOT NULL,
    embedder      TEXT NOT NULL,                       -- that its chunks are made with
    chunks        INTEGER NOT NULL DEFAULT 0,          -- how many are written
    usage_bytes   INTEGER NOT NULL DEFAULT 0,
    error_code    TEXT,
    error_message TEXT,
    UNIQUE (store, file)
) STRICT;

CREATE INDEX vector_store_files_by_status ON vector_store_files (store, status, usage_bytes);
CREATE INDEX vector_store_files_by_file ON vector_store_files (file);
CREATE INDEX vector_store_files_by_batch ON vector_store_files (batch, status) WHERE batch IS NOT NULL;

-- A chunk is found when its file is there and completed. The rest waits to be deleted.
CREATE TABLE vector_chunks (
    key        INTEGER PRIMARY KEY,                    -- the store's key, and its own number in 32 bits
    project_id TEXT NOT NULL,
    entry      INTEGER NOT NULL,                       -- its row of vector_store_files
    number     INTEGER NOT NULL,
    start      INTEGER NOT NULL,                       -- characters of the file's text, like all places
    own_start  INTEGER NOT NULL,
    own_end    INTEGER NOT NULL,
    vectors    BLOB NOT NULL,                          -- int8, one vector behind another (retrieval/packing.py)
    about      TEXT NOT NULL,
    text       TEXT NOT NULL,                          -- behind them: who reads vectors does not read texts
    UNIQUE (entry, number)
) STRICT;

CREATE TABLE vector_words (
    key        INTEGER PRIMARY KEY AUTOINCREMENT,      -- of the table words_KEY
    project_id TEXT NOT NULL UNIQUE
) STRICT;
