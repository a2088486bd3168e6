package e2e

import (
	"database/sql"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	_ "modernc.org/sqlite" // reads the store's file
)

// readStore reads the uids of the runs in the outcome store of a local cluster, whose volume is in the cluster's folder.
func readStore(repository, cluster string) ([]string, error) {
	file := ""
	err := filepath.WalkDir(filepath.Join(repository, ".cluster", cluster), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fs.SkipDir // a folder of the node that was deleted during the walk
		}
		if entry.IsDir() && entry.Name() == "containerd" {
			return fs.SkipDir
		}
		if !entry.IsDir() && strings.HasSuffix(path, ".db") && strings.Contains(path, "store") {
			file = path
			return fs.SkipAll
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if file == "" {
		return nil, fmt.Errorf("no store file under .cluster/%s", cluster)
	}
	db, err := sql.Open("sqlite", "file:"+file+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()
	rows, err := db.Query("SELECT uid FROM runs ORDER BY id")
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	defer func() { _ = rows.Close() }()
	var uids []string
	for rows.Next() {
		var uid string
		if err := rows.Scan(&uid); err != nil {
			return nil, err
		}
		uids = append(uids, uid)
	}
	return uids, rows.Err()
}
