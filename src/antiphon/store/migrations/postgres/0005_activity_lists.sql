-- What lists of responses are filtered by: rows that most filters are for are few, so most rows cost nothing.

CREATE INDEX activity_by_failure ON activity (project_id, ended_at) WHERE status <> 'completed';
CREATE INDEX activity_by_tools ON activity (project_id, ended_at) WHERE tools IS NOT NULL;
CREATE INDEX activity_by_conversation ON activity (project_id, conversation_id, ended_at)
    WHERE conversation_id IS NOT NULL;
