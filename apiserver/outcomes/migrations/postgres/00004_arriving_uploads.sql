-- +goose Up

-- Version 6 of ../sqlite, which describes it.
CREATE TABLE arriving_uploads (
  namespace TEXT   COLLATE "C" NOT NULL,
  name      TEXT   COLLATE "C" NOT NULL,
  upload_id BIGINT NOT NULL,
  state     BYTEA  NOT NULL,
  PRIMARY KEY (namespace, name)
);

CREATE INDEX arriving_uploads_upload ON arriving_uploads (upload_id);

-- +goose Down
DROP TABLE arriving_uploads;
