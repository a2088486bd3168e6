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
	// maxCheckedBytes is the maximum size of a file that is validated before anything is sent. The server validates a larger file, or
	// a stream, and keeps nothing of an invalid one.
	maxCheckedBytes = 32 << 20
	// sniffedBytes is how much of a text is read to detect its format.
	sniffedBytes = 64 << 10
)

// inputFlags select the inputs of a run.
type inputFlags struct {
	params, file, format string
	header, typed        bool
}

func (f *inputFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.params, "params", "", `Inputs as a Python tuple of tuples, "(('a', 1), ('b', 2))", or as a JSON array of arrays, '[["a", 1], ["b", 2]]'.`)
	flags.StringVarP(&f.file, "file", "f", "", "File with the inputs; - means standard input.")
	flags.StringVar(&f.format, "format", "", "Format of the inputs: json, ndjson, csv or python. Default: by the file's extension, or else by its content.")
	flags.BoolVar(&f.header, "csv-header", false, "The first row of a CSV has the names of its columns. The handler gets one object, {column: cell}.")
	flags.BoolVar(&f.typed, "typed-cells", false, "Pass cells of a CSV that are numbers, true, false or null as such, not as strings.")
}

// inputs are an open source of inputs.
type inputs struct {
	text   io.Reader
	stream parameters.Stream
	close  func()
	// where names the source in messages.
	where string
}

var formatNames = map[string]v1alpha1.ParametersFormat{
	"json": v1alpha1.FormatJSON, "ndjson": v1alpha1.FormatNDJSON, "jsonl": v1alpha1.FormatNDJSON,
	"csv": v1alpha1.FormatCSV, "python": v1alpha1.FormatPython,
}

// open opens the inputs, and validates them if that is possible before anything is sent.
func (f *inputFlags) open(stdin io.Reader) (*inputs, error) {
	switch {
	case f.params != "" && f.file != "":
		return nil, usageError("--params and --file exclude each other")
	case f.params == "" && f.file == "":
		return nil, usageError("there are no inputs: pass --params \"((1,), (2,))\" or --file FILE (- means standard input); --params \"((),)\" is a single input without values")
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
		return nil, usageError("--csv-header and --typed-cells apply to CSV, and these inputs are %s: omit them, or pass --format csv", in.stream.Format)
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
			return nil, usageError("cannot read the inputs: %w", err)
		}
		if info, err := file.Stat(); err == nil && info.IsDir() {
			_ = file.Close()
			return nil, usageError("%s is a directory; --file must be a file with inputs", f.file)
		}
		in.text, in.close = file, func() { _ = file.Close() }
		if wanted == "" {
			_, in.stream.Format = sniffed(f.file, file)
			if _, err := file.Seek(0, io.SeekStart); err != nil {
				in.close()
				return nil, usageError("the format of %s cannot be detected, because the file cannot be read twice: pass --format", f.file)
			}
		}
	}
	return in, nil
}

// sniffed detects the format of a text by its name, or else by its beginning.
func sniffed(name string, text io.Reader) (io.Reader, v1alpha1.ParametersFormat) {
	buffered := bufio.NewReaderSize(text, sniffedBytes)
	_, _ = buffered.Peek(1) // waits for the first bytes of a pipe
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

// looksLikeLines reports whether the first line is a complete JSON text, and more text follows if it is an array.
func looksLikeLines(beginning []byte) bool {
	line, rest, found := bytes.Cut(bytes.TrimLeft(beginning, " \t\r\n"), []byte("\n"))
	line = bytes.TrimSpace(line)
	if !json.Valid(line) {
		return false
	}
	return line[0] != '[' || found && len(bytes.TrimSpace(rest)) > 0
}

// check validates the inputs if they can be read twice.
func (in *inputs) check() error {
	text, again := in.text.(io.ReadSeeker)
	if !again {
		return nil
	}
	if file, ok := text.(*os.File); ok {
		if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > maxCheckedBytes {
			return nil //nolint:nilerr // the error occurs again when the inputs are sent
		}
	}
	reader := parameters.NewReader(text, in.stream)
	for {
		_, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return usageError("the inputs in %s are not valid %s: %w", in.where, in.stream.Format, err)
		}
	}
	_, err := text.Seek(0, io.SeekStart)
	return err
}

// query sets the parameters of functions/run that describe the format of the inputs.
func (in *inputs) query(values url.Values) {
	values.Set("format", strings.ToLower(string(in.stream.Format)))
	if in.stream.Header {
		values.Set("header", "true")
	}
	if in.stream.TypedCells {
		values.Set("cells", "json")
	}
}
