package cli

import (
	"bytes"
	"embed"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"

	"sharedcloud.io/function-operator/runtimes"
)

//go:embed templates
var templates embed.FS

// scaffold has the values of the templates of a new function.
type scaffold struct {
	Name, Runtime, Image, HandlerFile, Language, Folder string
}

func newInit(o *options) *cobra.Command {
	var s scaffold
	command := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Create the files of a new function",
		Long: `Create the files of a new function: its manifest, a kustomization, the handler, example inputs and a README. Existing files are not
overwritten.`,
		Example: `  kubectl function init hello
  kubectl function init resize --runtime node20 --image node`,
		Args: func(command *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError("unexpected argument %q: %s", args[1], command.UseLine())
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(_ *cobra.Command, args []string) error {
			folder := "."
			if len(args) == 1 {
				folder = args[0]
			}
			if err := s.complete(folder); err != nil {
				return err
			}
			files, err := s.files()
			if err != nil {
				return err
			}
			if err := writeNew(folder, files); err != nil {
				return err
			}
			for _, name := range sortedKeys(files) {
				o.out("created %s\n", filepath.Join(folder, name))
			}
			o.notify("Test it on this machine: kubectl function test %s\nRun it in the cluster: kubectl apply --server-side -k %s && kubectl function run %s --file %s --follow",
				folder, folder, s.Name, filepath.Join(folder, "inputs.json"))
			return nil
		},
	}
	flags := command.Flags()
	flags.StringVar(&s.Runtime, "runtime", "python311", "Runtime of the function, such as python311 or node20.")
	flags.StringVar(&s.Image, "image", "", "Name of a FunctionImage (kubectl function list images -A). Default: python or node, by the runtime.")
	flags.StringVar(&s.Name, "name", "", "Name of the function. Default: that of the directory.")
	return command
}

// complete sets defaults and validates the values.
func (s *scaffold) complete(folder string) error {
	s.Folder = folder
	if s.Name == "" {
		whole, err := filepath.Abs(folder)
		if err != nil {
			return usageError("cannot find the directory: %w", err)
		}
		s.Name = strings.Trim(strings.ToLower(strings.NewReplacer("_", "-", ".", "-", " ", "-").Replace(filepath.Base(whole))), "-")
	}
	if problems := validation.IsDNS1123Label(s.Name); len(problems) > 0 {
		return usageError("%q is not a valid name of a function; it must have at most 63 lower case letters, digits and '-': pass --name", s.Name)
	}
	found, known := runtimes.Lookup(s.Runtime)
	if !known {
		return usageError("--runtime is %q; it must be one of %s", s.Runtime, strings.Join(runtimes.Known(), ", "))
	}
	s.HandlerFile, s.Language = found.HandlerFile, found.Language
	if s.Image == "" {
		s.Image = found.Language
	}
	if problems := validation.IsDNS1123Label(s.Image); len(problems) > 0 {
		return usageError("--image is %q; it must be the name of a FunctionImage (kubectl function list images -A), not the path of an image in a registry", s.Image)
	}
	return nil
}

// files are the contents of the new files, by name.
func (s *scaffold) files() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, folder := range []string{"templates/common", "templates/" + s.Language} {
		entries, err := fs.ReadDir(templates, folder)
		if err != nil {
			return nil, usageError("there are no templates for %s", s.Language)
		}
		for _, entry := range entries {
			parsed, err := template.ParseFS(templates, folder+"/"+entry.Name())
			if err != nil {
				return nil, err
			}
			var text bytes.Buffer
			if err := parsed.Execute(&text, s); err != nil {
				return nil, err
			}
			files[strings.TrimSuffix(entry.Name(), ".tmpl")] = text.Bytes()
		}
	}
	return files, nil
}

// writeNew writes all files or none.
func writeNew(folder string, files map[string][]byte) error {
	for _, name := range sortedKeys(files) {
		if _, err := os.Lstat(filepath.Join(folder, name)); err == nil {
			return usageError("%s already exists: choose another directory", filepath.Join(folder, name))
		}
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return usageError("cannot create the directory: %w", err)
	}
	var written []string
	for _, name := range sortedKeys(files) {
		path := filepath.Join(folder, name)
		err := writeOne(path, files[name])
		if err != nil {
			for _, path := range written {
				_ = os.Remove(path)
			}
			return usageError("cannot write %s: %w", path, err)
		}
		written = append(written, path)
	}
	return nil
}

func writeOne(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Close())
}
