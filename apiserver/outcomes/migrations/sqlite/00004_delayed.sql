-- +goose Up

-- Indexes whose attempt has failed and that must not be handed out again before a time: "time:indexes;time:indexes". It is
-- one more state of an index below total.
ALTER TABLE runs ADD COLUMN delayed TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE runs DROP COLUMN delayed;
