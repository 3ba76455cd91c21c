-- Containers, what is in them, and skills.

CREATE TABLE containers (
    key            INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id     TEXT NOT NULL,
    id             TEXT NOT NULL UNIQUE,
    created_at     INTEGER NOT NULL,
    name           TEXT NOT NULL,
    minutes        INTEGER NOT NULL,                   -- without a use, after which it has expired
    last_active_at INTEGER NOT NULL,
    memory_limit   TEXT NOT NULL,
    domains        TEXT NOT NULL,                      -- a JSON array: hosts that it may reach
    home           TEXT NOT NULL DEFAULT '',           -- the process whose sandbox has its state
    home_until     REAL NOT NULL DEFAULT 0,            -- until when that process uses it
    swept          INTEGER NOT NULL DEFAULT 0          -- 1: expired, and nothing is in it any more
) STRICT;

CREATE INDEX containers_by_project ON containers (project_id, key);
CREATE INDEX containers_to_sweep ON containers (last_active_at) WHERE swept = 0;
CREATE INDEX containers_by_use ON containers (last_active_at);

CREATE TABLE container_files (
    key        INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id TEXT NOT NULL,
    container  INTEGER NOT NULL REFERENCES containers (key),
    id         TEXT NOT NULL UNIQUE,
    path       TEXT NOT NULL,                          -- absolute, in the container
    created_at INTEGER NOT NULL,
    size       INTEGER NOT NULL,
    source     TEXT NOT NULL CHECK (source IN ('user', 'assistant')),
    sha256     BLOB NOT NULL,
    blob       TEXT NOT NULL,                          -- where its bytes are: another one for new content
    UNIQUE (container, path)
) STRICT;

CREATE INDEX container_files_by_blob ON container_files (blob);

-- A zip of a skill. Whatever has the same content in a project shares one; it goes when nothing uses it.
CREATE TABLE skill_bundles (
    key         INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id  TEXT NOT NULL,
    sha256      BLOB NOT NULL,
    size        INTEGER NOT NULL,
    blob        TEXT NOT NULL UNIQUE,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    UNIQUE (project_id, sha256)
) STRICT;

CREATE TABLE skills (
    key             INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id      TEXT NOT NULL,
    id              TEXT NOT NULL UNIQUE,
    created_at      INTEGER NOT NULL,
    default_version INTEGER NOT NULL,
    last_number     INTEGER NOT NULL                   -- of all versions that it ever had
) STRICT;

CREATE INDEX skills_by_project ON skills (project_id, key);

CREATE TABLE skill_versions (
    skill      INTEGER NOT NULL REFERENCES skills (key),
    number     INTEGER NOT NULL,
    id         TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    bundle     INTEGER NOT NULL REFERENCES skill_bundles (key),
    PRIMARY KEY (skill, number)
) STRICT;

CREATE INDEX skill_versions_by_bundle ON skill_versions (bundle);

CREATE TABLE container_skills (
    container   INTEGER NOT NULL REFERENCES containers (key),
    number      INTEGER NOT NULL,
    bundle      INTEGER NOT NULL REFERENCES skill_bundles (key),
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    folder      TEXT NOT NULL,                         -- its name, in the folder of skills
    PRIMARY KEY (container, number)
) STRICT;

CREATE INDEX container_skills_by_bundle ON container_skills (bundle);
