package subresources

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"sharedcloud.io/function-operator/apiserver/accept"
	"sharedcloud.io/function-operator/apiserver/bodies"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/exchange/indexset"
)

// maxIndexesText is the maximum length of a list of indexes.
const maxIndexesText = 16 << 10

// Content types of results.
const (
	contentJSON   = "application/json"
	contentNDJSON = "application/x-ndjson"
	contentCSV    = "text/csv"
)

// query is a parsed request to functionruns/results.
type query struct {
	// from is the first requested index; limit the maximum number of outcomes, 0 for all.
	from, limit int
	// indexes are the requested indexes; empty for all.
	indexes indexset.Set
	// failed: only outcomes other than Succeeded.
	failed bool
	// format is the content type of the response.
	format string
	// output: include stdout and stderr.
	output bool
	// raw: do not escape cells of CSV that a spreadsheet would execute.
	raw bool
	// follow: all indexes in order, waiting for those without an outcome.
	follow bool
}

var resultFormats = map[string]string{"json": contentJSON, "ndjson": contentNDJSON, "csv": contentCSV}

// parseQuery parses the parameters. Its error names the invalid one. Unknown parameters are ignored.
func parseQuery(values url.Values, accepted []string) (query, error) {
	q := query{format: contentJSON}
	for _, format := range []string{contentNDJSON, contentCSV} {
		if accept.Named(accepted, format) {
			q.format = format
		}
	}
	err := parseAll(values, map[string]func(string) error{
		"from":    number(&q.from, 0),
		"limit":   number(&q.limit, 1),
		"indexes": setOf(&q.indexes),
		"failed":  boolean(&q.failed),
		"output":  boolean(&q.output),
		"raw":     boolean(&q.raw),
		"follow":  boolean(&q.follow),
		"format": func(text string) error {
			format, ok := resultFormats[text]
			if !ok {
				return errors.New("must be json, ndjson or csv")
			}
			q.format = format
			return nil
		},
	})
	switch {
	case err != nil:
		return query{}, err
	case q.follow && !q.indexes.Empty():
		return query{}, errors.New("the parameters follow and indexes exclude each other: follow waits for every index, starting with the parameter from")
	}
	return q, nil
}

// selected returns the requested ranges.
func (q query) selected() []outcomes.Selection {
	if q.indexes.Empty() {
		all := outcomes.All(q.from)
		all.Unsuccessful, all.Brief = q.failed, !q.output
		return []outcomes.Selection{all}
	}
	var all []outcomes.Selection
	for r := range q.indexes.Ranges() {
		all = append(all, outcomes.Selection{First: max(r.First, q.from), Last: r.Last, Unsuccessful: q.failed, Brief: !q.output})
	}
	return all
}

// queryOf returns the parameters of a request. Request.URL.Query would ignore invalid ones.
func queryOf(r *http.Request) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the query is not URL-encoded: %v", err))
	}
	for name, all := range values {
		for _, text := range append(all, name) {
			if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
				return nil, apierrors.NewBadRequest(fmt.Sprintf("the parameter %.40q is not text in UTF-8 without NUL characters", name))
			}
		}
	}
	return values, nil
}

// plainBody rejects a compressed body: bodies are never decompressed.
func plainBody(header http.Header) error {
	coding := bodies.ContentCoding(header)
	if coding == "" {
		return nil
	}
	return apierrors.NewGenericServerResponse(http.StatusUnsupportedMediaType, http.MethodPost, schema.GroupResource{}, "",
		fmt.Sprintf("the body is compressed (%.40q): send it uncompressed", coding), 0, false)
}

// parseAll parses parameters, each of which may be given once.
func parseAll(values url.Values, parsers map[string]func(string) error) error {
	for _, name := range slices.Sorted(maps.Keys(parsers)) {
		if err := once(values, name, parsers[name]); err != nil {
			return err
		}
	}
	return nil
}

func setOf(into *indexset.Set) func(string) error {
	return func(text string) (err error) {
		if len(text) > maxIndexesText {
			return fmt.Errorf("has more than %d characters: use several requests", maxIndexesText)
		}
		if *into, err = indexset.Parse(text); err != nil || into.Empty() {
			return errors.New(`must be indexes such as "0-3,17"`)
		}
		return nil
	}
}

func once(values url.Values, name string, set func(string) error) error {
	given, ok := values[name]
	if !ok {
		return nil
	}
	if len(given) != 1 {
		return fmt.Errorf("the parameter %s is given %d times: give it once", name, len(given))
	}
	if err := set(given[0]); err != nil {
		return fmt.Errorf("the parameter %s is %.40q: it %w", name, given[0], err)
	}
	return nil
}

func number(into *int, minimum int) func(string) error {
	return func(text string) error {
		// ParseUint takes no sign, and base 10 no underscore.
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil || int(n) < minimum {
			return fmt.Errorf("must be a number from %d to %d", minimum, math.MaxInt32)
		}
		*into = int(n)
		return nil
	}
}

func boolean(into *bool) func(string) error {
	return func(text string) error {
		switch text {
		case "true", "1", "":
			*into = true
		case "false", "0":
			*into = false
		default:
			return fmt.Errorf("must be true or false")
		}
		return nil
	}
}
