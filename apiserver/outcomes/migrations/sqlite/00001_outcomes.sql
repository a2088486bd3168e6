-- +goose Up

-- Times are integer microseconds since 1970, by the wall clock. Sets of indexes are text, "17,20-31". Text from users' code
-- is BLOB, not TEXT: it may contain NUL, which PostgreSQL rejects in text columns.

-- The state of a run in the exchange. Every index below total is in exactly one state: it has an outcome, it is in returned
-- or in suspects, a worker holds it, or it is next_index or greater.
CREATE TABLE runs (
  id                INTEGER PRIMARY KEY,
  uid               TEXT    NOT NULL UNIQUE,
  namespace         TEXT    NOT NULL,
  name              TEXT    NOT NULL,
  total             INTEGER NOT NULL,
  gpus              INTEGER NOT NULL,
  next_index        INTEGER NOT NULL,           -- the smallest index never handed out
  returned          TEXT    NOT NULL,           -- handed out before, now held by no worker
  suspects          TEXT    NOT NULL,           -- the same, but handed out one at a time
  succeeded         INTEGER NOT NULL,
  failed            INTEGER NOT NULL,
  timed_out         INTEGER NOT NULL,
  cancelled         INTEGER NOT NULL,
  unsuccessful      TEXT    NOT NULL,           -- the smallest indexes that did not succeed
  unsuccessful_cut  INTEGER NOT NULL,           -- unsuccessful has no index from here on; -1: it has all
  live              INTEGER NOT NULL,           -- workers with a lease
  busy              INTEGER NOT NULL,           -- those of them that hold an index
  queued            INTEGER NOT NULL,           -- indexes held beyond the first of each worker
  deaths_without_progress INTEGER NOT NULL,     -- deaths since the last outcome, except those charged to an input
  deaths            INTEGER NOT NULL,           -- deaths since the last outcome that a worker reported
  trouble_load      INTEGER NOT NULL,           -- the latest trouble is a failure to load the module
  trouble_type      BLOB    NOT NULL,
  trouble_message   BLOB    NOT NULL,
  trouble_traceback BLOB    NOT NULL,
  mean_us           REAL    NOT NULL,           -- moving average of the time of an input
  measured          INTEGER NOT NULL,           -- number of durations in mean_us
  worked_us         INTEGER NOT NULL,           -- sum of the times that workers ran
  closing           TEXT    NOT NULL,           -- why the run is being closed; "" if it is not
  closing_status    INTEGER NOT NULL,           -- status of the indexes that had no outcome
  closing_type      BLOB    NOT NULL,
  closing_message   BLOB    NOT NULL,
  closing_traceback BLOB    NOT NULL,
  fill_next         INTEGER NOT NULL,           -- every index below it has an outcome
  filled            INTEGER NOT NULL,           -- number of outcomes that the closing has added
  closed            INTEGER NOT NULL,
  created_us        INTEGER NOT NULL
);

CREATE INDEX runs_closing ON runs (id) WHERE closing <> '' AND closed = 0;

-- A pod that has called. Its lease is the set of indexes that it holds; the deadline is only in memory.
CREATE TABLE workers (
  id               INTEGER PRIMARY KEY,
  run_id           INTEGER NOT NULL REFERENCES runs (id),
  pod_uid          TEXT    NOT NULL,
  pod_name         TEXT    NOT NULL,
  node             TEXT    NOT NULL,
  job_uid          TEXT    NOT NULL,
  completion_index INTEGER NOT NULL,
  device           TEXT    NOT NULL,
  state            INTEGER NOT NULL,            -- 1 live, 2 left, 3 its lease has expired, 4 its pod has ended
  sequence         INTEGER NOT NULL,
  held             TEXT    NOT NULL,            -- batches: "time:indexes;time:indexes"
  alone            INTEGER NOT NULL,            -- it holds one suspect, and nothing else
  executing        INTEGER NOT NULL,            -- as reported by its last call; -1 for none
  answer_action    TEXT    NOT NULL,
  answer_handed    TEXT    NOT NULL,
  first_us         INTEGER NOT NULL,
  last_us          INTEGER NOT NULL,
  UNIQUE (run_id, pod_uid)
);

CREATE INDEX workers_live ON workers (run_id, job_uid, completion_index) WHERE state = 1;

-- Only inputs that had an attempt and have no outcome.
CREATE TABLE attempts (
  run_id   INTEGER NOT NULL REFERENCES runs (id),
  idx      INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  crashes  INTEGER NOT NULL,
  PRIMARY KEY (run_id, idx)
) WITHOUT ROWID;

-- id is run_id * 4294967296 + index: with a single integer key, large results do not slow down the search for an index, and
-- the rows of a run are adjacent and in order. worker_id has no foreign key, because the deletion of a worker would scan all
-- outcomes.
CREATE TABLE outcomes (
  id              INTEGER PRIMARY KEY,
  status          INTEGER NOT NULL,             -- 1 Succeeded, 2 Failed, 3 TimedOut, 4 Cancelled
  by_closing      INTEGER NOT NULL DEFAULT 0,   -- 1: added by the closing of the run; its error is the run's
  attempts        INTEGER NOT NULL DEFAULT 0,
  assigned_us     INTEGER NOT NULL DEFAULT 0,
  start_us        INTEGER NOT NULL DEFAULT 0,
  completion_us   INTEGER NOT NULL,
  worker_id       INTEGER,
  result          BLOB,
  result_text     BLOB,
  error_type      BLOB,
  error_message   BLOB,
  error_traceback BLOB,
  stdout          BLOB,
  stdout_dropped  INTEGER NOT NULL DEFAULT 0,
  stderr          BLOB,
  stderr_dropped  INTEGER NOT NULL DEFAULT 0
);

-- +goose Down
DROP TABLE outcomes;
DROP TABLE attempts;
DROP TABLE workers;
DROP TABLE runs;
