-- Files, and uploads that become files. src/antiphon/store/files.py says what they are; the bytes lie
-- beside the database, each under the id of its file or part.

CREATE TABLE files (
    key        INTEGER PRIMARY KEY,  -- the order of creation
    project_id TEXT NOT NULL,
    id         TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    filename   TEXT NOT NULL,
    purpose    TEXT NOT NULL,
    size       INTEGER NOT NULL,
    sha256     BLOB NOT NULL,
    expires_at INTEGER
) STRICT;

CREATE INDEX files_by_project ON files (project_id, key);
CREATE INDEX files_by_expiry ON files (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE uploads (
    key          INTEGER PRIMARY KEY,
    project_id   TEXT NOT NULL,
    id           TEXT NOT NULL UNIQUE,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    filename     TEXT NOT NULL,
    purpose      TEXT NOT NULL,
    mime_type    TEXT NOT NULL,
    size         INTEGER NOT NULL,
    file_seconds INTEGER,
    status       TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'completed', 'cancelled'))
) STRICT;

CREATE INDEX uploads_by_expiry ON uploads (expires_at);

CREATE TABLE upload_parts (
    id         TEXT PRIMARY KEY,
    upload     INTEGER NOT NULL REFERENCES uploads (key) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    size       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX upload_parts_by_upload ON upload_parts (upload);
