-- +goose Up

-- The end of what a worker's module printed while it was loaded: one row for each worker whose module printed something,
-- overwritten by the next load. A table of its own, because each call of a worker rewrites the worker's row.
CREATE TABLE load_output (
  worker_id INTEGER PRIMARY KEY,
  run_id    INTEGER NOT NULL,
  stdout    BLOB    NOT NULL,
  stderr    BLOB    NOT NULL
);

CREATE INDEX load_output_run ON load_output (run_id);

-- +goose Down
DROP TABLE load_output;
