package controllers

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

const evilImage = "registry.example/evil"

// replaceRevision deletes a revision and makes it again under its name, with its labels and annotations and another image.
func replaceRevision(t *testing.T, w *world, revision *corev1.ConfigMap, change ...func(*corev1.ConfigMap)) *corev1.ConfigMap {
	t.Helper()
	ctx := context.Background()
	if err := w.client.Delete(ctx, revision.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	forged := revision.DeepCopy()
	forged.UID, forged.ResourceVersion = "forged", ""
	forged.Data[revisionKey] = strings.ReplaceAll(forged.Data[revisionKey], "sharedcloud/python:latest", evilImage)
	for _, act := range change {
		act(forged)
	}
	if err := w.client.Create(ctx, forged); err != nil {
		t.Fatal(err)
	}
	return forged
}

// onlyRevision is the one revision that there is.
func onlyRevision(t *testing.T, w *world) *corev1.ConfigMap {
	t.Helper()
	list := &corev1.ConfigMapList{}
	if err := w.client.List(context.Background(), list); err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 1 {
		t.Fatalf("%d ConfigMaps", len(list.Items))
	}
	return &list.Items[0]
}

func settled(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	w := newWorld(append(objects, makeImage("sharedcloud-catalogue", "python"), makeFunction("f").Obj())...)
	w.settle(t, clocktesting.NewFakePassiveClock(testNow))
	return w
}

//security:attack tenant with ConfigMaps | A revision is deleted and made again under its name, labels and annotations with another image or code | The Function's controller compares the content with the digest, deletes the impostor and makes the revision again before it is Ready
func TestARevisionThatWasReplacedIsMadeAgain(t *testing.T) {
	for name, change := range map[string]func(*corev1.ConfigMap){
		"with another image":        func(*corev1.ConfigMap) {},
		"with other code":           func(c *corev1.ConfigMap) { c.Data["handler.py"] = "evil" },
		"with another runner":       func(c *corev1.ConfigMap) { c.Data["runner.py"] = "evil" },
		"as one that may change":    func(c *corev1.ConfigMap) { c.Immutable = nil },
		"with its number forged":    func(c *corev1.ConfigMap) { c.Annotations[v1alpha1.AnnotationRevisionNumber] = "99999" },
		"with a file beside it":     func(c *corev1.ConfigMap) { c.Data["more.py"] = "evil" },
		"with the handler in bytes": func(c *corev1.ConfigMap) { c.BinaryData = map[string][]byte{"handler.py": []byte("evil")} },
	} {
		t.Run(name, func(t *testing.T) {
			w := settled(t)
			genuine := onlyRevision(t, w)
			replaceRevision(t, w, genuine, change)
			w.settle(t, clocktesting.NewFakePassiveClock(testNow))
			function := &v1alpha1.Function{}
			if err := w.client.Get(context.Background(), client.ObjectKey{Namespace: "team", Name: "f"}, function); err != nil {
				t.Fatal(err)
			}
			now := onlyRevision(t, w)
			if now.UID == "forged" || !functionReady(function) || function.Status.Revision.Digest != v1alpha1.ContentDigest(function.UID, now) ||
				now.Data[revisionKey] != genuine.Data[revisionKey] || now.Data["handler.py"] != genuine.Data["handler.py"] {
				t.Errorf("the Function stands by %+v, and there is %v", function.Status.Revision, now.Data)
			}
		})
	}
}

//security:attack tenant with ConfigMaps | Something takes the name of a revision without being one | The Function is not Ready and says so
func TestWhatHasTheNameOfARevisionIsNone(t *testing.T) {
	w := settled(t)
	replaceRevision(t, w, onlyRevision(t, w), func(c *corev1.ConfigMap) { c.Labels, c.Annotations = nil, nil })
	r := NewFunctionReconciler(w.client, w.client, testLookup, noEvents{}, NewMetrics(prometheus.NewRegistry()), clocktesting.NewFakePassiveClock(testNow), testOptions)
	result, err := r.Reconcile(context.Background(), request("team", "f"))
	if err != nil || result.RequeueAfter == 0 {
		t.Fatalf("%+v, %v", result, err)
	}
	function := &v1alpha1.Function{}
	if err := w.client.Get(context.Background(), client.ObjectKey{Namespace: "team", Name: "f"}, function); err != nil {
		t.Fatal(err)
	}
	if functionReady(function) || function.Status.Revision != nil || onlyRevision(t, w).UID != "forged" {
		t.Errorf("status %+v", function.Status)
	}
}

//security:attack tenant with ConfigMaps | A revision is replaced before, while and after a run pins it | No Job is made of the replacement: the run pins again before anything was executed, and ends after that
func TestARunNeverExecutesAReplacedRevision(t *testing.T) {
	revision := testRevision(t)
	digest := v1alpha1.ContentDigest("uid-of-f", revision)
	pinned := func(change func(*v1alpha1.FunctionRun)) *v1alpha1.FunctionRun {
		return makeRun("r").Inputs(1).Pinned(revision.Name, 1, 1, 0).Job(1, "").With(func(r *v1alpha1.FunctionRun) { r.Status.Revision.Digest = digest }).With(change).Obj()
	}
	for name, tc := range map[string]struct {
		change     func(*v1alpha1.FunctionRun)
		forge      []func(*corev1.ConfigMap)
		job        bool
		wantPinned bool
		wantEnding bool
	}{
		"before anything was executed it pins again":         {change: func(*v1alpha1.FunctionRun) {}},
		"also where it was pinned before there were digests": {change: func(r *v1alpha1.FunctionRun) { r.Status.Revision.Digest = "" }},
		"also where only the immutability is gone": {change: func(*v1alpha1.FunctionRun) {}, forge: []func(*corev1.ConfigMap){func(c *corev1.ConfigMap) {
			c.Data, c.Immutable = revision.Data, nil
		}}},
		"before its next Job it ends":   {change: func(r *v1alpha1.FunctionRun) { r.Status.StartTime = &metav1.Time{Time: testNow} }, wantPinned: true, wantEnding: true},
		"while its Job works it ends":   {change: func(r *v1alpha1.FunctionRun) { r.Status.Job.UID = "job" }, job: true, wantPinned: true, wantEnding: true},
		"and a genuine one is executed": {change: func(*v1alpha1.FunctionRun) {}, forge: []func(*corev1.ConfigMap){func(c *corev1.ConfigMap) { c.Data = revision.Data }}, job: false, wantPinned: true},
	} {
		t.Run(name, func(t *testing.T) {
			run := pinned(tc.change)
			status := run.DeepCopy()
			run.Status = v1alpha1.FunctionRunStatus{}
			objects := []client.Object{run, testRevision(t)}
			if tc.job {
				objects = append(objects, ownJob(status, "1", "0", "0"))
			}
			w := newWorld(objects...)
			if err := w.client.Status().Apply(context.Background(), runStatus(status), client.FieldOwner(v1alpha1.FieldManagerController)); err != nil {
				t.Fatal(err)
			}
			replaceRevision(t, w, testRevision(t), tc.forge...)
			got, _ := look(t, w, testNow)
			jobs := &batchv1.JobList{}
			if err := w.client.List(context.Background(), jobs); err != nil {
				t.Fatal(err)
			}
			for _, job := range jobs.Items {
				for _, container := range job.Spec.Template.Spec.Containers {
					if container.Image == evilImage {
						t.Error("a Job runs the replacement")
					}
				}
			}
			if (got.Status.Revision != nil) != tc.wantPinned || runEnding(got) != tc.wantEnding {
				t.Errorf("pinned %+v, %+v", got.Status.Revision, got.Status.Conditions)
			}
			if tc.wantEnding && conditionOf(got, v1alpha1.ConditionEnding).Reason != v1alpha1.ReasonRevisionChanged {
				t.Errorf("it ends for %+v", conditionOf(got, v1alpha1.ConditionEnding))
			}
		})
	}
}

//security:attack tenant | The FunctionImage changes or another one shadows it between the Function's pass and the run's | The run is pinned only when the path in the revision is that of the image as it is
func TestTheImageIsComparedWhenARunIsPinned(t *testing.T) {
	w := settled(t)
	ctx := context.Background()
	nearer := makeImage("team", "python")
	nearer.Spec.RegistryPath = "team/python"
	if err := w.client.Create(ctx, nearer); err != nil {
		t.Fatal(err)
	}
	if err := w.client.Create(ctx, makeRun("r").Inputs(1).Obj()); err != nil {
		t.Fatal(err)
	}
	got, wait := look(t, w, testNow)
	if got.Status.Revision != nil || wait == 0 || conditionOf(got, v1alpha1.ConditionReady).Reason != v1alpha1.ReasonFunctionNotReady {
		t.Fatalf("pinned %+v, %+v", got.Status.Revision, got.Status.Conditions)
	}
	w.settle(t, clocktesting.NewFakePassiveClock(testNow))
	if got, _ = look(t, w, testNow); got.Status.Revision == nil || got.Status.Revision.RegistryPath != "team/python" {
		t.Fatalf("pinned %+v", got.Status.Revision)
	}
	// Later nothing is compared with the image any more.
	if err := w.client.Delete(ctx, nearer); err != nil {
		t.Fatal(err)
	}
	if got, _ = look(t, w, testNow.Add(time.Minute)); runEnding(got) || got.Status.Revision == nil {
		t.Errorf("%+v", got.Status)
	}
}

//security:attack tenant with ConfigMaps | The copy of a run's inputs is made by hand before the manager makes it, with the run as owner | Only an immutable copy with the operator's label, which a policy keeps from others, is taken
//security:attack tenant with ConfigMaps | The copy of a run's inputs is replaced after the run was pinned | Its hash is compared before each Job: the run ends with InputsUnavailable
func TestTheCopyOfTheInputsIsBelievedByItsHash(t *testing.T) {
	ctx := context.Background()
	source := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "source"}, Data: map[string]string{"inputs.json": "[[1],[2]]"}}
	run := makeRun("r").With(func(r *v1alpha1.FunctionRun) {
		r.Spec.ParametersFrom = &v1alpha1.ParametersSource{ConfigMapKeyRef: &v1alpha1.ConfigMapKeyRef{Name: "source", Key: "inputs.json"}}
	}).Obj()
	forged := inputsFor(run, "r-inputs", source)
	forged.Data[v1alpha1.InputsKey] = "[[7]]"
	delete(forged.Labels, v1alpha1.LabelInputs)

	w := newWorld(makeImage("sharedcloud-catalogue", "python"), makeFunction("f").Obj(), run, source, forged)
	w.settle(t, clocktesting.NewFakePassiveClock(testNow))
	got, _ := look(t, w, testNow)
	if got.Status.Revision != nil || conditionOf(got, v1alpha1.ConditionReady).Reason != v1alpha1.ReasonInputsMissing {
		t.Fatalf("a copy that somebody made was taken: %+v", got.Status)
	}
	if err := w.client.Delete(ctx, forged); err != nil {
		t.Fatal(err)
	}
	look(t, w, testNow)
	got, _ = look(t, w, testNow)
	kept := &corev1.ConfigMap{}
	if err := w.client.Get(ctx, client.ObjectKey{Namespace: "team", Name: "r-inputs"}, kept); err != nil {
		t.Fatal(err)
	}
	if got.Status.Revision == nil || got.Status.Revision.InputsDigest != v1alpha1.ContentDigest(run.UID, kept) {
		t.Fatalf("pinned %+v", got.Status.Revision)
	}

	// The first Job is gone; before the next one the inputs are another's.
	jobs := &batchv1.JobList{}
	if err := w.client.List(ctx, jobs); err != nil || len(jobs.Items) != 1 {
		t.Fatalf("%d Jobs, %v", len(jobs.Items), err)
	}
	if err := w.client.Delete(ctx, &jobs.Items[0]); err != nil {
		t.Fatal(err)
	}
	if err := w.client.Delete(ctx, kept.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	replacement := kept.DeepCopy()
	replacement.UID, replacement.ResourceVersion, replacement.Data[v1alpha1.InputsKey] = "replacement", "", "[[7],[8]]"
	if err := w.client.Create(ctx, replacement); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		got, _ = look(t, w, testNow)
	}
	if ending := conditionOf(got, v1alpha1.ConditionEnding); ending.Reason != v1alpha1.ReasonInputsUnavailable {
		t.Errorf("it ends for %+v", ending)
	}
	if err := w.client.List(ctx, jobs); err != nil || len(jobs.Items) != 0 {
		t.Errorf("%d Jobs, %v", len(jobs.Items), err)
	}
}

