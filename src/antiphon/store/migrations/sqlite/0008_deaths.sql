-- How often the process that carried a run died without getting on with it. src/antiphon/store/runs.py.

ALTER TABLE runs ADD COLUMN deaths INTEGER NOT NULL DEFAULT 0;
-- At the newest claim: the number that came next in the log, and who carried the run before and left it.
ALTER TABLE runs ADD COLUMN claimed_next INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN left_by TEXT;
-- Whether the log got on under that one.
ALTER TABLE runs ADD COLUMN advanced INTEGER NOT NULL DEFAULT 0;
