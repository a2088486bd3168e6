-- +goose Up

-- Version 5 of ../sqlite, which describes it.
ALTER TABLE runs ADD COLUMN results_deleted_us BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE runs DROP COLUMN results_deleted_us;
