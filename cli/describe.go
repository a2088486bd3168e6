package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

const (
	// errorsRead is how many outcomes are looked at for the most frequent errors.
	errorsRead = 5000
	// errorsShown, workersShown, eventsShown and runsShown bound what is printed.
	errorsShown, workersShown, eventsShown, runsShown = 5, 12, 10, 5
)

func newDescribe(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "describe [run | function] NAME",
		Short: "Say how a run or a function stands: what is wrong, and what to do",
		Example: `  kubectl function describe train-x7k2p
  kubectl function describe function train`,
		Args: func(command *cobra.Command, args []string) error {
			if len(args) == 0 || len(args) > 2 {
				return usageError("the name of a run or a function is needed: %s", command.UseLine())
			}
			return nil
		},
		ValidArgsFunction: o.completeKindAndName,
		RunE: func(command *cobra.Command, args []string) error {
			c, err := o.connect()
			if err != nil {
				return err
			}
			ctx := command.Context()
			if len(args) == 1 {
				return c.describeEither(ctx, args[0])
			}
			k, err := kindNamed(args[0])
			switch {
			case err != nil || k == kindImage:
				return usageError("%q is neither run nor function", args[0])
			case k == kindRun:
				return c.describeRun(ctx, args[1])
			}
			return c.describeFunction(ctx, args[1])
		},
	}
}

// describeEither describes what has the name: a run, else a function.
func (c *cluster) describeEither(ctx context.Context, name string) error {
	err := c.describeRun(ctx, name)
	if !namedNotFound(err) {
		return err
	}
	if err := c.describeFunction(ctx, name); !namedNotFound(err) {
		return err
	}
	return clusterError("there is neither a run nor a function %q in the namespace %s: `kubectl function list runs` and `kubectl function list` show which there are", name, c.namespace)
}

// page writes lines of "Name: value".
type page struct {
	out  io.Writer
	rows [][]string
}

func (p *page) line(name, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if text == "" {
		return
	}
	for i, line := range wrapped(text, 110) {
		if i > 0 {
			name = ""
		}
		p.rows = append(p.rows, []string{name, line})
	}
}

func (p *page) flush() error {
	rows := p.rows
	p.rows = nil
	for i := range rows {
		if rows[i][0] != "" {
			rows[i][0] += ":"
		}
	}
	return columns(p.out, rows)
}

// wrapped breaks a text between words.
func wrapped(text string, width int) []string {
	var lines []string
	for paragraph := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		line := ""
		for word := range strings.FieldsSeq(paragraph) {
			if line != "" && len(line)+1+len(word) > width {
				lines = append(lines, line)
				line = ""
			}
			line = strings.TrimPrefix(line+" "+word, " ")
		}
		lines = append(lines, line)
	}
	return lines
}

func ago(t time.Time) string {
	if t.IsZero() {
		return "?"
	}
	return durationText(time.Since(t).Round(time.Second)) + " ago"
}

