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

// rule: what the packages below `of` may reach. Reaching means importing, directly or through packages of this project; the imports
// of libraries are not followed.
type rule struct {
	of      []string
	not     []string
	except  []string // of what `not` names
	direct  bool     // only direct imports, those of tests included
	reasons string
}

// All rules about imports are here, with their reasons; the linters have none. A path that starts with ./ is of this project.
var rules = map[string]rule{
	"api knows nothing of the project": {
		of: []string{"api"}, not: []string{"./"}, except: []string{"./api"},
		reasons: "everything imports api",
	},
	"of Kubernetes, api knows apimachinery and the core types": {
		of: []string{"api"}, not: []string{"k8s.io", "sigs.k8s.io"}, except: []string{
			"k8s.io/apimachinery", "k8s.io/api/core/v1",
			"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1", // the JSON type
			// api/v1alpha1/applyconfiguration is generated for them
			"k8s.io/client-go/applyconfigurations", "k8s.io/client-go/features", "k8s.io/client-go/util/apply", "sigs.k8s.io/structured-merge-diff",
		},
		reasons: "clients of the API import api, and get all that it imports",
	},
	"parameters knows nothing of the project but api": {
		of: []string{"parameters"}, not: []string{"./"}, except: []string{"./api", "./parameters"},
		reasons: "both components and the plugin import parameters",
	},
	"runtimes knows nothing of the project but api": {
		of: []string{"runtimes"}, not: []string{"./"}, except: []string{"./api", "./runtimes"},
		reasons: "both components and the plugin import runtimes",
	},
	"exchange knows nothing of the project but api": {
		of: []string{"exchange"}, not: []string{"./"}, except: []string{"./api", "./exchange"},
		reasons: "both servers of the protocol, the outcome store and the frontends import it",
	},
	"exchange knows neither SQL nor clients of Kubernetes": {
		of: []string{"exchange"}, not: []string{"database/sql", "net/http", "k8s.io/client-go", "sigs.k8s.io/controller-runtime"},
		reasons: "it is types, decoding and limits",
	},
	"the tests of the runners do not know the exchange": {
		of: []string{"runtimes"}, not: []string{"./exchange"}, direct: true,
		reasons: "they have a strict copy of the protocol, so that a mistake in package exchange cannot hide one in a runner",
	},
	"the builders of the tests know nothing of the project but api and runtimes": {
		of: []string{"test/builders"}, not: []string{"./"}, except: []string{"./api", "./runtimes", "./test/builders"},
		reasons: "the tests of every other package may use them",
	},
	"the controllers never reach the API server or a store": {
		of:      []string{"controllers", "cmd/manager"},
		not:     []string{"./apiserver", "k8s.io/apiserver", "database/sql", "modernc.org/sqlite", "github.com/jackc/pgx"},
		reasons: "the custom resource is the channel between the two",
	},
	"values knows nothing of the project but api": {
		of: []string{"controllers/values"}, not: []string{"./", "sigs.k8s.io/controller-runtime", "k8s.io"}, except: []string{"./controllers/values", "./api/printable"},
		reasons: "workload, status and the reconcilers share it, so it is below all of them",
	},
	"workload is pure and does not know status": {
		of: []string{"controllers/workload"}, not: impure("./controllers"), except: []string{"./controllers/workload", "./controllers/values"},
		reasons: "what a run executes follows from objects and options alone; conditions are built from its Problems, never in it",
	},
	"status is pure and does not know workload": {
		of: []string{"controllers/status"}, not: impure("./controllers"), except: []string{"./controllers/status", "./controllers/values"},
		reasons: "the contents of a status follow from objects and a time alone; how Jobs and revisions are built does not matter to it",
	},
	"the API server never reaches the controllers": {
		of: []string{"apiserver", "cmd/apiserver"}, not: []string{"./controllers"},
		reasons: "the custom resource is the channel between the two",
	},
	"the API server has no reconcilers": {
		of: []string{"apiserver", "cmd/apiserver"}, not: []string{"sigs.k8s.io/controller-runtime/pkg/controller"},
		reasons: "the controllers own Jobs",
	},
	"REST does not reach the other frontends": {
		of: []string{"apiserver/rest"}, not: []string{"./apiserver/subresources", "./apiserver/work"},
		reasons: "frontends share the packages below them, not each other",
	},
	"the subresources do not reach the other frontends": {
		of: []string{"apiserver/subresources"}, not: []string{"./apiserver/rest", "./apiserver/work"},
		reasons: "frontends share the packages below them, not each other",
	},
	"the exchange does not reach the other frontends": {
		of: []string{"apiserver/work"}, not: []string{"./apiserver/rest", "./apiserver/subresources"},
		reasons: "frontends share the packages below them, not each other",
	},
	"the exchange has no access to the cluster": {
		of: []string{"apiserver/work"}, not: []string{"./apiserver/core", "./apiserver/writes", "k8s.io/client-go", "sigs.k8s.io/controller-runtime"},
		reasons: "what it needs of the cluster comes in through its interfaces",
	},
	"the core does not reach the frontends, the store or writes": {
		of: []string{"apiserver/core"},
		not: []string{"./apiserver/rest", "./apiserver/subresources", "./apiserver/work", "./apiserver/outcomes", "./apiserver/writes",
			"./exchange"},
		reasons: "the core is below them",
	},
	"the core does not serve HTTP": {
		of: []string{"apiserver/core"}, not: []string{"net/http"}, direct: true,
		reasons: "the frontends translate the core's errors into statuses",
	},
	"writes reaches neither the frontends nor the store": {
		of: []string{"apiserver/writes"}, not: []string{"./apiserver"},
		except:  []string{"./apiserver/core", "./apiserver/writes", "./apiserver/shares", "./apiserver/sized", "./apiserver/uuids"},
		reasons: "REST and the subresources use it; it writes to the cluster and to what core remembers of it",
	},
	"the outcome store knows nothing above it": {
		of: []string{"apiserver/outcomes"}, not: []string{"./"}, except: []string{"./api", "./exchange", "./apiserver/outcomes"},
		reasons: "the exchange, the uploads and the frontends are on top of the store",
	},
	"the server does not know transfer": {
		of: []string{"apiserver"}, not: []string{"./apiserver/outcomes/transfer"}, direct: true,
		reasons: "only the command apiserver store exports, imports and copies",
	},
	"transfer uses the store through its seam": {
		of: []string{"apiserver/outcomes/transfer"}, not: []string{"database/sql", "modernc.org/sqlite", "github.com/jackc/pgx", "github.com/pressly/goose"}, direct: true,
		reasons: "engines are a matter of package outcomes",
	},
	"the command line reaches neither component": {
		of: []string{"cli", "cmd/kubectl-function"}, not: []string{"./", "k8s.io/apiserver", "database/sql"},
		except:  []string{"./api", "./cli", "./config/policy", "./parameters", "./runtimes", "./exchange"},
		reasons: "the plugin speaks the API, as any client does",
	},
	// Everything that opens a store reaches SQL, so this is about direct imports.
	"only the outcome store knows SQL": {
		of:  []string{""},
		not: []string{"database/sql", "modernc.org/sqlite", "github.com/jackc/pgx", "github.com/pressly/goose"}, direct: true,
		reasons: "what is asked of the store is a method of package outcomes",
	},
}

