package outcomes

import "k8s.io/apimachinery/pkg/types"

// Upload is the row of inputs that were uploaded to a namespace, see package uploads.
type Upload struct {
	ID        int64
	Namespace string
	// NamespaceUID is the UID of the namespace; "" in rows that are older than the column.
	NamespaceUID types.UID
	// Digest is "" until the upload is complete.
	Digest string
	// Inputs is the number of stored inputs; -1 while the upload is being deleted.
	Inputs        int
	Bytes         int64
	Complete      bool
	CreatedMicros int64
	// UsedMicros is when a run was last seen to reference it, or when inputs last arrived.
	UsedMicros int64
}

// Chunk is a part of an upload.
type Chunk struct {
	// First is the index of its first input.
	First, Inputs int
	Data          []byte
}

const uploadColumns = `id, namespace, namespace_uid, digest, inputs, bytes, complete, created_us, used_us FROM uploads`

// columns returns the destinations of uploadColumns.
func (u *Upload) columns() []any {
	return []any{&u.ID, &u.Namespace, &u.NamespaceUID, &u.Digest, &u.Inputs, &u.Bytes, &u.Complete, &u.CreatedMicros, &u.UsedMicros}
}

// InsertUpload adds the row of an incomplete upload.
func (tx *Tx) InsertUpload(namespace string, uid types.UID, nowMicros int64) (id int64, err error) {
	return tx.insert("adding an upload", `INSERT INTO uploads (namespace, namespace_uid, digest, inputs, bytes, stored_bytes, complete, created_us, used_us)
		VALUES ($1, $2, '', 0, 0, $3, 0, $4, $4) RETURNING id`, namespace, string(uid), int64(UploadBytes), nowMicros)
}

// Arriving is an upload that is sent in several calls.
type Arriving struct {
	Upload
	// State is the state of the digest after the stored inputs.
	State []byte
}

// Arriving returns the upload that is sent in several calls under the name, or nil. It may be complete. An upload of an
// earlier namespace with the same name is not returned.
func (tx *Tx) Arriving(namespace string, uid types.UID, name string) (found *Arriving, err error) {
	err = tx.query("reading an upload", func(row func(...any) error) error {
		found = &Arriving{}
		return row(append(found.columns(), &found.State)...)
	}, `SELECT u.id, u.namespace, u.namespace_uid, u.digest, u.inputs, u.bytes, u.complete, u.created_us, u.used_us, a.state
		FROM arriving_uploads a JOIN uploads u ON u.id = a.upload_id WHERE a.namespace = $1 AND a.name = $2 AND u.inputs >= 0
		AND u.namespace_uid IN ($3, '')`, namespace, name, string(uid))
	return found, err
}

// PutArriving stores which upload the name refers to, and the state of its digest.
func (tx *Tx) PutArriving(namespace, name string, upload int64, state []byte) error {
	_, err := tx.exec("adding an upload", `INSERT INTO arriving_uploads (namespace, name, upload_id, state) VALUES ($1, $2, $3, $4)
		ON CONFLICT (namespace, name) DO UPDATE SET upload_id = excluded.upload_id, state = excluded.state`, namespace, name, upload, state)
	return err
}

// ForgetArriving deletes the name of an upload. The upload is kept.
func (tx *Tx) ForgetArriving(namespace, name string) error {
	_, err := tx.exec("deleting the name of an upload", `DELETE FROM arriving_uploads WHERE namespace = $1 AND name = $2`, namespace, name)
	return err
}

// AddChunk adds a chunk to an incomplete upload. It returns false if the upload no longer exists or does not have exactly the
// inputs before the chunk: it may have been swept, or another call may have added to it.
func (tx *Tx) AddChunk(upload int64, chunk Chunk, nowMicros int64) (ok bool, err error) {
	changed, err := tx.exec("adding to an upload", `UPDATE uploads SET inputs = inputs + $1, bytes = bytes + $2, stored_bytes = stored_bytes + $2 + $3,
		used_us = $4 WHERE id = $5 AND complete = 0 AND inputs = $6`, chunk.Inputs, int64(len(chunk.Data)), int64(ChunkBytes), nowMicros, upload, chunk.First)
	if err != nil || changed == 0 {
		return false, err
	}
	_, err = tx.exec("adding to an upload", `INSERT INTO upload_chunks (id, inputs, data) VALUES ($1, $2, $3)`,
		key(upload, chunk.First), chunk.Inputs, chunk.Data)
	return err == nil, err
}

