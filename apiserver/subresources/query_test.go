package subresources

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sharedcloud.io/function-operator/exchange/indexset"
)

func TestParseQuery(t *testing.T) {
	for name, tc := range map[string]struct {
		query   string
		accept  []string
		want    query
		wantErr string
	}{
		"without parameters, all outcomes as an array": {want: query{format: contentJSON}},
		"a first index":                                  {query: "from=7&limit=100", want: query{format: contentJSON, from: 7, limit: 100}},
		"all parameters":                                 {query: "from=0&limit=1&format=ndjson&output=true&follow=1", want: query{limit: 1, format: contentNDJSON, output: true, follow: true}},
		"a flag without a value is set":                  {query: "follow", want: query{format: contentJSON, follow: true}},
		"a flag may be false":                            {query: "output=false", want: query{format: contentJSON}},
		"unknown parameters are ignored":                 {query: "pretty=1&timeout=10s", want: query{format: contentJSON}},
		"NDJSON by header":                               {accept: []string{"application/x-ndjson"}, want: query{format: contentNDJSON}},
		"NDJSON by header among others":                  {accept: []string{"text/html, Application/X-NDJSON ; q=0.5"}, want: query{format: contentNDJSON}},
		"an Accept header of anything selects an array":  {accept: []string{"*/*", "application/*"}, want: query{format: contentJSON}},
		"NDJSON with q=0 selects an array":               {accept: []string{"application/x-ndjson; q=0"}, want: query{format: contentJSON}},
		"the parameter takes precedence over the header": {query: "format=json", accept: []string{"application/x-ndjson"}, want: query{format: contentJSON}},
		"CSV":                                    {query: "format=csv", want: query{format: contentCSV}},
		"CSV by header":                          {accept: []string{"text/csv"}, want: query{format: contentCSV}},
		"only what failed":                       {query: "failed", want: query{format: contentJSON, failed: true}},
		"some indexes":                           {query: "indexes=3,7-9", want: query{format: contentJSON, indexes: indexset.Of(3, 7, 8, 9)}},
		"no indexes":                             {query: "indexes=", wantErr: `must be indexes such as "0-3,17"`},
		"invalid indexes":                        {query: "indexes=1-x", wantErr: `must be indexes such as "0-3,17"`},
		"a descending range":                     {query: "indexes=9-7", wantErr: `must be indexes such as "0-3,17"`},
		"too many indexes":                       {query: "indexes=" + strings.Repeat("1,", 10000), wantErr: "use several requests"},
		"indexes with follow":                    {query: "indexes=3&follow", wantErr: "exclude each other"},
		"a negative index":                       {query: "from=-1", wantErr: `the parameter from is "-1": it must be a number from 0 to 2147483647`},
		"an index that is too large":             {query: "from=2147483648", wantErr: "must be a number"},
		"an index of many digits":                {query: "from=99999999999999999999999999", wantErr: "must be a number"},
		"an index in hexadecimal":                {query: "from=0x10", wantErr: "must be a number"},
		"an index with a plus":                   {query: "from=%2B1", wantErr: "must be a number"},
		"an index in other digits":               {query: "from=" + url.QueryEscape("١"), wantErr: "must be a number"},
		"no index":                               {query: "from=", wantErr: "must be a number"},
		"a limit of zero":                        {query: "limit=0", wantErr: `the parameter limit is "0": it must be a number from 1`},
		"an index given twice":                   {query: "from=1&from=2", wantErr: "the parameter from is given 2 times"},
		"an unknown format":                      {query: "format=xml", wantErr: `the parameter format is "xml": it must be json, ndjson or csv`},
		"a flag that is neither true nor false":  {query: "output=yes", wantErr: `the parameter output is "yes": it must be true or false`},
		"a long value is truncated in the error": {query: "format=" + strings.Repeat("a", 1000), wantErr: strings.Repeat("a", 40) + `": it`},
		"a value with a line break is quoted":    {query: "format=a%0Ab", wantErr: `"a\nb"`},
	} {
		t.Run(name, func(t *testing.T) {
			values, err := url.ParseQuery(tc.query)
			if err != nil {
				t.Fatal(err)
			}
			got, err := parseQuery(values, tc.accept)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("error %v, want %q", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(query{}, indexset.Set{})); diff != "" {
				t.Errorf("query (-want +got):\n%s", diff)
			}
		})
	}
}
