-- +goose Up

-- When a call first reported the index in executing, by the server's clock; 0 for none.
ALTER TABLE workers ADD COLUMN executing_us INTEGER NOT NULL DEFAULT 0;
-- startup_recorded: 1 when the other two were read from the cluster. gpu_product: the product of the worker's GPUs.
-- startup_log: the events of its pod before the code ran, one on each line. The text is last, because columns after a long
-- text are slow to read.
ALTER TABLE workers ADD COLUMN startup_recorded INTEGER NOT NULL DEFAULT 0;
ALTER TABLE workers ADD COLUMN gpu_product TEXT NOT NULL DEFAULT '';
ALTER TABLE workers ADD COLUMN startup_log TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE workers DROP COLUMN startup_log;
ALTER TABLE workers DROP COLUMN gpu_product;
ALTER TABLE workers DROP COLUMN startup_recorded;
ALTER TABLE workers DROP COLUMN executing_us;
