-- +goose Up

-- Inputs that are too many for an object of the API, kept once for a namespace and a content. Complete is 0 while they
-- arrive: such a row has no digest, and goes when nothing more comes.
CREATE TABLE uploads (
  id         INTEGER PRIMARY KEY,
  namespace  TEXT    NOT NULL,
  digest     TEXT    NOT NULL,                  -- "sha256:…", of the frames of all chunks; "" while they arrive
  inputs     INTEGER NOT NULL,
  bytes      INTEGER NOT NULL,
  complete   INTEGER NOT NULL,
  created_us INTEGER NOT NULL,
  used_us    INTEGER NOT NULL                   -- when a run was last seen to name it, or when something last arrived
);

CREATE UNIQUE INDEX uploads_digest ON uploads (namespace, digest) WHERE complete = 1;

-- id is upload_id * 4294967296 + the index of the chunk's first input, as with outcomes. The frames of package uploads.
CREATE TABLE upload_chunks (
  id     INTEGER PRIMARY KEY,
  inputs INTEGER NOT NULL,
  data   BLOB    NOT NULL
);

-- What the input that a worker executes has printed so far, the end of it: one row a worker, overwritten with the next
-- input. from: how many bytes came before what is kept.
CREATE TABLE live_output (
  worker_id   INTEGER PRIMARY KEY,
  run_id      INTEGER NOT NULL,
  idx         INTEGER NOT NULL,
  start_us    INTEGER NOT NULL,                 -- by the worker's clock: tells one attempt from the next
  stdout      BLOB    NOT NULL,
  stdout_from INTEGER NOT NULL,
  stderr      BLOB    NOT NULL,
  stderr_from INTEGER NOT NULL
);

CREATE INDEX live_output_run ON live_output (run_id);

-- People look for what failed.
CREATE INDEX outcomes_unsuccessful ON outcomes (id) WHERE status <> 1;

-- +goose Down
DROP INDEX outcomes_unsuccessful;
DROP TABLE live_output;
DROP TABLE upload_chunks;
DROP TABLE uploads;
