-- Data that stood as base64 in items and events (store/inline_data.py). Each content once for a project.

CREATE TABLE inline_data (
    key        INTEGER PRIMARY KEY,
    project_id TEXT NOT NULL,
    sha256     BLOB NOT NULL,
    size       INTEGER NOT NULL,
    blob       TEXT NOT NULL UNIQUE,
    UNIQUE (project_id, sha256)
) STRICT;

-- An item or a run that has it. Whoever deletes one takes its uses away, before or behind that.
CREATE TABLE inline_data_uses (
    data INTEGER NOT NULL REFERENCES inline_data (key),
    item INTEGER REFERENCES items (key) DEFERRABLE INITIALLY DEFERRED,
    run  INTEGER REFERENCES runs (key) DEFERRABLE INITIALLY DEFERRED,
    CHECK ((item IS NULL) <> (run IS NULL)),
    UNIQUE (item, data),
    UNIQUE (run, data)
) STRICT;

CREATE INDEX inline_data_uses_by_data ON inline_data_uses (data);
