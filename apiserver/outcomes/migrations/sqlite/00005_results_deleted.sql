-- +goose Up

-- When the deletion of the run's results, errors and output started; 0: not deleted.
ALTER TABLE runs ADD COLUMN results_deleted_us INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE runs DROP COLUMN results_deleted_us;
