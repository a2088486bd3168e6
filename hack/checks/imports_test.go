package checks

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "sharedcloud.io/function-operator"

type goPackage struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// rule: what the packages below `of` may reach. Reaching means importing, directly or through packages of our own;
// what a library imports for itself is its own business.
type rule struct {
	of      []string
	not     []string
	except  []string // of what `not` names
	reasons string
}

// indexsets are values, "0-3,7", that everybody who speaks of inputs may use; they know nothing of the exchange.
var indexsets = []string{"./apiserver/work/indexset"}

// impure adds what reads a cluster, a clock or a context, or writes logs and metrics.
func impure(more ...string) []string {
	return append(more, "context", "log", "log/slog", "os", "net/http", "sigs.k8s.io/controller-runtime", "k8s.io/client-go/kubernetes", "k8s.io/client-go/rest",
		"k8s.io/client-go/tools", "k8s.io/utils/clock", "k8s.io/klog", "github.com/go-logr/logr", "github.com/prometheus/client_golang")
}

func TestImportDirections(t *testing.T) {
	rules := map[string]rule{
		"api knows nothing of ours": {
			of: []string{"api"}, not: []string{"./"}, except: []string{"./api"},
			reasons: "everything imports api",
		},
		"parameters knows nothing of ours but api": {
			of: []string{"parameters"}, not: []string{"./"}, except: []string{"./api", "./parameters"},
			reasons: "both components import parameters",
		},
		"runtimes knows nothing of ours but api": {
			of: []string{"runtimes"}, not: []string{"./"}, except: []string{"./api", "./runtimes"},
			reasons: "both components import runtimes",
		},
		"the controllers never reach the API server or a store": {
			of:      []string{"controllers", "cmd/manager"},
			not:     []string{"./apiserver", "k8s.io/apiserver", "database/sql", "modernc.org/sqlite", "github.com/jackc/pgx"},
			reasons: "the custom resource is the channel between the two",
		},
		"values knows nothing of ours but api": {
			of: []string{"controllers/values"}, not: []string{"./", "sigs.k8s.io/controller-runtime", "k8s.io"}, except: []string{"./controllers/values", "./api/printable"},
			reasons: "workload, status and the reconcilers share it, so it is below all of them",
		},
		"workload is pure and does not know status": {
			of: []string{"controllers/workload"}, not: impure("./controllers"), except: []string{"./controllers/workload", "./controllers/values"},
			reasons: "what a run executes follows from objects and options alone; conditions are built from its Problems, never in it",
		},
		"status is pure and does not know workload": {
			of: []string{"controllers/status"}, not: impure("./controllers"), except: []string{"./controllers/status", "./controllers/values"},
			reasons: "what a status says follows from objects and a time alone; how Jobs and revisions are built does not matter to it",
		},
		"the API server never reaches the controllers": {
			of: []string{"apiserver", "cmd/apiserver"}, not: []string{"./controllers"},
			reasons: "the custom resource is the channel between the two",
		},
		"REST does not reach the other faces": {
			of: []string{"apiserver/rest"}, not: []string{"./apiserver/subresources", "./apiserver/work"}, except: indexsets,
			reasons: "the faces use the core, never each other",
		},
		"the subresources do not reach the other faces": {
			of: []string{"apiserver/subresources"}, not: []string{"./apiserver/rest", "./apiserver/work"}, except: indexsets,
			reasons: "the faces use the core, never each other",
		},
		"the exchange does not reach the other faces": {
			of: []string{"apiserver/work"}, not: []string{"./apiserver/rest", "./apiserver/subresources"},
			reasons: "the faces use the core, never each other",
		},
		"the core does not reach the faces": {
			of: []string{"apiserver/core"}, not: []string{"./apiserver/rest", "./apiserver/subresources", "./apiserver/work"}, except: indexsets,
			reasons: "the core is below the faces",
		},
		"the command line reaches neither component": {
			of: []string{"cli", "cmd/kubectl-function"}, not: []string{"./", "k8s.io/apiserver", "database/sql"},
			except:  []string{"./api", "./cli", "./parameters", "./runtimes"},
			reasons: "the plugin speaks the API, as any client does",
		},
	}
	packages := listPackages(t)
	for name, r := range rules {
		t.Run(name, func(t *testing.T) {
			for path := range packages {
				if !r.governs(path) {
					continue
				}
				for _, chain := range reached(packages, path) {
					if last := chain[len(chain)-1]; r.forbids(last) {
						t.Errorf("%s reaches %s (%s): %s", path, last, strings.Join(chain, " → "), r.reasons)
					}
				}
			}
		})
	}
}