// CompleteUpload sets the digest of an upload. It returns false if the upload no longer exists or has another number of
// inputs.
func (tx *Tx) CompleteUpload(upload int64, digest string, inputs int, nowMicros int64) (ok bool, err error) {
	changed, err := tx.exec("completing an upload", `UPDATE uploads SET digest = $1, complete = 1, used_us = $2
		WHERE id = $3 AND complete = 0 AND inputs = $4`, digest, nowMicros, upload, inputs)
	return changed > 0, err
}

// Upload returns the complete upload of a namespace with the digest, or nil.
func (tx *Tx) Upload(namespace string, uid types.UID, digest string) (*Upload, error) {
	found, err := tx.uploads(`SELECT `+uploadColumns+` WHERE namespace = $1 AND digest = $2 AND complete = 1 AND namespace_uid IN ($3, '')
		ORDER BY namespace_uid DESC LIMIT 1`, namespace, digest, string(uid))
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// UploadsUsedBefore lists the uploads, complete or not, that were last used before micros, the least recently used first.
func (tx *Tx) UploadsUsedBefore(micros int64, limit int) ([]Upload, error) {
	return tx.uploads(`SELECT `+uploadColumns+` WHERE used_us < $1 ORDER BY used_us LIMIT $2`, micros, limit)
}

func (tx *Tx) uploads(text string, args ...any) (all []Upload, err error) {
	err = tx.query("reading uploads", func(row func(...any) error) error {
		u := Upload{}
		if err := row(u.columns()...); err != nil {
			return err
		}
		all = append(all, u)
		return nil
	}, text, args...)
	return all, err
}

// UseUpload sets the time of the last use of an upload.
func (tx *Tx) UseUpload(upload, nowMicros int64) error {
	_, err := tx.exec("recording the use of an upload", `UPDATE uploads SET used_us = $1 WHERE id = $2`, nowMicros, upload)
	return err
}

// Chunk returns the chunk of an upload that starts at the index first, or nil.
func (tx *Tx) Chunk(upload int64, first int) (*Chunk, error) {
	var found *Chunk
	err := tx.query("reading an upload", func(row func(...any) error) error {
		found = &Chunk{First: first}
		return row(&found.Inputs, &found.Data)
	}, `SELECT inputs, data FROM upload_chunks WHERE id = $1`, key(upload, first))
	return found, err
}

// ReleaseUpload starts the deletion of an upload, unless it was used after usedMicros. From then on it cannot be found or
// added to.
func (tx *Tx) ReleaseUpload(upload, usedMicros int64) (released bool, err error) {
	changed, err := tx.exec("deleting an upload", `UPDATE uploads SET complete = 0, digest = '', inputs = -1
		WHERE id = $1 AND used_us = $2`, upload, usedMicros)
	return changed > 0, err
}

// DeleteUploadSome deletes at most limit chunks of an upload, and finally its row, and reports whether that is done. After
// the first call the upload cannot be found.
func (tx *Tx) DeleteUploadSome(upload int64, limit int) (done bool, err error) {
	if _, err := tx.exec("deleting an upload", `UPDATE uploads SET complete = 0, digest = '', inputs = -1 WHERE id = $1`, upload); err != nil {
		return false, err
	}
	if _, err := tx.exec("deleting an upload", `DELETE FROM arriving_uploads WHERE upload_id = $1`, upload); err != nil {
		return false, err
	}
	deleted, err := tx.exec("deleting an upload", `DELETE FROM upload_chunks WHERE id IN
		(SELECT id FROM upload_chunks WHERE id BETWEEN $1 AND $2 ORDER BY id LIMIT $3)`, key(upload, 0), key(upload+1, 0)-1, limit)
	if err != nil || deleted > 0 {
		return false, err
	}
	_, err = tx.exec("deleting an upload", `DELETE FROM uploads WHERE id = $1`, upload)
	return err == nil, err
}

// Chunks lists the chunks of an upload in order, without their data.
func (tx *Tx) Chunks(upload int64) (all []Chunk, err error) {
	err = tx.query("reading an upload", func(row func(...any) error) error {
		c, id := Chunk{}, int64(0)
		if err := row(&id, &c.Inputs); err != nil {
			return err
		}
		c.First = int(id - key(upload, 0))
		all = append(all, c)
		return nil
	}, `SELECT id, inputs FROM upload_chunks WHERE id BETWEEN $1 AND $2 ORDER BY id`, key(upload, 0), key(upload+1, 0)-1)
	return all, err
}
