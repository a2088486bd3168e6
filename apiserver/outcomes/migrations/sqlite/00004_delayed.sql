-- +goose Up

-- Indexes that raised and are to be handed out again, but not before a time: "time:indexes;time:indexes". It is one more of
-- the places that an index below total can be in.
ALTER TABLE runs ADD COLUMN delayed TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE runs DROP COLUMN delayed;