// impure adds what reads a cluster, a clock or a context, or writes logs and metrics.
func impure(more ...string) []string {
	return append(more, "context", "log", "log/slog", "os", "net/http", "sigs.k8s.io/controller-runtime", "k8s.io/client-go/kubernetes", "k8s.io/client-go/rest",
		"k8s.io/client-go/tools", "k8s.io/utils/clock", "k8s.io/klog", "github.com/go-logr/logr", "github.com/prometheus/client_golang")
}

// exempt are packages that a rule does not govern, with the reason.
var exempt = map[string]map[string]string{
	"only the outcome store knows SQL": {
		"apiserver/outcomes":   "it is the store",
		"apiserver/work":       "its benchmark compares the exchange with bare SQL; only its tests import SQL",
		"test/e2e":             "looks into the store to see what lies there",
		"hack/benchmark/store": "compares the store with bare SQL",
	},
	"the server does not know transfer": {
		"apiserver/outcomes/transfer": "it is transfer",
	},
}

func TestImportDirections(t *testing.T) {
	packages := listPackages(t)
	for name, r := range rules {
		t.Run(name, func(t *testing.T) {
			governed := 0
			for path, pkg := range packages {
				if !r.governs(path) || exempted(name, path) {
					continue
				}
				governed++
				if r.direct {
					for _, imported := range slices.Concat(pkg.Imports, pkg.TestImports, pkg.XTestImports) {
						if r.forbids(imported) {
							t.Errorf("%s imports %s: %s", path, imported, r.reasons)
						}
					}
					continue
				}
				for _, chain := range reached(packages, path) {
					if last := chain[len(chain)-1]; r.forbids(last) {
						t.Errorf("%s reaches %s (%s): %s", path, last, strings.Join(chain, " → "), r.reasons)
					}
				}
			}
			if governed == 0 {
				t.Errorf("the rule governs no package: %v", r.of)
			}
		})
	}
}

// The exchange's own code does not know SQL, only its benchmark does.
func TestTheExchangeKnowsSQLInTestsOnly(t *testing.T) {
	r := rules["only the outcome store knows SQL"]
	for _, imported := range listPackages(t)[module+"/apiserver/work"].Imports {
		if r.forbids(imported) {
			t.Errorf("apiserver/work imports %s: %s", imported, r.reasons)
		}
	}
}

func exempted(rule, path string) bool {
	for folder := range exempt[rule] {
		if within(path, module+"/"+folder) {
			return true
		}
	}
	return false
}

func (r rule) governs(path string) bool {
	return slices.ContainsFunc(r.of, func(folder string) bool { return within(path, absolute("./"+folder)) })
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
