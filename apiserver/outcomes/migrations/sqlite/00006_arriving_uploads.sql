-- +goose Up

-- Uploads that are sent in several calls, by the name that the client chose. state is that of the digest after the stored
-- inputs. A row is deleted when the run that uses the upload is created, or with the upload.
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