//security:attack tenant with ConfigMaps | A revision's settings hold what no Function may say: unknown fields, doubled keys, paths that climb, a foreign namespace's image, volumes of the node | They are refused when they are read
func TestSettingsOfARevisionAreHostileInput(t *testing.T) {
	const files = `"handlerFile":"handler.py","runnerFile":"runner.py"`
	const image = `"image":{"namespace":"team","name":"python","registryPath":"p","pullPolicy":"Always"}`
	const rest = `"runtime":"python311","command":["python3"],"gpuResource":"nvidia.com/gpu","gpus":0,"workers":1,"timeoutSeconds":1,"retries":0`
	for name, tc := range map[string]struct {
		text string
		says string
	}{
		"what an operator writes":         {text: `{` + rest + `,` + image + `,` + files + `}`},
		"a field that there is not":       {text: `{` + rest + `,` + image + `,` + files + `,"hostNetwork":true}`, says: "hostNetwork"},
		"a field twice":                   {text: `{` + rest + `,` + image + `,` + image + `,` + files + `}`, says: "duplicate"},
		"a field in another case":         {text: `{` + rest + `,"Image":{},` + image + `,` + files + `}`, says: "Image"},
		"something behind it":             {text: `{` + rest + `,` + image + `,` + files + `}{}`, says: "decoding"},
		"no object":                       {text: `null`, says: "workers is 0"},
		"too deep":                        {text: `{"pod":{"nodeSelector":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}}`, says: "decoding"},
		"a file that climbs":              {text: `{` + rest + `,` + image + `,"handlerFile":"..","runnerFile":"runner.py"}`, says: "no name of a file"},
		"a path":                          {text: `{` + rest + `,` + image + `,"handlerFile":"a/b","runnerFile":"runner.py"}`, says: "no name of a file"},
		"a file that is not there":        {text: `{` + rest + `,` + image + `,"handlerFile":"other.py","runnerFile":"runner.py"}`, says: "no file other.py"},
		"one file in two parts":           {text: `{` + rest + `,` + image + `,"handlerFile":"runner.py","runnerFile":"runner.py"}`, says: "twice"},
		"another namespace's image":       {text: `{` + rest + `,` + strings.Replace(image, `"team"`, `"other"`, 1) + `,` + files + `}`, says: "namespace"},
		"an image with a line break":      {text: `{` + rest + `,` + strings.Replace(image, `"p"`, `"p\n"`, 1) + `,` + files + `}`, says: "no path"},
		"a policy that there is not":      {text: `{` + rest + `,` + strings.Replace(image, "Always", "Maybe", 1) + `,` + files + `}`, says: "policy"},
		"more GPUs than there may be":     {text: `{` + strings.Replace(rest, `"gpus":0`, `"gpus":65`, 1) + `,` + image + `,` + files + `}`, says: "gpus is 65"},
		"a number that is too large":      {text: `{` + strings.Replace(rest, `"gpus":0`, `"gpus":3000000000`, 1) + `,` + image + `,` + files + `}`, says: "decoding"},
		"no worker":                       {text: `{` + strings.Replace(rest, `"workers":1`, `"workers":0`, 1) + `,` + image + `,` + files + `}`, says: "workers"},
		"the processor as a GPU":          {text: `{` + strings.Replace(rest, "nvidia.com/gpu", "cpu", 1) + `,` + image + `,` + files + `}`, says: "GPUs"},
		"no command":                      {text: `{` + strings.Replace(rest, `["python3"]`, `[]`, 1) + `,` + image + `,` + files + `}`, says: "command"},
		"a volume of two kinds":           {text: `{` + rest + `,` + image + `,` + files + `,"pod":{"volumes":[{"name":"v","secret":{"name":"s"},"configMap":{"name":"s"}}]}}`, says: "kinds"},
		"a volume of the node":            {text: `{` + rest + `,` + image + `,` + files + `,"pod":{"volumes":[{"name":"v","hostPath":{"path":"/"}}]}}`, says: "hostPath"},
		"the operator's volume":           {text: `{` + rest + `,` + image + `,` + files + `,"pod":{"volumes":[{"name":"sharedcloud-worker","emptyDir":{}}]}}`, says: "operator's own"},
		"a mount over the operator's own": {text: `{` + rest + `,` + image + `,` + files + `,"pod":{"volumes":[{"name":"v","emptyDir":{}}],"volumeMounts":[{"name":"v","mountPath":"/a/../sharedcloud/code"}]}}`, says: "nothing may be mounted"},
		"a mount of nothing":              {text: `{` + rest + `,` + image + `,` + files + `,"pod":{"volumeMounts":[{"name":"v","mountPath":"/a"}]}}`, says: "no volume"},
		"the operator's variable":         {text: `{` + rest + `,` + image + `,` + files + `,"pod":{"env":[{"name":"SHAREDCLOUD_TOKEN_FILE"}]}}`, says: "operator's own"},
		"a negative user":                 {text: `{` + rest + `,` + image + `,` + files + `,"pod":{"runAsUser":-1}}`, says: "no user"},
	} {
		t.Run(name, func(t *testing.T) {
			revision := &corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{Namespace: "team", UID: "revision"}, Immutable: ptr.To(true),
				Data: map[string]string{"handler.py": "code", "runner.py": "runner", revisionKey: tc.text},
			}
			digest := v1alpha1.ContentDigest("uid-of-f", revision)
			revision.Name = revisionName("f", hashIn(digest))
			w := newWorld(revision)
			_, err := newRevisionReader(w.client, w.client, testOptions).readNow(context.Background(), revisionRef{"team", revision.Name, digest, "uid-of-f"})
			if tc.says == "" && err != nil || tc.says != "" && (!notTheRevision(err) || !strings.Contains(err.Error(), tc.says)) {
				t.Errorf("read: %v; want %q", err, tc.says)
			}
		})
	}
}

