-- What pages list by project, the newest first.

CREATE INDEX conversations_by_age ON conversations (project_id, created_at, id);
CREATE INDEX prompts_by_project ON prompts (project_id, key);
CREATE INDEX runs_by_project ON runs (project_id, key) WHERE status <> 'ended';
CREATE INDEX webhook_deliveries_by_project ON webhook_deliveries (project_id, key);
CREATE INDEX webhook_deliveries_by_status ON webhook_deliveries (project_id, status, key)
    WHERE status <> 'delivered';

-- How many days there are, which nobody can guess: usage is added up by them.
CREATE STATISTICS activity_days ON (CAST(floor(ended_at / 86400.0) AS INTEGER)) FROM activity;