// Who imports SQL is a matter of direct imports: everything that opens a store reaches it.
func TestOnlyWorkAndOutcomesKnowSQL(t *testing.T) {
	r := rule{not: []string{"database/sql", "modernc.org/sqlite", "github.com/jackc/pgx", "github.com/pressly/goose"}}
	for path, pkg := range listPackages(t) {
		if within(path, module+"/apiserver/work") || within(path, module+"/apiserver/outcomes") ||
			within(path, module+"/test/e2e") || // it looks into the store to see what lies there
			within(path, module+"/hack/benchmark/store") { // it compares with what is bare SQL
			continue
		}
		for _, imported := range slices.Concat(pkg.Imports, pkg.TestImports, pkg.XTestImports) {
			if r.forbids(imported) {
				t.Errorf("%s imports %s: only apiserver/work and apiserver/outcomes know that SQL exists", path, imported)
			}
		}
	}
}

func (r rule) governs(path string) bool {
	return slices.ContainsFunc(r.of, func(folder string) bool { return within(path, module+"/"+folder) })
}

func (r rule) forbids(path string) bool {
	named := func(list []string) bool {
		return slices.ContainsFunc(list, func(prefix string) bool { return within(path, absolute(prefix)) })
	}
	return named(r.not) && !named(r.except)
}

func absolute(prefix string) string {
	if rest, ours := strings.CutPrefix(prefix, "./"); ours {
		return strings.TrimSuffix(module+"/"+rest, "/")
	}
	return prefix
}

func within(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

// reached returns, for each package that the package at start reaches, the shortest way to it.
func reached(packages map[string]goPackage, start string) [][]string {
	seen := map[string]bool{start: true}
	queue := [][]string{{start}}
	var found [][]string
	for len(queue) > 0 {
		chain := queue[0]
		queue = queue[1:]
		// Only our own packages are in the map, so libraries end a chain.
		for _, next := range packages[chain[len(chain)-1]].Imports {
			if seen[next] {
				continue
			}
			seen[next] = true
			way := append(slices.Clone(chain), next)
			found = append(found, way)
			queue = append(queue, way)
		}
	}
	return found
}

func listPackages(t *testing.T) map[string]goPackage {
	t.Helper()
	// -e: a package that does not build is another test's failure.
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", module+"/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := map[string]goPackage{}
	decoder := json.NewDecoder(bytes.NewReader(out))
	for {
		var pkg goPackage
		err := decoder.Decode(&pkg)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		packages[pkg.ImportPath] = pkg
	}
	if len(packages) < 3 {
		t.Fatalf("go list found only %d packages: the rules would hold of nothing", len(packages))
	}
	return packages
}

func TestReachedFollowsOurOwnPackagesOnly(t *testing.T) {
	packages := map[string]goPackage{
		"a": {Imports: []string{"b", "lib"}},
		"b": {Imports: []string{"c"}},
		"c": {Imports: []string{"lib2"}},
	}
	var ends []string
	for _, chain := range reached(packages, "a") {
		ends = append(ends, strings.Join(chain, " "))
	}
	slices.Sort(ends)
	want := []string{"a b", "a b c", "a b c lib2", "a lib"}
	if !slices.Equal(ends, want) {
		t.Errorf("reached: got %q, want %q", ends, want)
	}
}
