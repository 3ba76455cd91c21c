-- Each run, and each piece of work, has a job of Procrastinate as long as it has not ended: deferred, deferred
-- again and deleted by whoever writes the row, in his transaction. src/antiphon/store/postgres/queue.py says
-- what for. Procrastinate's own tables are in a schema of their own, and are there by now.

ALTER TABLE runs ADD COLUMN job BIGINT;
ALTER TABLE work ADD COLUMN job BIGINT;

-- Who does work, and the worker that he is to Procrastinate.
CREATE TABLE queue_owners (
    owner  TEXT PRIMARY KEY,
    worker BIGINT NOT NULL UNIQUE REFERENCES antiphon_queue.procrastinate_workers (id) ON DELETE CASCADE
);

-- A new job: its id. `run_at`: seconds since the epoch; 0 is at once.
CREATE FUNCTION queue_defer(queue TEXT, task TEXT, args JSONB, run_at DOUBLE PRECISION) RETURNS BIGINT
LANGUAGE sql AS $$
    SELECT (antiphon_queue.procrastinate_defer_jobs_v1(ARRAY[
        ROW(queue, left(task, 128), 0, NULL, NULL, args, CASE WHEN run_at > 0 THEN to_timestamp(run_at) END)
            ::antiphon_queue.procrastinate_job_to_defer_v1
    ]))[1]
$$;

CREATE FUNCTION queue_defer_run(run runs) RETURNS BIGINT
LANGUAGE sql AS $$
    SELECT queue_defer('runs', 'run', jsonb_build_object('key', run.key, 'response', run.id), 0)
$$;

CREATE FUNCTION queue_defer_work(work work) RETURNS BIGINT
LANGUAGE sql AS $$
    SELECT queue_defer('work', work.kind, jsonb_build_object('key', work.key), work.run_at)
$$;

CREATE FUNCTION queue_new_run() RETURNS trigger
LANGUAGE plpgsql AS $$ BEGIN
    NEW.job := queue_defer_run(NEW);
    RETURN NEW;
END $$;

-- Behind the row, since a row may be left out (ON CONFLICT DO NOTHING).
CREATE FUNCTION queue_new_work() RETURNS trigger
LANGUAGE plpgsql AS $$ BEGIN
    UPDATE work SET job = queue_defer_work(NEW) WHERE key = NEW.key;
    RETURN NULL;
END $$;

CREATE FUNCTION queue_again(job BIGINT, run_at DOUBLE PRECISION) RETURNS void
LANGUAGE sql AS $$
    SELECT antiphon_queue.procrastinate_retry_job_v2(id, greatest(now(), to_timestamp(run_at)), NULL, NULL, NULL)
    FROM antiphon_queue.procrastinate_jobs WHERE id = job AND status = 'doing'
$$;

CREATE FUNCTION queue_left_run() RETURNS trigger
LANGUAGE plpgsql AS $$ BEGIN
    PERFORM queue_again(NEW.job, 0);
    RETURN NULL;
END $$;

CREATE FUNCTION queue_left_work() RETURNS trigger
LANGUAGE plpgsql AS $$ BEGIN
    PERFORM queue_again(NEW.job, NEW.run_at);
    RETURN NULL;
END $$;

CREATE FUNCTION queue_done() RETURNS trigger
LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM antiphon_queue.procrastinate_jobs WHERE id = OLD.job;
    RETURN NULL;
END $$;

CREATE TRIGGER queue_new BEFORE INSERT ON runs
    FOR EACH ROW WHEN (NEW.status <> 'ended') EXECUTE FUNCTION queue_new_run();
CREATE TRIGGER queue_left AFTER UPDATE OF owner ON runs
    FOR EACH ROW WHEN (OLD.owner IS NOT NULL AND NEW.owner IS NULL AND NEW.status <> 'ended')
    EXECUTE FUNCTION queue_left_run();
CREATE TRIGGER queue_done AFTER UPDATE OF status ON runs
    FOR EACH ROW WHEN (OLD.status <> 'ended' AND NEW.status = 'ended') EXECUTE FUNCTION queue_done();
CREATE TRIGGER queue_gone AFTER DELETE ON runs
    FOR EACH ROW WHEN (OLD.status <> 'ended') EXECUTE FUNCTION queue_done();

CREATE TRIGGER queue_new AFTER INSERT ON work
    FOR EACH ROW WHEN (NEW.failed_at IS NULL) EXECUTE FUNCTION queue_new_work();
CREATE TRIGGER queue_left AFTER UPDATE OF owner ON work
    FOR EACH ROW WHEN (OLD.owner IS NOT NULL AND NEW.owner IS NULL AND NEW.failed_at IS NULL)
    EXECUTE FUNCTION queue_left_work();
CREATE TRIGGER queue_done AFTER UPDATE OF failed_at ON work
    FOR EACH ROW WHEN (OLD.failed_at IS NULL AND NEW.failed_at IS NOT NULL) EXECUTE FUNCTION queue_done();
CREATE TRIGGER queue_gone AFTER DELETE ON work
    FOR EACH ROW WHEN (OLD.failed_at IS NULL) EXECUTE FUNCTION queue_done();

-- What was accepted before there was a queue.
UPDATE runs SET job = queue_defer_run(runs) WHERE status <> 'ended';
UPDATE work SET job = queue_defer_work(work) WHERE failed_at IS NULL;
