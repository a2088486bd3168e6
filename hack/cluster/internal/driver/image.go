package driver

import (
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"sharedcloud.io/function-operator/hack/cluster/internal/images"
	"sharedcloud.io/function-operator/hack/cluster/internal/layout"
)

// LoadImage imports an archive (`docker save`, or an OCI archive) whose images
// have full names.
func (d *Driver) LoadImage(ctx context.Context, c layout.Cluster, archive string) error {
	spec, state, err := d.running(c)
	if err != nil {
		return err
	}
	archive, err = filepath.Abs(archive)
	if err != nil {
		return err
	}
	if _, err := os.Stat(archive); err != nil {
		return fmt.Errorf("there is no image archive %s: make one with `docker save -o FILE NAME`", archive)
	}
	s := d.Report.Step("Importing %s", filepath.Base(archive))
	if err := importArchive(ctx, spec, state, archive); err != nil {
		s.Fail()
		return err
	}
	s.Done("imported")
	return nil
}

// OperatorImage packs static programs into an image and imports it, unless the
// cluster has it from the same programs.
func (d *Driver) OperatorImage(ctx context.Context, c layout.Cluster, ref string, programs []string) error {
	spec, state, err := d.running(c)
	if err != nil {
		return err
	}
	for _, program := range programs {
		if err := checkStatic(program); err != nil {
			return err
		}
	}
	sum, err := contentSum(ref, programs)
	if err != nil {
		return err
	}
	refSum := sha256.Sum256([]byte(ref))
	mark := spec.Path("images", "operator-"+hex.EncodeToString(refSum[:6]))
	if last, err := os.ReadFile(mark); err == nil && string(last) == sum {
		d.Report.Line("The image %s is unchanged.", ref)
		return nil
	}
	s := d.Report.Step("Packing and importing %s", ref)
	archive := mark + ".tar"
	config := images.Config{WorkingDir: "/"}
	if len(programs) == 1 {
		config.Entrypoint = []string{"/" + filepath.Base(programs[0])}
	}
	err = images.PackPrograms(archive, programs, []string{ref}, config)
	if err == nil {
		err = importArchive(ctx, spec, state, archive)
	}
	_ = os.Remove(archive)
	if err != nil {
		s.Fail()
		return err
	}
	s.Done("%d programs", len(programs))
	return os.WriteFile(mark, []byte(sum), 0o644)
}

// checkStatic refuses what can't start in an image that holds nothing else.
func checkStatic(program string) error {
	f, err := elf.Open(program)
	if err != nil {
		return fmt.Errorf("%s is not a Linux program that can be read: build it first (%w)", program, err)
	}
	defer func() { _ = f.Close() }()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("%s needs shared libraries, which its image doesn't have: build it with CGO_ENABLED=0", program)
		}
	}
	return nil
}

func contentSum(ref string, programs []string) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, ref)
	for _, program := range programs {
		f, err := os.Open(program)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(sum, filepath.Base(program))
		n, err := io.Copy(sum, f)
		_ = f.Close()
		if err != nil {
			return "", err
		}
		fmt.Fprintln(sum, n)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
