-- +goose Up

-- Version 8 of ../sqlite, which describes it.
CREATE TABLE load_output (
  worker_id BIGINT PRIMARY KEY,
  run_id    BIGINT NOT NULL,
  stdout    BYTEA  NOT NULL,
  stderr    BYTEA  NOT NULL
);

CREATE INDEX load_output_run ON load_output (run_id);

-- +goose Down
DROP TABLE load_output;
