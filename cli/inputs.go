package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/parameters"
)

const (
	// checkedBytes is up to which size a file is read through before anything is sent: a mistake is told at once then, by
	// this program. What is larger, or comes from a pipe, the server reads first, and keeps nothing of it if it is wrong.
	checkedBytes = 32 << 20
	// sniffedBytes is how much of a text is looked at to tell its format.
	sniffedBytes = 64 << 10
)

// inputFlags say where inputs come from.
type inputFlags struct {
	params, file, format string
	header, typed        bool
}

func (f *inputFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.params, "params", "", `The inputs themselves: a Python tuple of tuples, "(('a', 1), ('b', 2))", or a JSON array of arrays, '[["a", 1], ["b", 2]]'.`)
	flags.StringVarP(&f.file, "file", "f", "", "File with the inputs; - is standard input.")
	flags.StringVar(&f.format, "format", "", "How the file is written: json, ndjson, csv or python. Default: by its name's ending, else by how it begins.")
	flags.BoolVar(&f.header, "csv-header", false, "The first row of a CSV names its columns: the handler gets one object, {column: cell}.")
	flags.BoolVar(&f.typed, "typed-cells", false, "Cells of a CSV that are numbers, true, false or null are handed over as such, not as strings.")
}

// inputs are a text of inputs, not read yet.
type inputs struct {
	text   io.Reader
	stream parameters.Stream
	close  func()
	// where is where they come from, in words.
	where string
}

var formatNames = map[string]v1alpha1.ParametersFormat{
	"json": v1alpha1.FormatJSON, "ndjson": v1alpha1.FormatNDJSON, "jsonl": v1alpha1.FormatNDJSON,
	"csv": v1alpha1.FormatCSV, "python": v1alpha1.FormatPython,
}

// open finds the inputs, and checks what can be checked before anything is sent.
func (f *inputFlags) open(stdin io.Reader) (*inputs, error) {
	switch {
	case f.params != "" && f.file != "":
		return nil, usageError("--params and --file are both given: inputs come from one of them")
	case f.params == "" && f.file == "":
		return nil, usageError("there are no inputs: give them by --params \"((1,), (2,))\", or by --file FILE (- is standard input). A single call without values is --params \"((),)\"")
	}
	wanted, known := formatNames[strings.ToLower(f.format)]
	if f.format != "" && !known {
		return nil, usageError("--format is %q; it must be json, ndjson, csv or python", f.format)
	}
	in, err := f.source(stdin, wanted)
	if err != nil {
		return nil, err
	}
	if in.stream.Format != v1alpha1.FormatCSV && (f.header || f.typed) {
		in.close()
		return nil, usageError("--csv-header and --typed-cells are for CSV, and these inputs are %s: leave them out, or say --format csv", in.stream.Format)
	}
	in.stream.Header, in.stream.TypedCells = f.header, f.typed
	in.where = f.where()
	if err := in.check(); err != nil {
		in.close()
		return nil, err
	}
	return in, nil
}

func (f *inputFlags) where() string {
	switch {
	case f.params != "":
		return "--params"
	case f.file == "-":
		return "standard input"
	}
	return f.file
}

func (f *inputFlags) source(stdin io.Reader, wanted v1alpha1.ParametersFormat) (*inputs, error) {
	in := &inputs{close: func() {}, stream: parameters.Stream{Format: wanted}}
	switch {
	case f.params != "":
		in.text = strings.NewReader(f.params)
		if wanted == "" {
			switch begins := strings.TrimLeft(f.params, " \t\r\n"); {
			case strings.HasPrefix(begins, "("):
				in.stream.Format = v1alpha1.FormatPython
			case strings.HasPrefix(begins, "["):
				in.stream.Format = v1alpha1.FormatJSON
			default:
				return nil, usageError("--params is %.60q; it must be a Python tuple of tuples such as ((1,), (2,)) or a JSON array of arrays such as [[1], [2]]", f.params)
			}
		}
	case f.file == "-":
		if wanted == "" {
			in.text, in.stream.Format = sniffed("", stdin)
		} else {
			in.text = stdin
		}
	default:
		file, err := os.Open(f.file)
		if err != nil {
			return nil, usageError("the inputs cannot be read: %w", err)
		}
		if info, err := file.Stat(); err == nil && info.IsDir() {
			_ = file.Close()
			return nil, usageError("%s is a folder: --file names a file with inputs", f.file)
		}
		in.text, in.close = file, func() { _ = file.Close() }
		if wanted == "" {
			_, in.stream.Format = sniffed(f.file, file)
			if _, err := file.Seek(0, io.SeekStart); err != nil {
				in.close()
				return nil, usageError("%s cannot be read twice, as is needed to see how it is written: say --format", f.file)
			}
		}
	}
	return in, nil
}

// sniffed tells the format of a text by its name, else by how it begins.
func sniffed(name string, text io.Reader) (io.Reader, v1alpha1.ParametersFormat) {
	buffered := bufio.NewReaderSize(text, sniffedBytes)
	_, _ = buffered.Peek(1) // a pipe gives what it has
	beginning, _ := buffered.Peek(max(buffered.Buffered(), 1))
	if buffered.Buffered() < sniffedBytes {
		beginning, _ = buffered.Peek(sniffedBytes)
	}
	format := parameters.FormatOf(name, string(beginning))
	if format == v1alpha1.FormatJSON && !strings.HasSuffix(strings.ToLower(name), ".json") && looksLikeLines(beginning) {
		format = v1alpha1.FormatNDJSON
	}
	return buffered, format
}

// looksLikeLines says whether the first line is a JSON text of its own, with more behind it.
func looksLikeLines(beginning []byte) bool {
	line, rest, found := bytes.Cut(bytes.TrimLeft(beginning, " \t\r\n"), []byte("\n"))
	line = bytes.TrimSpace(line)
	if !json.Valid(line) {
		return false
	}
	return line[0] != '[' || found && len(bytes.TrimSpace(rest)) > 0
}

// check reads the inputs through where that can be done twice.
func (in *inputs) check() error {
	text, again := in.text.(io.ReadSeeker)
	if !again {
		return nil
	}
	if file, ok := text.(*os.File); ok {
		if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > checkedBytes {
			return nil //nolint:nilerr // what is wrong with it shows when it is sent
		}
	}
	reader := parameters.NewReader(text, in.stream)
	for {
		_, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return usageError("the inputs in %s cannot be read as %s: %w", in.where, in.stream.Format, err)
		}
	}
	_, err := text.Seek(0, io.SeekStart)
	return err
}

// query says how the inputs are written, in the words of functions/run.
func (in *inputs) query(values url.Values) {
	values.Set("format", strings.ToLower(string(in.stream.Format)))
	if in.stream.Header {
		values.Set("header", "true")
	}
	if in.stream.TypedCells {
		values.Set("cells", "json")
	}
}