func (c *cluster) describeRun(ctx context.Context, name string) error {
	run, err := c.run(ctx, name)
	if err != nil {
		return err
	}
	ns := c.namespaceFlag()
	s := standingOf(run)
	p := &page{out: c.o.streams.Out}
	p.line("Run", "%s in the namespace %s, made %s", run.Name, run.Namespace, ago(run.CreationTimestamp.Time))
	p.line("Function", "%s", run.Spec.FunctionRef.Name)
	p.line("Status", "%s", statusLine(run, s))
	found := adviceForRun(run, ns)
	p.line("What is wrong", "%s", found.wrong)
	p.line("What to do", "%s", found.todo)
	if pin := run.Status.Revision; pin != nil {
		p.line("Executes", "revision %s, image %s%s", pin.Name, pin.RegistryPath, digestText(run.Status.ImageDigest))
		p.line("How", "%s", policyLine(pin))
	}
	if of := run.Labels["sharedcloud.io/rerun-of"]; of != "" {
		p.line("Rerun of", "%s, its inputs %s", of, firstOf(run.Annotations["sharedcloud.io/rerun-indexes"], "that did not succeed"))
	}
	if run.Status.StartTime != nil {
		end := time.Now()
		if run.Status.CompletionTime != nil {
			end = run.Status.CompletionTime.Time
		}
		soFar := " so far"
		if s.finished {
			soFar = ""
		}
		p.line("Time", "started %s, took %s%s", ago(run.Status.StartTime.Time), durationText(end.Sub(run.Status.StartTime.Time).Round(time.Second)), soFar)
	}
	p.line("Kept", "%s", keptLine(run))
	if err := p.flush(); err != nil {
		return err
	}
	if s.unsuccessful() > 0 && !resultsDeleted(run) {
		c.describeErrors(ctx, name)
	}
	pods := &corev1.PodList{}
	if err := c.List(ctx, pods, client.InNamespace(run.Namespace), client.MatchingLabels{v1alpha1.LabelRun: name}); err == nil && len(pods.Items) > 0 {
		c.o.out("\nWorkers:\n")
		if err := columns(c.o.streams.Out, workerRows(pods.Items)); err != nil {
			return err
		}
	}
	involved := []string{string(run.UID)}
	if run.Status.Job != nil {
		job := &batchv1.Job{}
		if c.Get(ctx, c.key(run.Status.Job.Name), job) == nil {
			c.o.out("\nJob: %s, %d of its pods active, %d failed\n", job.Name, job.Status.Active, job.Status.Failed)
		}
		involved = append(involved, string(run.Status.Job.UID))
	}
	for i := range pods.Items {
		if len(involved) < 10 && pods.Items[i].Status.Phase != corev1.PodRunning {
			involved = append(involved, string(pods.Items[i].UID))
		}
	}
	c.describeEvents(ctx, run.Namespace, involved)
	return nil
}

// statusLine is how a run stands, in numbers.
func statusLine(run *v1alpha1.FunctionRun, s standing) string {
	if !s.started {
		return firstOf(s.reason, "new")
	}
	parts := []string{fmt.Sprintf("%d of %d inputs succeeded", s.succeeded, s.total)}
	for _, part := range []struct {
		count int
		word  string
	}{{s.running, "running"}, {s.failed, "failed"}, {s.timedOut, "timed out"}, {s.cancelled, "cancelled"},
		{s.total - s.done() - s.running, "waiting"}} {
		if part.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.count, part.word))
		}
	}
	if s.gpuSeconds > 0 {
		parts = append(parts, fmt.Sprintf("%d GPU-seconds", s.gpuSeconds))
	}
	return firstOf(s.reason, "new") + ": " + strings.Join(parts, ", ")
}

// keptLine says until when a finished run and its results are kept, where that has a limit.
func keptLine(run *v1alpha1.FunctionRun) string {
	var parts []string
	if until, limited := run.ResultsExpirationTime(); resultsDeleted(run) {
		parts = append(parts, "its results were deleted (resultsTTLSecondsAfterFinished)")
	} else if limited {
		parts = append(parts, "its results until "+until.UTC().Format(time.RFC3339)+" (resultsTTLSecondsAfterFinished)")
	}
	if until, limited := run.ExpirationTime(); limited {
		parts = append(parts, "the run until "+until.UTC().Format(time.RFC3339)+" (ttlSecondsAfterFinished)")
	}
	return strings.Join(parts, ", ")
}

func resultsDeleted(run *v1alpha1.FunctionRun) bool {
	return run.Status.Progress != nil && run.Status.Progress.ResultsDeleted
}

func digestText(digest string) string {
	if digest == "" {
		return ""
	}
	return " (" + digest + ")"
}

func policyLine(pin *v1alpha1.PinnedRevision) string {
	text := fmt.Sprintf("%s, %s each, %s an input at most, %s", counting(int(pin.Workers), "worker"), counting(int(pin.GPUs), "GPU"),
		durationText(time.Duration(pin.TimeoutSeconds)*time.Second), counting(int(pin.Retries), "further attempt"))
	if len(pin.GPUProducts) > 0 {
		text += ", on " + strings.Join(pin.GPUProducts, " or ")
	}
	return text
}

// group is outcomes that went wrong in the same way.
type group struct {
	text    string
	indexes []int
}

var numbers = regexp.MustCompile(`0x[0-9a-fA-F]+|[0-9]+(\.[0-9]+)?`)

