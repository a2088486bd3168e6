-- +goose Up

-- Uploads that come in several calls, by the name that the uploader gave them. state is that of the digest after the inputs
-- that are there. It goes when the run is made that names the upload, or with the upload.
CREATE TABLE arriving_uploads (
  namespace TEXT    NOT NULL,
  name      TEXT    NOT NULL,
  upload_id INTEGER NOT NULL,
  state     BLOB    NOT NULL,
  PRIMARY KEY (namespace, name)
);

CREATE INDEX arriving_uploads_upload ON arriving_uploads (upload_id);

-- +goose Down
DROP TABLE arriving_uploads;
