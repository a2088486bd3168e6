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
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

const (
	// maxErrorsRead limits how many outcomes are read to find the most frequent errors.
	maxErrorsRead = 5000
	// maxErrors, maxWorkers, maxEvents and maxRuns limit what is printed.
	maxErrors, maxWorkers, maxEvents, maxRuns = 5, 12, 10, 5
)

func newDescribe(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "describe [run | function] NAME",
		Short: "Show the state of a run or a function, its problem and what to do",
		Long: `Show the state of a run or a function. If it has a problem, the output says what to do about it. A NAME without a kind is that of a
run, or of a function if there is no such run.`,
		Example: `  kubectl function describe train-x7k2p
  kubectl function describe function train`,
		Args: func(command *cobra.Command, args []string) error {
			if len(args) == 0 || len(args) > 2 {
				return usageError("%s requires the name of a run or a function: %s", command.CommandPath(), command.UseLine())
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
				return usageError("%q is not a kind that describe supports; it must be run or function", args[0])
			case k == kindRun:
				return c.describeRun(ctx, args[1])
			}
			return c.describeFunction(ctx, args[1])
		},
	}
}

// describeEither describes the run of that name, or else the function of that name.
func (c *cluster) describeEither(ctx context.Context, name string) error {
	err := c.describeRun(ctx, name)
	if !isObjectNotFound(err) {
		return err
	}
	if err := c.describeFunction(ctx, name); !isObjectNotFound(err) {
		return err
	}
	return clusterError("there is no run and no function %q in the namespace %s: `kubectl function list runs` and `kubectl function list` list them", name, c.namespace)
}

// page prints lines of "Name: value".
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

