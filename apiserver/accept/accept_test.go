package accept

import "testing"

func TestAccept(t *testing.T) {
	for header, want := range map[string]struct{ json, csv bool }{
		"":                                     {true, false},
		"*":                                    {true, false},
		"*/*":                                  {true, false},
		"*/*;q=0.8":                            {true, false},
		"application/*":                        {true, false},
		"application/json":                     {true, false},
		"Application/JSON":                     {true, false},
		"application/json; charset=utf-8":      {true, false},
		"application/json;q=0":                 {false, false},
		"application/json; q=0.000":            {false, false},
		"application/json;q=0.001":             {true, false},
		"text/html, application/json;q=0.5":    {true, false},
		"text/html,application/xhtml+xml":      {false, false},
		"text/html,application/xhtml+xml,*/*":  {true, false},
		"text/csv":                             {false, true},
		"TEXT/CSV ;header=present":             {false, true},
		"text/csv;q=0":                         {false, false},
		"text/csv; q=0":                        {false, false},
		"text/*":                               {false, false},
		"application/x-ndjson, text/csv;q=0.1": {false, true},
		"nonsense":                             {false, false},
		"application/json/x":                   {false, false},
	} {
		if got := Any([]string{header}, "application/json"); got != want.json {
			t.Errorf("%q accepts JSON: %v", header, got)
		}
		if got := Named([]string{header}, "text/csv"); got != want.csv {
			t.Errorf("%q names CSV: %v", header, got)
		}
	}
	if !Any(nil, "application/json") || Named(nil, "text/csv") {
		t.Error("a request without the header accepts the default only")
	}
	if !Any([]string{"text/html", "application/json"}, "application/json") || !Named([]string{"text/html", "text/csv"}, "text/csv") {
		t.Error("each of several headers counts")
	}
}

func TestAcceptEncoding(t *testing.T) {
	for header, want := range map[string]bool{
		"":                    false,
		"gzip":                true,
		"*":                   true,
		"identity":            false,
		"deflate, gzip":       true,
		"deflate,gzip;q=1.0":  true,
		"br;q=1.0, *;q=0.1":   true,
		"gzip;q=0":            false,
		"gzip; q=0":           false,
		"gzip;q=0.0":          false,
		"gzip;q=0.000":        false,
		"gzip;q=0.5":          true,
		"*;q=0":               false,
		"gzip;q=0, *":         true,
		"identity, *;q=0":     false,
		"x-gzip":              false,
		" gzip ":              true,
		"gzip;":               true,
		"gzipped, deflate, q": false,
	} {
		if got := Gzip([]string{header}); got != want {
			t.Errorf("%q accepts gzip: %v", header, got)
		}
	}
	if Gzip(nil) || !Gzip([]string{"br", "gzip"}) {
		t.Error("without the header gzip is not accepted; each of several headers counts")
	}
}