//security:attack tenant with pods | A Job is made by hand under the name of the run's next one, owned by the run | It is not taken for the run's without the label that a policy keeps from others
func TestAJobMadeByHandIsNotTheRuns(t *testing.T) {
	run := makeRun("r").Inputs(1).Pinned("", 1, 1, 0).Job(1, "").Obj()
	revision := testRevision(t)
	run.Status.Revision.Name = revision.Name
	forged := ownJob(run, "1", "0", "0")
	for name, labels := range map[string]map[string]string{"no label": nil, "another run's": {v1alpha1.LabelRunUID: "other"}} {
		forged.Labels = labels
		got, _ := look(t, newWorld(run.DeepCopy(), revision.DeepCopy(), forged.DeepCopy()), testNow)
		if reason := conditionOf(got, v1alpha1.ConditionReady).Reason; got.Status.Job.UID != "" || reason != v1alpha1.ReasonJobNameTaken {
			t.Errorf("%s: the Job %q is recorded, %s", name, got.Status.Job.UID, reason)
		}
	}
}

//security:attack tenant with pods | Pods with a run's labels that are not of its Job report an image's digest, or die | They count neither in what the run says nor in the digest of any FunctionImage
func TestPodsThatOnlySayThatTheyAreWorkers(t *testing.T) {
	ctx := context.Background()
	run := makeRun("r").Inputs(1).Pinned("f-0123456789", 1, 1, 0).Job(1, "job").Obj()
	worker := func(name string, uid types.UID, digest string) *corev1.Pod {
		pod := makePod(name).Running().With(func(p *corev1.Pod) {
			p.Labels[v1alpha1.LabelRun], p.Labels[v1alpha1.LabelRunUID] = "r", "uid-of-r"
			p.Annotations = map[string]string{annotationImage: "sharedcloud-catalogue/python"}
			p.OwnerReferences[0].UID = uid
			p.Status.ContainerStatuses[0].ImageID = digest
		}).Obj()
		return &pod
	}
	image := makeImage("sharedcloud-catalogue", "python")
	key := client.ObjectKeyFromObject(image)
	digestWith := func(pods ...client.Object) (ofRun, ofImage string, c crew) {
		t.Helper()
		w := newWorld(append(pods, run.DeepCopy(), image.DeepCopy(), ownJob(run, "1", "0", "0"))...)
		images := NewImageReconciler(w.client, w.client, testLookup, noEvents{}, clocktesting.NewFakePassiveClock(testNow))
		if _, err := images.Reconcile(ctx, request(key.Namespace, key.Name)); err != nil {
			t.Fatal(err)
		}
		stored := &v1alpha1.FunctionImage{}
		if err := w.client.Get(ctx, key, stored); err != nil {
			t.Fatal(err)
		}
		got, _ := look(t, w, testNow)
		list := &corev1.PodList{}
		if err := w.client.List(ctx, list); err != nil {
			t.Fatal(err)
		}
		return got.Status.ImageDigest, stored.Status.Digest, crewOf(list.Items, "job", testNow)
	}
	if ofRun, ofImage, c := digestWith(worker("a-forged", "another", "sha256:evil")); ofRun != "" || ofImage != "" || c.running != 0 {
		t.Errorf("a forged pod counts: %q, %q, %+v", ofRun, ofImage, c)
	}
	if ofRun, ofImage, c := digestWith(worker("a-forged", "another", "sha256:evil"), worker("worker", "job", "sha256:good")); ofRun != "sha256:good" || ofImage != "sha256:good" || c.running != 1 {
		t.Errorf("a worker does not count: %q, %q, %+v", ofRun, ofImage, c)
	}
}
