-- +goose Up

-- Since when, by the server's clock, the index in executing is executed as far as the server knows; 0: nothing is.
ALTER TABLE workers ADD COLUMN executing_us INTEGER NOT NULL DEFAULT 0;
-- How the worker came to be: 1 when that was looked up, the product of its GPUs, and the life of its pod before the code
-- ran, a line an event. The text is last: what stands behind a long one is slow to read.
ALTER TABLE workers ADD COLUMN startup_recorded INTEGER NOT NULL DEFAULT 0;
ALTER TABLE workers ADD COLUMN gpu_product TEXT NOT NULL DEFAULT '';
ALTER TABLE workers ADD COLUMN startup_log TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE workers DROP COLUMN startup_log;
ALTER TABLE workers DROP COLUMN gpu_product;
ALTER TABLE workers DROP COLUMN startup_recorded;
ALTER TABLE workers DROP COLUMN executing_us;