// grouped puts the same errors together; what differs in numbers alone is the same. The most frequent come first.
func grouped(all []outcome) []group {
	byKey := map[string]*group{}
	var order []*group
	for i := range all {
		o := &all[i]
		text := o.Status
		if o.Error != nil {
			text = oneLine(strings.SplitN(strings.TrimSpace(errorText(o.Error)), "\n", 2)[0])
		}
		key := o.Status + numbers.ReplaceAllString(text, "#")
		if byKey[key] == nil {
			byKey[key] = &group{text: text}
			order = append(order, byKey[key])
		}
		byKey[key].indexes = append(byKey[key].indexes, o.Index)
	}
	slices.SortStableFunc(order, func(a, b *group) int { return cmp.Compare(len(b.indexes), len(a.indexes)) })
	groups := make([]group, len(order))
	for i, g := range order {
		groups[i] = *g
	}
	return groups
}

// indexesText is a list of indexes, compressed: "3,17-20", cut after so many parts.
func indexesText(indexes []int, most int) string {
	var parts []string
	for i := 0; i < len(indexes); {
		j := i
		for j+1 < len(indexes) && indexes[j+1] == indexes[j]+1 {
			j++
		}
		if len(parts) == most {
			return strings.Join(append(parts, "…"), ",")
		}
		part := strconv.Itoa(indexes[i])
		if j > i {
			part += "-" + strconv.Itoa(indexes[j])
		}
		parts = append(parts, part)
		i = j + 1
	}
	return strings.Join(parts, ",")
}

// describeErrors shows the most frequent errors. Where results cannot be read, it says so and the rest is shown still.
func (c *cluster) describeErrors(ctx context.Context, name string) {
	s, err := c.subresources(ctx)
	var all []outcome
	if err == nil {
		err = c.resultsReader(s, name).read(ctx, wanted{failed: true, limit: errorsRead}, func(o *outcome) error {
			kept := *o
			kept.raw = nil
			all = append(all, kept)
			return nil
		})
	}
	if err != nil {
		c.o.out("\nErrors: they cannot be read: %s\n", sentence(err))
		return
	}
	groups := grouped(all)
	c.o.out("\nErrors:\n")
	for i, g := range groups {
		if i == errorsShown {
			c.o.out("  … and %s\n", counting(len(groups)-i, "other kind"))
			break
		}
		c.o.out("  %5d×  %s\n          inputs %s\n", len(g.indexes), cutTo(g.text, 160), indexesText(g.indexes, 8))
	}
	if len(all) == errorsRead {
		c.o.out("  (of the first %d that did not succeed)\n", errorsRead)
	}
}

func workerRows(pods []corev1.Pod) [][]string {
	rows := [][]string{{"  POD", "PHASE", "NODE", "AGE", "WHY"}}
	for i, pod := range pods {
		if i == workersShown {
			rows = append(rows, []string{fmt.Sprintf("  … and %d more", len(pods)-i)})
			break
		}
		rows = append(rows, []string{"  " + pod.Name, string(pod.Status.Phase), firstOf(pod.Spec.NodeName, "-"), strings.TrimSuffix(ago(pod.CreationTimestamp.Time), " ago"), podTrouble(&pod)})
	}
	return rows
}

// podTrouble is why a pod does not run.
func podTrouble(pod *corev1.Pod) string {
	for _, status := range pod.Status.ContainerStatuses {
		if w := status.State.Waiting; w != nil {
			return cutTo(oneLine(strings.Trim(w.Reason+": "+w.Message, ": ")), 120)
		}
		if t := status.State.Terminated; t != nil && t.ExitCode != 0 {
			return fmt.Sprintf("%s, exit code %d", t.Reason, t.ExitCode)
		}
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
			return cutTo(oneLine(condition.Message), 120)
		}
	}
	return ""
}

