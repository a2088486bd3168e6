package cli

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the generated parts of docs/kubectl.md")

var docsFile = filepath.Join("..", "docs", "kubectl.md")

func readDocs(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// commandTree is the root command with the commands that cobra adds.
func commandTree() *cobra.Command {
	root := newRoot(newOptions(genericiooptions.IOStreams{}))
	root.InitDefaultCompletionCmd("complete")
	return root
}

// commandTable is the table of commands, by groups. A command links to the section that documents it.
func commandTable(docs string) string {
	var text strings.Builder
	text.WriteString("| group | command | description |\n| --- | --- | --- |\n")
	root := commandTree()
	for _, group := range root.Groups() {
		for _, command := range root.Commands() {
			if command.GroupID != group.ID || command.Name() == "help" {
				continue
			}
			name, usage, _ := strings.Cut(command.Use, " ")
			usage, _, _ = strings.Cut(usage, " [-") // flags are in the sections
			usage, _, _ = strings.Cut(usage, " (-")
			usage, _, _ = strings.Cut(usage, " --")
			if strings.HasPrefix(usage, "[-") {
				usage = ""
			}
			name = "`" + name + "`"
			if anchor := sectionOf(docs, command.Name()); anchor != "" {
				name = "[" + name + "](#" + anchor + ")"
			}
			short := strings.ToLower(command.Short[:1]) + command.Short[1:]
			_, _ = fmt.Fprintf(&text, "| %s | %s | %s |\n", group.ID, strings.TrimSpace(name+" "+strings.ReplaceAll(usage, "|", `\|`)), short)
		}
	}
	return text.String()
}

var headings = regexp.MustCompile(`(?m)^## (.*)$`)

// sectionOf is the anchor of the section that documents a command, or "".
func sectionOf(docs, command string) string {
	for _, heading := range headings.FindAllStringSubmatch(docs, -1) {
		words := strings.FieldsFunc(strings.ToLower(heading[1]), func(r rune) bool { return r == ' ' || r == ',' })
		if slices.Contains(words, command) || command == "diff" && slices.Contains(words, "revisions") || command == "rollback" && slices.Contains(words, "revisions") {
			return strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(heading[1]), ",", ""), " ", "-")
		}
	}
	return ""
}

func exitCodeTable() string {
	text := "| code | meaning |\n| --- | --- |\n"
	for line := range strings.Lines(exitCodesHelp) {
		if code, meaning, found := strings.Cut(strings.TrimSpace(line), "  "); found {
			text += "| " + code + " | " + strings.TrimSpace(meaning) + " |\n"
		}
	}
	return text
}

