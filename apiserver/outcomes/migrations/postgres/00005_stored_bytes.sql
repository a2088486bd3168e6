-- +goose Up

-- Version 7 of ../sqlite, which describes it.
ALTER TABLE runs ADD COLUMN namespace_uid TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN stored_bytes BIGINT NOT NULL DEFAULT 0;
CREATE INDEX runs_namespace ON runs (namespace);

UPDATE runs SET stored_bytes = 16384 + 4096 * (SELECT COUNT(*) FROM workers WHERE run_id = runs.id)
  + LENGTH(trouble_type) + LENGTH(trouble_message) + LENGTH(trouble_traceback)
  + LENGTH(closing_type) + LENGTH(closing_message) + LENGTH(closing_traceback)
  + (SELECT COALESCE(SUM(192 + COALESCE(LENGTH(result), 0) + COALESCE(LENGTH(result_text), 0) + COALESCE(LENGTH(error_type), 0)
      + COALESCE(LENGTH(error_message), 0) + COALESCE(LENGTH(error_traceback), 0) + COALESCE(LENGTH(stdout), 0)
      + COALESCE(LENGTH(stderr), 0)), 0)
      FROM outcomes WHERE outcomes.id BETWEEN runs.id * 4294967296 AND runs.id * 4294967296 + 4294967295)
  + (SELECT COALESCE(SUM(LENGTH(stdout) + LENGTH(stderr)), 0) FROM live_output WHERE live_output.run_id = runs.id);

ALTER TABLE uploads ADD COLUMN namespace_uid TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE uploads ADD COLUMN stored_bytes BIGINT NOT NULL DEFAULT 0;
CREATE INDEX uploads_namespace ON uploads (namespace);
DROP INDEX uploads_digest;
CREATE UNIQUE INDEX uploads_digest ON uploads (namespace, digest, namespace_uid) WHERE complete = 1;

UPDATE uploads SET stored_bytes = 16384 + (SELECT COALESCE(SUM(1024 + LENGTH(data)), 0)
  FROM upload_chunks WHERE upload_chunks.id BETWEEN uploads.id * 4294967296 AND uploads.id * 4294967296 + 4294967295);

-- +goose Down
DROP INDEX uploads_digest;
DROP INDEX uploads_namespace;
ALTER TABLE uploads DROP COLUMN stored_bytes;
ALTER TABLE uploads DROP COLUMN namespace_uid;
CREATE UNIQUE INDEX uploads_digest ON uploads (namespace, digest) WHERE complete = 1;
DROP INDEX runs_namespace;
ALTER TABLE runs DROP COLUMN stored_bytes;
ALTER TABLE runs DROP COLUMN namespace_uid;
