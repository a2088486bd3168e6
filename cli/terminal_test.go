package cli

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/api/v1alpha1"
)

// evil has every kind of control sequence.
const evil = "a\x1b[2J\x1b]0;owned\x07\u009b31m\u202egnp\u200b\x7f\r\bz"

// mustBeInert reports control characters other than line breaks, tabs and the allowed sequences.
func mustBeInert(t *testing.T, text string, allowed ...string) {
	t.Helper()
	for _, sequence := range allowed {
		text = strings.ReplaceAll(text, sequence, "")
	}
	if !utf8.ValidString(text) {
		t.Errorf("not UTF-8: %q", text)
	}
	for _, r := range text {
		if printable.Unsafe(r) && r != '\n' && r != '\t' {
			t.Errorf("%U in %q", r, text)
			return
		}
	}
}

// evilCluster has control sequences in all texts that a tenant, an image or a worker can write.
func evilCluster(t *testing.T) *fakeCluster {
	f := newFakeCluster(t)
	run := finishedRun("r", 1, 1)
	run.Spec.FunctionRef.Name = evil
	run.Labels = map[string]string{"sharedcloud.io/rerun-of": evil}
	for i := range run.Status.Conditions {
		run.Status.Conditions[i].Message = evil
	}
	f.runs["r"] = run
	for i, status := range []string{"Succeeded", "Failed"} {
		line, _ := json.Marshal(map[string]any{"index": i, "status": status, "result": evil, "stdout": evil + "\nsecond", "stderr": evil, "node": evil,
			"error": map[string]string{"type": evil, "message": evil, "traceback": evil}})
		f.outcomes["r"] = append(f.outcomes["r"], string(line))
	}
	f.handle = func(w http.ResponseWriter, r *http.Request) bool {
		const base = "/apis/sharedcloud.io/v1alpha1/namespaces/ns/"
		switch path := r.URL.Path; {
		case strings.HasPrefix(path, base) && strings.Contains(r.Header.Get("Accept"), "as=Table"):
			reply(w, http.StatusOK, metav1.Table{TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "Table"},
				ColumnDefinitions: []metav1.TableColumnDefinition{{Name: "Name"}, {Name: "Message"}}, Rows: []metav1.TableRow{{Cells: []any{"f", evil}}}})
		case path == base+"functions/f":
			function := &v1alpha1.Function{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Function"},
				ObjectMeta: metav1.ObjectMeta{Name: "f", Namespace: "ns", UID: "u"}, Spec: v1alpha1.FunctionSpec{Name: evil, Image: evil, Runtime: evil}}
			function.Status.Revision = &v1alpha1.FunctionRevision{Name: "two", RegistryPath: evil}
			function.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: "False", Reason: "Invalid", Message: evil}}
			reply(w, http.StatusOK, function)
		case strings.HasSuffix(path, "/configmaps"):
			list := corev1.ConfigMapList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMapList"}}
			for i, name := range []string{"one", "two"} {
				settings, _ := json.Marshal(map[string]any{"image": map[string]string{"registryPath": evil + name}, "runtime": evil + name})
				list.Items = append(list.Items, corev1.ConfigMap{
					ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{v1alpha1.AnnotationRevisionNumber: strconv.Itoa(i + 1)}},
					Data:       map[string]string{revisionSettingsKey: string(settings), "handler.py": "x = '" + evil + name + "'\n", evil + name: evil},
				})
			}
			reply(w, http.StatusOK, list)
		case strings.HasSuffix(path, "/events"):
			reply(w, http.StatusOK, corev1.EventList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "EventList"}, Items: []corev1.Event{
				{Type: evil, Reason: evil, Message: evil, InvolvedObject: corev1.ObjectReference{Kind: evil, Name: evil}}}})
		case strings.HasSuffix(path, "/pods"):
			reply(w, http.StatusOK, corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}, Items: []corev1.Pod{{
				ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{NodeName: evil}, Status: corev1.PodStatus{Phase: evil,
					ContainerStatuses: []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: evil, Message: evil}}}}}}}})
		case strings.HasSuffix(path, "/refused/log"):
			w.WriteHeader(http.StatusConflict)
			_, _ = io.WriteString(w, evil)
		default:
			return false
		}
		return true
	}
	return f
}

//security:attack tenant | names, errors, code, images, events and responses of the server contain control sequences, and a user reads them with the plugin | no command prints one
func TestNoCommandPrintsControlSequences(t *testing.T) {
	for _, line := range []string{
		"list", "list runs", "list images -o wide", "get function f", "get function f -o json", "get function f -o yaml", "get run r -o json", "get run r -o yaml",
		"describe run r", "describe function f", "describe f", "results r", "results r --with-output", "results r --failed -o ndjson --with-output",
		"results r -o json --with-output", "results r --follow -o table", "diff f", "diff f --revision 1 --to 2", "revisions f", "revisions f -o json",
		"revisions f -o name", "rollback f", "rollback f --force --dry-run", "log refused", "cancel r", "cancel " + strings.ReplaceAll(evil, " ", ""), "nonsense\x1b[2J",
		"run f --params " + strings.ReplaceAll(evil, " ", ""), "__complete get function ",
	} {
		t.Run(line, func(t *testing.T) {
			f := evilCluster(t)
			got := f.plugin(t, t.Context(), nil, strings.Split(line, " ")...)
			mustBeInert(t, got.stdout)
			mustBeInert(t, got.stderr)
			if got.stdout+got.stderr == "" {
				t.Error("nothing is printed")
			}
		})
	}
}

