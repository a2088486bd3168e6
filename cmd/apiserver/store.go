package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/outcomes/transfer"
)

// newStoreCommand returns the commands for outcome stores that run beside the server.
func newStoreCommand(ctx context.Context) *cobra.Command {
	command := &cobra.Command{
		Use:   "store",
		Short: "Copies, exports and imports outcome stores",
		Args:  cobra.NoArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newCopyCommand(ctx), newExportCommand(ctx), newImportCommand(ctx))
	return command
}

// storeFlag is a flag with the URL of a store, and its sibling with a file that contains the URL.
type storeFlag struct{ name, url, file string }

func (f *storeFlag) add(command *cobra.Command, usage string) {
	command.Flags().StringVar(&f.url, f.name, "", usage+": sqlite:///PATH or postgres://USER@HOST/DATABASE?…, without a password")
	command.Flags().StringVar(&f.file, f.name+"-url-file", "", "file with the URL of --"+f.name+", which may contain a password")
}

func (f *storeFlag) source() (outcomes.Source, error) {
	switch {
	case (f.url == "") == (f.file == ""):
		return nil, fmt.Errorf("give one of --%s and --%s-url-file", f.name, f.name)
	case f.file != "":
		return outcomes.URLFromFile(f.file), nil
	case outcomes.HasPassword(f.url):
		return nil, fmt.Errorf("--%s contains a password: put the URL into a file and pass it with --%s-url-file", f.name, f.name)
	}
	return outcomes.FixedURL(f.url), nil
}

func newCopyCommand(ctx context.Context) *cobra.Command {
	from, to := &storeFlag{name: "from"}, &storeFlag{name: "to"}
	command := &cobra.Command{
		Use:   "copy --from URL --to URL",
		Short: "Copies an outcome store into an empty one, completely or not at all. No server may use either during the copy",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			source, err := from.source()
			if err != nil {
				return err
			}
			target, err := to.source()
			if err != nil {
				return err
			}
			counts, err := transfer.Copy(ctx, source, target)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(command.OutOrStdout(), "Copied %s.\n", counts)
			return err
		},
	}
	from.add(command, "store to copy")
	to.add(command, "store to copy to")
	return command
}

func newExportCommand(ctx context.Context) *cobra.Command {
	from := &storeFlag{name: "store"}
	var to string
	command := &cobra.Command{
		Use:   "export --store URL --to FILE",
		Short: "Writes an outcome store into one file, while servers continue to work",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			source, err := from.source()
			if err != nil {
				return err
			}
			if to == "" {
				return errors.New("--to must name the file to write, - for standard output")
			}
			if to == "-" {
				_, err := transfer.Export(ctx, source, command.OutOrStdout())
				return err
			}
			var counts transfer.Counts
			if err := writeWhole(to, func(file io.Writer) (err error) {
				counts, err = transfer.Export(ctx, source, file)
				return err
			}); err != nil {
				return err
			}
			_, err = fmt.Fprintf(command.OutOrStdout(), "Exported %s.\n", counts)
			return err
		},
	}
	from.add(command, "store to export")
	command.Flags().StringVar(&to, "to", "", "file to write, which appears when it is complete; - for standard output")
	return command
}

// writeWhole creates a file completely or not at all.
func writeWhole(path string, write func(io.Writer) error) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("making the file: %w", err)
	}
	err = write(file)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}

func newImportCommand(ctx context.Context) *cobra.Command {
	to := &storeFlag{name: "store"}
	var from string
	command := &cobra.Command{
		Use:   "import --store URL --from FILE",
		Short: "Adds an exported file to an outcome store, completely or not at all. Existing runs stay unchanged",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			target, err := to.source()
			if err != nil {
				return err
			}
			reader := command.InOrStdin()
			switch from {
			case "":
				return errors.New("--from must name the file to read, - for standard input")
			case "-":
			default:
				file, err := os.Open(from)
				if err != nil {
					return err
				}
				defer file.Close()
				reader = bufio.NewReader(file)
			}
			imported, err := transfer.Import(ctx, target, reader)
			if err != nil {
				return err
			}
			text := fmt.Sprintf("Imported %s.", imported.Added)
			if imported.Skipped["runs"] > 0 {
				text += fmt.Sprintf(" Skipped, because their runs exist: %s.", imported.Skipped)
			}
			_, err = fmt.Fprintln(command.OutOrStdout(), text)
			return err
		},
	}
	to.add(command, "store to import into")
	command.Flags().StringVar(&from, "from", "", "file to read; - for standard input")
	return command
}