// wrapped breaks a text into lines of at most width bytes, between words.
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
	s := snapshotOf(run)
	p := &page{out: c.o.streams.Out}
	p.line("Run", "%s in the namespace %s, created %s", run.Name, run.Namespace, ago(run.CreationTimestamp.Time))
	p.line("Function", "%s", run.Spec.FunctionRef.Name)
	p.line("Status", "%s", statusLine(run, s))
	found := adviceForRun(run, ns)
	p.line("What is wrong", "%s", found.wrong)
	p.line("What to do", "%s", found.todo)
	if pin := run.Status.Revision; pin != nil {
		p.line("Revision", "%s, image %s%s", pin.Name, pin.RegistryPath, digestText(run.Status.ImageDigest))
		p.line("Settings", "%s", settingsLine(pin))
	}
	if of := run.Labels[v1alpha1.LabelRerunOf]; of != "" {
		p.line("Rerun of", "%s, the inputs %s of it", of, firstOf(run.Annotations[v1alpha1.AnnotationRerunIndexes], "that did not succeed"))
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
	p.line("Kept until", "%s", keptLine(run))
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
			c.o.out("\nJob: %s, %d active and %d failed pods\n", job.Name, job.Status.Active, job.Status.Failed)
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

// keptLine is until when a finished run and its results are kept. It is empty without a limit.
func keptLine(run *v1alpha1.FunctionRun) string {
	var parts []string
	if until, limited := run.ResultsExpirationTime(); resultsDeleted(run) {
		parts = append(parts, "results deleted (resultsTTLSecondsAfterFinished)")
	} else if limited {
		parts = append(parts, "results until "+until.UTC().Format(time.RFC3339)+" (resultsTTLSecondsAfterFinished)")
	}
	if until, limited := run.ExpirationTime(); limited {
		parts = append(parts, "run until "+until.UTC().Format(time.RFC3339)+" (ttlSecondsAfterFinished)")
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

// settingsLine is how the workers of a run execute its inputs.
func settingsLine(pin *v1alpha1.PinnedRevision) string {
	text := fmt.Sprintf("%s with %s each, time limit %s per input, %s", count(int(pin.Workers), "worker"), count(int(pin.GPUs), "GPU"),
		durationText(time.Duration(pin.TimeoutSeconds)*time.Second), retriesText(pin.Retries))
	if len(pin.GPUProducts) > 0 {
		text += ", on " + strings.Join(pin.GPUProducts, " or ")
	}
	return text
}

func retriesText(retries int32) string {
	if retries == 1 {
		return "1 retry"
	}
	return fmt.Sprintf("%d retries", retries)
}

// group is outcomes with the same error.
type group struct {
	text    string
	indexes []int
}

var numbers = regexp.MustCompile(`0x[0-9a-fA-F]+|[0-9]+(\.[0-9]+)?`)

// grouped groups outcomes by their error, the most frequent first. Errors that differ only in numbers are the same.
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

// indexesText is a compressed list of indexes, "3,17-20", cut after maxParts parts.
func indexesText(indexes []int, maxParts int) string {
	var parts []string
	for i := 0; i < len(indexes); {
		j := i
		for j+1 < len(indexes) && indexes[j+1] == indexes[j]+1 {
			j++
		}
		if len(parts) == maxParts {
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

// describeErrors prints the most frequent errors. If it cannot read the results, it prints why, and describe continues.
func (c *cluster) describeErrors(ctx context.Context, name string) {
	s, err := c.subresources(ctx)
	var all []outcome
	if err == nil {
		err = c.resultsReader(s, name).read(ctx, selection{failed: true, limit: maxErrorsRead}, func(o *outcome) error {
			kept := *o
			kept.raw = nil
			all = append(all, kept)
			return nil
		})
	}
	if err != nil {
		c.o.out("\nErrors: cannot be read: %s\n", userMessage(err))
		return
	}
	groups := grouped(all)
	c.o.out("\nErrors:\n")
	for i, g := range groups {
		if i == maxErrors {
			c.o.out("  … and %s\n", count(len(groups)-i, "other error"))
			break
		}
		c.o.out("  %5d×  %s\n          inputs %s\n", len(g.indexes), cutTo(g.text, 160), indexesText(g.indexes, 8))
	}
	if len(all) == maxErrorsRead {
		c.o.out("  (among the first %d inputs that did not succeed)\n", maxErrorsRead)
	}
}

func workerRows(pods []corev1.Pod) [][]string {
	rows := [][]string{{"  POD", "PHASE", "NODE", "AGE", "REASON"}}
	for i, pod := range pods {
		if i == maxWorkers {
			rows = append(rows, []string{fmt.Sprintf("  … and %d more", len(pods)-i)})
			break
		}
		rows = append(rows, []string{"  " + pod.Name, string(pod.Status.Phase), firstOf(pod.Spec.NodeName, "-"), strings.TrimSuffix(ago(pod.CreationTimestamp.Time), " ago"), podProblem(&pod)})
	}
	return rows
}

// podProblem is why a pod does not run, or why it failed.
func podProblem(pod *corev1.Pod) string {
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

// describeEvents prints the latest events of objects.
func (c *cluster) describeEvents(ctx context.Context, namespace string, uids []string) {
	var all []corev1.Event
	for _, uid := range uids {
		if uid == "" {
			continue
		}
		events := &corev1.EventList{}
		if c.List(ctx, events, client.InNamespace(namespace), client.MatchingFields{"involvedObject.uid": uid}, client.Limit(100)) == nil {
			for _, event := range events.Items {
				// The normal events of a pod only report that it starts.
				if event.Type == corev1.EventTypeWarning || event.InvolvedObject.Kind != "Pod" {
					all = append(all, event)
				}
			}
		}
	}
	if len(all) == 0 {
		return
	}
	slices.SortStableFunc(all, func(a, b corev1.Event) int { return eventTime(a).Compare(eventTime(b)) })
	if len(all) > maxEvents {
		all = all[len(all)-maxEvents:]
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
		rows = append(rows, []string{"  " + ago(eventTime(event)), event.Type, strings.ToLower(event.InvolvedObject.Kind) + "/" + event.InvolvedObject.Name, event.Reason, cutTo(oneLine(event.Message), 140) + times})
	}
	c.o.out("\nEvents:\n")
	_ = columns(c.o.streams.Out, rows)
}

func eventTime(event corev1.Event) time.Time {
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