func TestOutputForProgramsKeepsItsValue(t *testing.T) {
	f := evilCluster(t)
	for _, format := range []string{"json", "yaml"} {
		got := f.plugin(t, t.Context(), nil, "get", "function", "f", "-o", format)
		function := &v1alpha1.Function{}
		if err := yaml.Unmarshal([]byte(got.stdout), function); err != nil || function.Spec.Name != evil {
			t.Errorf("-o %s: %v: the name is %q in %s, %s", format, err, function.Spec.Name, got.stdout, got.stderr)
		}
	}
	got := f.plugin(t, t.Context(), nil, "results", "r", "-o", "ndjson")
	var o outcome
	if err := json.Unmarshal([]byte(strings.SplitN(got.stdout, "\n", 2)[0]), &o); err != nil || printable.Value(o.Result) != evil {
		t.Errorf("%v: the result is %q", err, o.Result)
	}
	got = f.plugin(t, t.Context(), nil, "results", "r", "-o", "csv")
	rows, err := csv.NewReader(strings.NewReader(got.stdout)).ReadAll()
	if err != nil || rows[1][2] != evil {
		t.Errorf("%v: the cell is %q", err, rows)
	}
}

//security:attack worker | a result, an error or output is a formula, and a user opens the plugin's CSV in a spreadsheet | the cell begins with an apostrophe; numbers are unchanged; --raw-csv leaves all cells unchanged
func TestCSVHoldsNoFormulas(t *testing.T) {
	f := newFakeCluster(t)
	f.runs["r"] = finishedRun("r", 3, 0)
	f.outcomes["r"] = []string{
		`{"index":0,"status":"Succeeded","result":"=cmd|' /C calc'!A0","stdout":"@SUM(1)"}`,
		`{"index":1,"status":"Succeeded","result":-1.5,"stdout":"-2"}`,
		`{"index":2,"status":"Failed","error":{"type":"+E","message":"\t=1"}}`,
	}
	read := func(args ...string) [][]string {
		got := f.plugin(t, t.Context(), nil, append([]string{"results", "r", "-o", "csv", "--with-output"}, args...)...)
		rows, err := csv.NewReader(strings.NewReader(got.stdout)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	rows := read()
	for _, cell := range []struct {
		row, column int
		want        string
	}{{1, 2, "'=cmd|' /C calc'!A0"}, {1, 10, "'@SUM(1)"}, {2, 2, "-1.5"}, {2, 10, "-2"}, {3, 3, "'+E"}, {3, 4, "'\t=1"}, {1, 0, "0"}} {
		if got := rows[cell.row][cell.column]; got != cell.want {
			t.Errorf("row %d, column %d is %q, want %q", cell.row, cell.column, got, cell.want)
		}
	}
	if raw := read("--raw-csv"); raw[1][2] != "=cmd|' /C calc'!A0" || raw[3][4] != "\t=1" {
		t.Errorf("raw: %q", raw)
	}
}

// onTerminal runs a command whose output is a terminal, and returns the output.
func onTerminal(t *testing.T, f *fakeCluster, args ...string) string {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	shown := make(chan string)
	go func() {
		var text bytes.Buffer
		_, _ = io.Copy(&text, master) // ends with an error when the terminal is closed
		shown <- strings.ReplaceAll(text.String(), "\r\n", "\n")
	}()
	t.Setenv("KUBECONFIG", os.DevNull)
	Main(t.Context(), append(args, "--server", f.url, "-n", "ns"), genericiooptions.IOStreams{In: strings.NewReader(""), Out: terminal, ErrOut: terminal})
	terminal.Close()
	return <-shown
}

//security:attack worker | a handler prints control sequences, and a user reads the log of the run on a terminal | colours are kept and end with their line, all other sequences are escaped
func TestLogOnATerminalKeepsOnlyColours(t *testing.T) {
	f := newFakeCluster(t)
	f.runs["r"] = finishedRun("r", 1, 0)
	f.handle = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/log") {
			return false
		}
		_, _ = io.WriteString(w, "[0] \x1b[1;31mred\n[0] "+evil+"\n")
		return true
	}
	for _, args := range [][]string{{"log", "r"}, {"log", "r", "0"}} {
		got := onTerminal(t, f, args...)
		if !strings.Contains(got, "[0] \x1b[1;31mred\x1b[0m\n") || !strings.Contains(got, `a\x1b[2J`) {
			t.Errorf("%v shows %q", args, got)
		}
		mustBeInert(t, got, "\x1b[1;31m", "\x1b[0m")
	}
}

//security:attack tenant | a condition's message or a run's name contains control sequences while the bar is drawn | the terminal gets only the sequences of the bar
func TestBarEscapesControlSequences(t *testing.T) {
	f := evilCluster(t)
	got := onTerminal(t, f, "results", "r", "--follow")
	if !strings.Contains(got, `\x1b[2J`) {
		t.Errorf("the result is not printed: %q", got)
	}
	mustBeInert(t, strings.ReplaceAll(got, "\r", ""), eraseBelow, lineUp)
	s := snapshot{name: "r", started: true, total: 2, reason: "Waiting", message: evil}
	var out bytes.Buffer
	b := &barReporter{out: &out, now: newFastClock().Now, width: func() int { return 80 }}
	b.update(s)
	b.update(s)
	b.end()
	mustBeInert(t, strings.ReplaceAll(out.String(), toLineStart, ""), eraseBelow, lineUp)
}
