-- +goose Up

-- Inputs that are too large for an API object, stored once for each namespace and content. complete is 0 until all have
-- arrived: such a row has no digest, and is deleted if nothing arrives for an hour.
CREATE TABLE uploads (
  id         INTEGER PRIMARY KEY,
  namespace  TEXT    NOT NULL,
  digest     TEXT    NOT NULL,                  -- "sha256:…", of the frames of all chunks; "" while incomplete
  inputs     INTEGER NOT NULL,
  bytes      INTEGER NOT NULL,
  complete   INTEGER NOT NULL,
  created_us INTEGER NOT NULL,
  used_us    INTEGER NOT NULL                   -- when a run was last seen to reference it, or inputs last arrived
);

CREATE UNIQUE INDEX uploads_digest ON uploads (namespace, digest) WHERE complete = 1;

-- id is upload_id * 4294967296 + the index of the chunk's first input, as in outcomes. data contains frames, see package
-- uploads.
CREATE TABLE upload_chunks (
  id     INTEGER PRIMARY KEY,
  inputs INTEGER NOT NULL,
  data   BLOB    NOT NULL
);

-- The end of what an executing input has printed: one row for each worker, overwritten by its next input. stdout_from and
-- stderr_from are the numbers of bytes before it.
CREATE TABLE live_output (
  worker_id   INTEGER PRIMARY KEY,
  run_id      INTEGER NOT NULL,
  idx         INTEGER NOT NULL,
  start_us    INTEGER NOT NULL,                 -- by the worker's clock: distinguishes attempts
  stdout      BLOB    NOT NULL,
  stdout_from INTEGER NOT NULL,
  stderr      BLOB    NOT NULL,
  stderr_from INTEGER NOT NULL
);

CREATE INDEX live_output_run ON live_output (run_id);

-- For listing inputs that did not succeed.
CREATE INDEX outcomes_unsuccessful ON outcomes (id) WHERE status <> 1;

-- +goose Down
DROP INDEX outcomes_unsuccessful;
DROP TABLE live_output;
DROP TABLE upload_chunks;
DROP TABLE uploads;
