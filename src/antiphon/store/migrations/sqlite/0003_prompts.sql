-- Prompt templates. src/antiphon/store/prompts.py says what they are.

CREATE TABLE prompts (
    key             INTEGER PRIMARY KEY,  -- the order of creation
    project_id      TEXT NOT NULL,
    id              TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    name            TEXT,
    default_version INTEGER NOT NULL,
    UNIQUE (project_id, id)
) STRICT;

CREATE TABLE prompt_versions (
    prompt   INTEGER NOT NULL REFERENCES prompts (key) ON DELETE CASCADE,
    version  INTEGER NOT NULL,
    template BLOB NOT NULL,
    PRIMARY KEY (prompt, version)
) STRICT, WITHOUT ROWID;
