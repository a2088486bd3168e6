package subresources

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
)

// Content types of results.
const (
	contentJSON   = "application/json"
	contentNDJSON = "application/x-ndjson"
)

// query is what a caller of functionruns/results asked for.
type query struct {
	// from is the first index of interest; limit the most outcomes wanted, 0 for all.
	from, limit int
	// lines: one JSON object a line, instead of one array.
	lines bool
	// output: stdout and stderr too.
	output bool
	// follow: strictly one index after the other, waiting for those that have no outcome yet.
	follow bool
}

// parseQuery reads the parameters, and says in a sentence which one cannot be. Unknown ones are other programs' business.
func parseQuery(values url.Values, accept []string) (query, error) {
	var q query
	for name, set := range map[string]func(string) error{
		"from":   number(&q.from, 0),
		"limit":  number(&q.limit, 1),
		"output": truth(&q.output),
		"follow": truth(&q.follow),
	} {
		if err := once(values, name, set); err != nil {
			return query{}, err
		}
	}
	q.lines = accepts(accept, contentNDJSON)
	err := once(values, "format", func(text string) error {
		switch text {
		case "json", "ndjson":
			q.lines = text == "ndjson"
			return nil
		}
		return fmt.Errorf("must be json or ndjson")
	})
	if err != nil {
		return query{}, err
	}
	return q, nil
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

func number(into *int, least int) func(string) error {
	return func(text string) error {
		// ParseUint takes no sign, and base 10 no underscore.
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil || int(n) < least {
			return fmt.Errorf("must be a number from %d to %d", least, math.MaxInt32)
		}
		*into = int(n)
		return nil
	}
}

func truth(into *bool) func(string) error {
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

// accepts says whether an Accept header names the content type itself: who accepts anything gets the default.
func accepts(accept []string, contentType string) bool {
	for _, header := range accept {
		for part := range strings.SplitSeq(header, ",") {
			name, parameters, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(name), contentType) && strings.ReplaceAll(parameters, " ", "") != "q=0" {
				return true
			}
		}
	}
	return false
}

func contentType(lines bool) string {
	if lines {
		return contentNDJSON
	}
	return contentJSON
}
