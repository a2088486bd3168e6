package images

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// User is who the images' processes are. No image has a name for it.
const User = 65532

const searchPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Config is how an image's processes start.
type Config struct {
	User       string   `json:"User,omitempty"`
	Env        []string `json:"Env,omitempty"`
	Entrypoint []string `json:"Entrypoint,omitempty"`
	Cmd        []string `json:"Cmd,omitempty"`
	WorkingDir string   `json:"WorkingDir,omitempty"`
}

// PackFolder writes an image of one layer, the folder's content, to archive.
func PackFolder(archive, root string, tags []string, config Config) error {
	return pack(archive, tags, config, func(tw *tar.Writer) error {
		return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || path == root {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			name, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			return addFile(tw, name, path, info)
		})
	})
}

// PackPrograms writes an image that holds static programs at its top.
func PackPrograms(archive string, programs []string, tags []string, config Config) error {
	config.Env = append([]string{searchPath + ":/"}, config.Env...)
	return pack(archive, tags, config, func(tw *tar.Writer) error {
		if err := tw.WriteHeader(&tar.Header{Name: "tmp/", Mode: 0o1777, Typeflag: tar.TypeDir}); err != nil {
			return err
		}
		for _, path := range programs {
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			if err := addFile(tw, filepath.Base(path), path, info); err != nil {
				return err
			}
		}
		return nil
	})
}

// pack writes the archive in the form of `docker save`, which containerd
// imports as it is. The layer isn't compressed: it stays on this machine, and
// reading it is then all that an import has to do.
func pack(archive string, tags []string, config Config, fill func(*tar.Writer) error) (err error) {
	if config.User == "" {
		config.User = fmt.Sprint(User)
	}
	if err := os.MkdirAll(filepath.Dir(archive), 0o755); err != nil {
		return err
	}
	layer, err := os.CreateTemp(filepath.Dir(archive), ".layer-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, layer.Close(), os.Remove(layer.Name())) }()
	digest, err := writeLayer(layer, fill)
	if err != nil {
		return err
	}
	configJSON, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"created":      time.Unix(0, 0).UTC(),
		"config":       config,
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{digest}},
		"history":      []map[string]any{{"created": time.Unix(0, 0).UTC(), "created_by": "hack/cluster"}},
	})
	if err != nil {
		return err
	}
	partial := archive + ".partial"
	if err := writeArchive(partial, configJSON, layer, tags); err != nil {
		return err
	}
	return os.Rename(partial, archive)
}

// writeLayer returns the digest of the layer that fill makes.
func writeLayer(to io.Writer, fill func(*tar.Writer) error) (string, error) {
	sum := sha256.New()
	tw := tar.NewWriter(io.MultiWriter(to, sum))
	if err := fill(tw); err != nil {
		return "", err
	}
	if err := tw.Close(); err != nil {
		return "", err
	}
	return digestOf(sum), nil
}

func digestOf(sum hash.Hash) string { return "sha256:" + hex.EncodeToString(sum.Sum(nil)) }

func writeArchive(path string, config []byte, layer *os.File, tags []string) error {
	sum := sha256.Sum256(config)
	configName := hex.EncodeToString(sum[:]) + ".json"
	manifest, err := json.Marshal([]map[string]any{{"Config": configName, "RepoTags": tags, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	tw := tar.NewWriter(f)
	err = errors.Join(
		addText(tw, configName, string(config)),
		copyLayer(tw, layer),
		addText(tw, "manifest.json", string(manifest)),
		tw.Close(),
	)
	return errors.Join(err, f.Close())
}

func copyLayer(tw *tar.Writer, layer *os.File) error {
	size, err := layer.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := layer.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := tw.WriteHeader(&tar.Header{Name: "layer.tar", Mode: 0o644, Size: size, Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	_, err = io.Copy(tw, layer)
	return err
}

func addText(tw *tar.Writer, name, text string) error {
	if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	_, err := io.WriteString(tw, text)
	return err
}

// addFile adds one file owned by root, whatever its owner on this machine.
func addFile(tw *tar.Writer, name, path string, info fs.FileInfo) error {
	target := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		var err error
		if target, err = os.Readlink(path); err != nil {
			return err
		}
	}
	h, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	h.Name = filepath.ToSlash(name)
	if info.IsDir() {
		h.Name += "/"
	}
	h.Uid, h.Gid, h.Uname, h.Gname = 0, 0, "", ""
	h.ModTime = h.ModTime.Truncate(time.Second)
	if err := tw.WriteHeader(h); err != nil || h.Typeflag != tar.TypeReg {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	_, err = io.Copy(tw, f)
	return err
}