func TestDocumentedCommands(t *testing.T) {
	docs := readDocs(t)
	for name, want := range map[string]string{"commands": commandTable(docs), "exit codes": exitCodeTable()} {
		_, after, found := strings.Cut(docs, "<!-- "+name+":")
		first, after, _ := strings.Cut(after, "-->\n")
		got, _, ended := strings.Cut(after, "<!-- /"+name+" -->")
		if !found || !ended {
			t.Fatalf("%s has no generated part %q", docsFile, name)
		}
		if *update {
			begin := "<!-- " + name + ":" + first + "-->\n"
			docs = strings.Replace(docs, begin+got, begin+"\n"+want+"\n", 1)
			continue
		}
		if diff := cmp.Diff("\n"+want+"\n", got); diff != "" {
			t.Errorf("%s, %s; `go test ./cli -run TestDocumentedCommands -update` writes it (-want +got):\n%s", docsFile, name, diff)
		}
	}
	if *update {
		if err := os.WriteFile(docsFile, []byte(docs), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Flags of other programs in the examples.
var foreignFlags = []string{"--server-side", "--update", "--help", "--version"}

func TestDocumentedFlags(t *testing.T) {
	docs := readDocs(t)
	known := map[string]bool{}
	note := func(f *pflag.Flag) { known["--"+f.Name] = true }
	root := commandTree()
	root.PersistentFlags().VisitAll(note)
	var walk func(command *cobra.Command)
	walk = func(command *cobra.Command) {
		command.Flags().VisitAll(note)
		for _, sub := range command.Commands() {
			walk(sub)
		}
	}
	walk(root)
	for _, name := range regexp.MustCompile(`--[a-z][a-z-]*`).FindAllString(docs, -1) {
		if !known[name] && !slices.Contains(foreignFlags, name) {
			t.Errorf("%s has the flag %s, which no command has", docsFile, name)
		}
	}
	// Every flag that --help prints is documented, except those of completion.
	short := map[string]string{"--output": "-o", "--namespace": "-n"}
	for _, command := range append(root.Commands(), root) {
		if command.Name() == "completion" || command.Name() == "help" {
			continue
		}
		for _, flags := range []*pflag.FlagSet{command.Flags(), command.PersistentFlags()} {
			flags.VisitAll(func(f *pflag.Flag) {
				name := "--" + f.Name
				if f.Hidden || slices.Contains([]string{"--help", "--version"}, name) {
					return
				}
				if !regexp.MustCompile(regexp.QuoteMeta(name)+`\b`).MatchString(docs) && (short[name] == "" || !strings.Contains(docs, short[name])) {
					t.Errorf("%s lacks the flag %s of %s", docsFile, name, command.Name())
				}
			})
		}
	}
}

var times = regexp.MustCompile(`\b[0-9.]+(µs|ms|s|m)([0-9]{2}s)?\b`)

// normalized is a text without durations, and without the alignment that depends on them.
func normalized(text string) string {
	return regexp.MustCompile(` +`).ReplaceAllString(times.ReplaceAllString(text, "T"), " ")
}

// mustBeDocumented checks that the docs have an output.
func mustBeDocumented(t *testing.T, output string) {
	t.Helper()
	if output == "" || !strings.Contains(normalized(readDocs(t)), normalized(output)) {
		t.Errorf("%s lacks the output:\n%s", docsFile, output)
	}
}

func TestDocumentedProgress(t *testing.T) {
	s := snapshot{name: "train-x7k2p", started: true, total: 1000, running: 12, succeeded: 617, failed: 3, gpuSeconds: 130, gpus: true, reason: v1alpha1.ReasonRunning}
	mustBeDocumented(t, barLine(s, measured(620), 120)+"\n")
	now, out := began, &bytes.Buffer{}
	l := &lineReporter{out: out, now: func() time.Time { return now }}
	s = snapshot{name: "s1", started: true, total: 200, reason: v1alpha1.ReasonStarting, message: "The Job s1-1 exists; no worker has taken an input yet."}
	l.update(s)
	s.reason, s.message, s.running = v1alpha1.ReasonRunning, "", 4
	l.update(s)
	now = now.Add(10 * time.Second)
	s.succeeded, s.failed = 16, 4
	l.update(s)
	run := finishedRun("s1", 160, 40)
	run.Status.Progress.FailedIndexes = "2,7,12,17,22,27,32,…"
	run.Status.StartTime, run.Status.CompletionTime = &metav1.Time{Time: began}, &metav1.Time{Time: began.Add(104 * time.Second)}
	mustBeDocumented(t, out.String()+summary(run, "")+"\n")
}

func TestDocumentedResults(t *testing.T) {
	f := newFakeCluster(t)
	f.runs["r"] = finishedRun("r", 2, 1)
	f.outcomes["r"] = []string{
		`{"index":0,"status":"Succeeded","result":{"accuracy":0.97},"startTime":"2026-11-26T12:00:00Z","completionTime":"2026-11-26T12:00:01.5Z"}`,
		`{"index":1,"status":"Succeeded","result":{"accuracy":0.95},"startTime":"2026-11-26T12:00:00Z","completionTime":"2026-11-26T12:00:01.4Z"}`,
		`{"index":2,"status":"Failed","error":{"type":"ValueError","message":"the learning rate is negative"},"startTime":"2026-11-26T12:00:00Z","completionTime":"2026-11-26T12:00:00.000036Z"}`,
	}
	mustBeDocumented(t, f.plugin(t, t.Context(), nil, "results", "r", "--indexes", "0-2").stdout)
}

func TestDocumentedDescription(t *testing.T) {
	f := newFakeCluster(t)
	run := finishedRun("h2", 0, 200)
	now := time.Now()
	run.Namespace, run.Spec.FunctionRef.Name = "default", "hello"
	run.CreationTimestamp = metav1.NewTime(now.Add(-3 * time.Second))
	run.Status.StartTime, run.Status.CompletionTime = &metav1.Time{Time: now.Add(-3 * time.Second)}, &metav1.Time{Time: now.Add(-2 * time.Second)}
	run.Status.Revision = &v1alpha1.PinnedRevision{Name: "hello-8d7a2c6e31", RegistryPath: "sharedcloud/python:latest", Workers: 8, TimeoutSeconds: 600, InputCount: 200}
	run.Status.Progress.FailedIndexes = "0-199"
	f.runs["h2"] = run
	for i := range 200 {
		f.outcomes["h2"] = append(f.outcomes["h2"], fmt.Sprintf(`{"index":%d,"status":"Failed","error":{"type":"TypeError","message":"can only concatenate str (not \"int\") to str"}}`, i))
	}
	c, err := connectTo(t, f)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c.o.streams.Out, *c.o.config.Namespace = &out, "" // as if the kubeconfig named the namespace
	if err := c.describeRun(t.Context(), "h2"); err != nil {
		t.Fatal(err)
	}
	mustBeDocumented(t, out.String())
}

func TestDocumentedRevisions(t *testing.T) {
	f := newFakeCluster(t)
	const code = "def handler(event):\n    return event[0] ** %d\n"
	first, second, third := revisionMap("slow-59df646283", fmt.Sprintf(code, 2), `{"image":{"name":"python","registryPath":"sharedcloud/python:latest"}}`, nil),
		revisionMap("slow-df19f1c6e3", fmt.Sprintf(code, 3), `{"image":{"name":"python","registryPath":"sharedcloud/python:latest"}}`, nil),
		revisionMap("slow-3222da229b", fmt.Sprintf(code, 3), `{"image":{"name":"python","registryPath":"sharedcloud/python:latest"},"retries":2,"workers":4,"pod":{"runAsUser":1}}`, nil)
	list := corev1.ConfigMapList{TypeMeta: metav1.TypeMeta{Kind: "ConfigMapList", APIVersion: "v1"}}
	for i, configMap := range []*corev1.ConfigMap{first, second, third} {
		configMap.Annotations = map[string]string{v1alpha1.AnnotationRevisionNumber: fmt.Sprint(i + 1)}
		configMap.CreationTimestamp = metav1.NewTime(time.Now().Add(time.Duration([]int{-84, -3, -1}[i]) * time.Second))
		list.Items = append(list.Items, *configMap)
	}
	code3 := fmt.Sprintf(code, 3)
	user, workers, retries := int64(1), int32(4), int32(2)
	function := v1alpha1.Function{TypeMeta: metav1.TypeMeta{Kind: "Function", APIVersion: v1alpha1.GroupVersion.String()}, ObjectMeta: metav1.ObjectMeta{Name: "slow", Namespace: "ns", UID: "u"},
		Spec:   v1alpha1.FunctionSpec{Runtime: "python311", Image: "python", Code: &code3, Pod: &v1alpha1.PodSettings{RunAsUser: &user}},
		Status: v1alpha1.FunctionStatus{Revision: &v1alpha1.FunctionRevision{Name: "slow-3222da229b"}}}
	function.Spec.Workers, function.Spec.Retries = &workers, &retries
	f.handle = func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case strings.HasSuffix(r.URL.Path, "/configmaps"):
			reply(w, http.StatusOK, list)
		case strings.HasSuffix(r.URL.Path, "/functions/slow"):
			reply(w, http.StatusOK, function)
		default:
			return false
		}
		return true
	}
	mustBeDocumented(t, f.plugin(t, t.Context(), nil, "revisions", "slow").stdout)
	mustBeDocumented(t, f.plugin(t, t.Context(), nil, "diff", "slow", "--revision", "1", "--to", "2").stdout)
	mustBeDocumented(t, f.plugin(t, t.Context(), nil, "rollback", "slow", "--to-revision", "1").stdout)
}

func TestDocumentedInitAndTest(t *testing.T) {
	needs(t, "python3")
	t.Chdir(t.TempDir())
	created := command(t, t.Context(), nil, "init", "hello").stdout
	tested := command(t, t.Context(), nil, "test", "hello")
	t.Chdir(startFolder)
	mustBeDocumented(t, created)
	mustBeDocumented(t, tested.stdout+tested.stderr)
}

// startFolder is the directory of the package.
var startFolder, _ = os.Getwd()

func TestDocumentedDoctor(t *testing.T) {
	f := newFakeCluster(t)
	server := &policyServer{}
	server.serve(t, f)
	policies := f.handle
	f.outcomes["r"] = []string{outcomeLine(0, "Succeeded")}
	deployment := func(component string) appsv1.Deployment {
		d := appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: component, Namespace: "sharedcloud-system", Labels: map[string]string{"app.kubernetes.io/component": component}}}
		d.Spec.Template.Spec.Containers = []corev1.Container{{Image: "docker.io/sharedcloud/function-operator:dev"}}
		d.Status.ReadyReplicas = 1
		return d
	}
	image := func(name string, ready metav1.ConditionStatus) v1alpha1.FunctionImage {
		return v1alpha1.FunctionImage{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: v1alpha1.FunctionImageStatus{Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: ready}}}}
	}
	f.handle = func(w http.ResponseWriter, r *http.Request) bool {
		switch path := r.URL.Path; {
		case strings.HasSuffix(path, "/deployments"):
			reply(w, http.StatusOK, appsv1.DeploymentList{TypeMeta: metav1.TypeMeta{Kind: "DeploymentList", APIVersion: "apps/v1"}, Items: []appsv1.Deployment{deployment("controller-manager"), deployment("apiserver")}})
		case path == "/api/v1/nodes":
			node := corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{v1alpha1.DefaultGPUProductLabel: "NVIDIA-A100-SXM4-40GB"}}}
			node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
			node.Status.Allocatable = corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("8")}
			reply(w, http.StatusOK, corev1.NodeList{TypeMeta: metav1.TypeMeta{Kind: "NodeList", APIVersion: "v1"}, Items: []corev1.Node{node}})
		case strings.HasSuffix(path, "/selfsubjectaccessreviews"):
			reply(w, http.StatusCreated, authorizationv1.SelfSubjectAccessReview{TypeMeta: metav1.TypeMeta{Kind: "SelfSubjectAccessReview", APIVersion: "authorization.k8s.io/v1"}, Status: authorizationv1.SubjectAccessReviewStatus{Allowed: true}})
		case strings.HasSuffix(path, "/functionimages") && path != "/apis/sharedcloud.io/v1alpha1/functionimages":
			list := v1alpha1.FunctionImageList{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "FunctionImageList"}}
			if strings.Contains(path, "sharedcloud-catalogue") {
				for _, name := range []string{"a", "b", "c", "d", "e"} {
					list.Items = append(list.Items, image(name, metav1.ConditionTrue))
				}
				list.Items = append(list.Items, image("node", metav1.ConditionFalse), image("standard-node8", metav1.ConditionFalse))
			}
			reply(w, http.StatusOK, list)
		case strings.HasSuffix(path, "/namespaces/ns/functionruns"):
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(tableResponse([2]string{"r", "2026-11-26T12:00:03Z"})))
		case path == openAPIPath:
			reply(w, http.StatusOK, map[string]any{"info": map[string]string{"version": version()}})
		case path == "/apis/sharedcloud.io/v1alpha1/functions":
			reply(w, http.StatusOK, v1alpha1.FunctionList{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "FunctionList"}})
		default:
			return policies(w, r)
		}
		return true
	}
	got := f.plugin(t, t.Context(), nil, "doctor")
	got.mustExit(t, ExitOK, "", "")
	mustBeDocumented(t, strings.ReplaceAll(got.stdout, "functions in ns", "functions in default"))
}
