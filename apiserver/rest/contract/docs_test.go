package contract

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// section returns the lines of a section of docs/rest.md.
func section(t *testing.T, title string) []string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/rest.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), "\n## "+title+"\n")
	if !found {
		t.Fatalf("docs/rest.md has no section %q", title)
	}
	part, _, _ := strings.Cut(after, "\n## ")
	return strings.Split(part, "\n")
}

// rows returns the first cells, in backticks, of the tables with the given header.
func rows(lines []string, head string) []string {
	var names []string
	within := false
	cell := regexp.MustCompile("^\\| `([^`]+)` \\|")
	for _, line := range lines {
		switch {
		case strings.HasPrefix(line, head):
			within = true
		case !strings.HasPrefix(line, "|"):
			within = false
		case within:
			if found := cell.FindStringSubmatch(line); found != nil {
				names = append(names, found[1])
			}
		}
	}
	return names
}

// docs/rest.md and the document must agree.
func TestDocsHaveTheFieldsOfTheDocument(t *testing.T) {
	doc := loadDocument(t)
	for title, schema := range map[string]string{"Functions": "Function", "Images": "Image", "Runs": "Run", "Jobs": "Job", "GPUs": "GPU", "Token": "Token"} {
		want := slices.Clone(doc.Components.Schemas[schema].Value.Required)
		got := rows(section(t, title), "| field | type | meaning |")
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-document +docs):\n%s", title, diff)
		}
	}
}

func TestDocsHaveTheCallsOfTheDocument(t *testing.T) {
	var want []string
	for path, item := range loadDocument(t).Paths.Map() {
		if strings.HasSuffix(path, "/") {
			continue
		}
		for method := range item.Operations() {
			want = append(want, method+" "+strings.ReplaceAll(path, "{uuid}", ":uuid"))
		}
	}
	got := rows(section(t, "Calls"), "| call |")
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("calls (-document +docs):\n%s", diff)
	}
}

func TestDocsHaveTheErrorsOfTheDocument(t *testing.T) {
	listed := map[string]bool{}
	for _, line := range section(t, "Errors") {
		if len(line) > 6 && strings.HasPrefix(line, "| ") && line[2] >= '4' && line[2] <= '5' {
			listed[line[2:5]] = true
		}
	}
	for path, item := range loadDocument(t).Paths.Map() {
		for method, operation := range item.Operations() {
			for status := range operation.Responses.Map() {
				if status[0] >= '4' && !listed[status] {
					t.Errorf("%s %s responds %s, which is not in docs/rest.md", method, path, status)
				}
			}
		}
	}
}
