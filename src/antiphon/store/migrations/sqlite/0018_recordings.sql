-- What responses sent to their upstreams, and what came back. src/antiphon/store/recordings.py says what it is.

CREATE TABLE recordings (
    key         INTEGER PRIMARY KEY,
    project_id  TEXT NOT NULL,
    response_id TEXT NOT NULL,
    started_at  REAL NOT NULL,
    size        INTEGER NOT NULL,  -- about what the row takes
    head        BLOB NOT NULL,     -- JSON: all of it but the bodies
    content     BLOB               -- zstd: the request, and behind it the answer; NULL: no content is kept
) STRICT;

CREATE INDEX recordings_by_response ON recordings (project_id, response_id, size);