// describeEvents shows what happened last to objects.
func (c *cluster) describeEvents(ctx context.Context, namespace string, uids []string) {
	var all []corev1.Event
	for _, uid := range uids {
		if uid == "" {
			continue
		}
		events := &corev1.EventList{}
		if c.List(ctx, events, client.InNamespace(namespace), client.MatchingFields{"involvedObject.uid": uid}, client.Limit(100)) == nil {
			for _, event := range events.Items {
				// How a pod came to be is of no interest where it came to be.
				if event.Type == corev1.EventTypeWarning || event.InvolvedObject.Kind != "Pod" {
					all = append(all, event)
				}
			}
		}
	}
	if len(all) == 0 {
		return
	}
	slices.SortStableFunc(all, func(a, b corev1.Event) int { return when(a).Compare(when(b)) })
	if len(all) > eventsShown {
		all = all[len(all)-eventsShown:]
	}
	rows := [][]string{}
	for _, event := range all {
		count := max(event.Count, 1)
		if event.Series != nil {
			count = event.Series.Count
		}
		times := ""
		if count > 1 {
			times = fmt.Sprintf(" (%d times)", count)
		}
		rows = append(rows, []string{"  " + ago(when(event)), event.Type, strings.ToLower(event.InvolvedObject.Kind) + "/" + event.InvolvedObject.Name, event.Reason, cutTo(oneLine(event.Message), 140) + times})
	}
	c.o.out("\nEvents:\n")
	_ = columns(c.o.streams.Out, rows)
}

func when(event corev1.Event) time.Time {
	switch {
	case event.Series != nil && !event.Series.LastObservedTime.IsZero():
		return event.Series.LastObservedTime.Time
	case !event.LastTimestamp.IsZero():
		return event.LastTimestamp.Time
	case !event.EventTime.IsZero():
		return event.EventTime.Time
	}
	return event.CreationTimestamp.Time
}

func (c *cluster) describeFunction(ctx context.Context, name string) error {
	function, err := c.function(ctx, name)
	if err != nil {
		return err
	}
	ns := c.namespaceFlag()
	p := &page{out: c.o.streams.Out}
	p.line("Function", "%s in the namespace %s, made %s", function.Name, function.Namespace, ago(function.CreationTimestamp.Time))
	if function.Spec.Name != "" {
		p.line("Name", "%s", function.Spec.Name)
	}
	status := "not ready"
	if meta.IsStatusConditionTrue(function.Status.Conditions, v1alpha1.ConditionReady) {
		status = "ready"
	}
	p.line("Status", "%s", status)
	found := adviceForFunction(function, ns)
	p.line("What is wrong", "%s", found.wrong)
	p.line("What to do", "%s", found.todo)
	p.line("Code", "%s, %s", function.Spec.Runtime, codeLine(function))
	image := function.Spec.Image
	if function.Status.Revision != nil {
		image += " (" + function.Status.Revision.RegistryPath + ")"
	}
	p.line("Image", "%s", image)
	if function.Status.Revision != nil {
		p.line("Revision", "%s", function.Status.Revision.Name)
	}
	if owner := gitOpsOwner(function); owner != "" {
		p.line("Kept by", "%s: change it there", owner)
	}
	if err := p.flush(); err != nil {
		return err
	}
	table, err := c.tableOf(ctx, listQuery{kind: kindRun, namespace: c.namespace, function: name})
	if err == nil && len(table.Rows) > 0 {
		c.o.out("\nRuns (the last %d of %d):\n", min(runsShown, len(table.Rows)), len(table.Rows))
		table.Rows = table.Rows[max(0, len(table.Rows)-runsShown):]
		if err := printTable(c.o.streams.Out, table); err != nil {
			return err
		}
	} else if err == nil && found == (advice{}) {
		c.o.out("\nIt has no runs yet: kubectl function run %s --params \"((1,),)\" --follow%s\n", name, ns)
	}
	c.describeEvents(ctx, function.Namespace, []string{string(function.UID)})
	return nil
}

func codeLine(function *v1alpha1.Function) string {
	switch {
	case function.Spec.Code != nil:
		return counting(strings.Count(strings.TrimRight(*function.Spec.Code, "\n"), "\n")+1, "line")
	case function.Spec.CodeFrom != nil:
		return "from the ConfigMap " + configMapOf(specOf(function))
	}
	return "none"
}

// specOf is a spec as a document, for fields of later versions.
func specOf(function *v1alpha1.Function) map[string]any {
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(function)
	if err != nil {
		return nil
	}
	spec, _ := object["spec"].(map[string]any)
	return spec
}
