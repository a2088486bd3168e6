-- +goose Up

-- When what the inputs of the run returned, raised and printed was deleted, or began to be; 0: it is there.
ALTER TABLE runs ADD COLUMN results_deleted_us INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE runs DROP COLUMN results_deleted_us;
