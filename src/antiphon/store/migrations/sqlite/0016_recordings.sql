-- What responses sent to their upstreams, and what came back. src/antiphon/store/recordings.py says what it is.

CREATE TABLE recordings (
    key                INTEGER PRIMARY KEY,
    project_id         TEXT NOT NULL,
    response_id        TEXT NOT NULL,
    turn               INTEGER NOT NULL,
    backend            TEXT,
    method             TEXT NOT NULL,
    url                TEXT NOT NULL,
    started_at         REAL NOT NULL,
    milliseconds       INTEGER NOT NULL,
    first_milliseconds INTEGER,
    status             INTEGER,
    content_type       TEXT,
    error              TEXT,
    request_bytes      INTEGER NOT NULL,
    answer_bytes       INTEGER NOT NULL,
    marks              TEXT,              -- JSON; of the last one of a response
    size               INTEGER NOT NULL,  -- about what the row takes
    request_kept       INTEGER,           -- bytes of the content that are the request; NULL: no content is kept
    content            BLOB               -- zstd: the request, and behind it the answer
) STRICT;

CREATE INDEX recordings_by_response ON recordings (response_id);
CREATE INDEX recordings_by_age ON recordings (started_at, size);
