-- What became of each response, without its content. src/antiphon/store/activity.py says what it is.

CREATE TABLE activity (
    key                INTEGER PRIMARY KEY,
    project_id         TEXT NOT NULL,
    response_id        TEXT NOT NULL,
    created_at         INTEGER NOT NULL,
    ended_at           REAL NOT NULL,
    model              TEXT NOT NULL,
    backend            TEXT,
    status             TEXT NOT NULL,
    error_code         TEXT,
    input_tokens       INTEGER NOT NULL,
    cached_tokens      INTEGER NOT NULL,
    output_tokens      INTEGER NOT NULL,
    reasoning_tokens   INTEGER NOT NULL,
    milliseconds       INTEGER NOT NULL,
    first_milliseconds INTEGER,
    tools              TEXT,              -- a JSON list; NULL: none
    conversation_id    TEXT,
    api_key            TEXT,
    stored             INTEGER NOT NULL,
    background         INTEGER NOT NULL
) STRICT;

CREATE INDEX activity_by_project ON activity (project_id, ended_at);
CREATE INDEX activity_by_age ON activity (ended_at);
