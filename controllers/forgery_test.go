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
	"sharedcloud.io/function-operator/controllers/status"
	"sharedcloud.io/function-operator/controllers/workload"
	"sharedcloud.io/function-operator/test/builders"
)

const evilImage = "registry.example/evil"

// replaceRevision deletes a revision and creates it again under its name, with its labels and annotations and another image.
func replaceRevision(t *testing.T, w *fakeCluster, revision *corev1.ConfigMap, change ...func(*corev1.ConfigMap)) *corev1.ConfigMap {
	t.Helper()
	ctx := context.Background()
	if err := w.client.Delete(ctx, revision.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	forged := revision.DeepCopy()
	forged.UID, forged.ResourceVersion = "forged", ""
	forged.Data[workload.RevisionKey] = strings.ReplaceAll(forged.Data[workload.RevisionKey], "sharedcloud/python:latest", evilImage)
	for _, act := range change {
		act(forged)
	}
	if err := w.client.Create(ctx, forged); err != nil {
		t.Fatal(err)
	}
	return forged
}

// onlyRevision is the only revision in the cluster.
func onlyRevision(t *testing.T, w *fakeCluster) *corev1.ConfigMap {
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

func settled(t *testing.T, objects ...client.Object) *fakeCluster {
	t.Helper()
	w := newCluster(append(objects, builders.MakeImage("sharedcloud-catalogue", "python"), builders.MakeFunction("f").Obj())...)
	w.settle(t, clocktesting.NewFakePassiveClock(builders.Now))
	return w
}

//security:attack tenant with ConfigMaps | A revision is deleted and created again under its name, labels and annotations with another image or code | The Function's controller compares the content with the digest, deletes the forgery and creates the revision again before it is Ready
func TestAReplacedRevisionIsCreatedAgain(t *testing.T) {
	for name, change := range map[string]func(*corev1.ConfigMap){
		"with another image":        func(*corev1.ConfigMap) {},
		"with other code":           func(c *corev1.ConfigMap) { c.Data["handler.py"] = "evil" },
		"with another runner":       func(c *corev1.ConfigMap) { c.Data["runner.py"] = "evil" },
		"as a mutable ConfigMap":    func(c *corev1.ConfigMap) { c.Immutable = nil },
		"with its number forged":    func(c *corev1.ConfigMap) { c.Annotations[v1alpha1.AnnotationRevisionNumber] = "99999" },
		"with an additional file":   func(c *corev1.ConfigMap) { c.Data["more.py"] = "evil" },
		"with the handler in bytes": func(c *corev1.ConfigMap) { c.BinaryData = map[string][]byte{"handler.py": []byte("evil")} },
	} {
		t.Run(name, func(t *testing.T) {
			w := settled(t)
			genuine := onlyRevision(t, w)
			replaceRevision(t, w, genuine, change)
			w.settle(t, clocktesting.NewFakePassiveClock(builders.Now))
			function := &v1alpha1.Function{}
			if err := w.client.Get(context.Background(), client.ObjectKey{Namespace: "team", Name: "f"}, function); err != nil {
				t.Fatal(err)
			}
			now := onlyRevision(t, w)
			if now.UID == "forged" || !status.FunctionIsReady(function) || function.Status.Revision.Digest != v1alpha1.ContentDigest(function.UID, now) ||
				now.Data[workload.RevisionKey] != genuine.Data[workload.RevisionKey] || now.Data["handler.py"] != genuine.Data["handler.py"] {
				t.Errorf("the Function has the revision %+v, and the content is %v", function.Status.Revision, now.Data)
			}
		})
	}
}

//security:attack tenant with ConfigMaps | A ConfigMap that is not a revision takes the name of one | The Function is not Ready and reports it
func TestATakenRevisionNameIsReported(t *testing.T) {
	w := settled(t)
	replaceRevision(t, w, onlyRevision(t, w), func(c *corev1.ConfigMap) { c.Labels, c.Annotations = nil, nil })
	r := NewFunctionReconciler(w.client, w.client, builders.Lookup, noEvents{}, NewMetrics(prometheus.NewRegistry()), clocktesting.NewFakePassiveClock(builders.Now), testOptions)
	result, err := r.Reconcile(context.Background(), request("team", "f"))
	if err != nil || result.RequeueAfter == 0 {
		t.Fatalf("%+v, %v", result, err)
	}
	function := &v1alpha1.Function{}
	if err := w.client.Get(context.Background(), client.ObjectKey{Namespace: "team", Name: "f"}, function); err != nil {
		t.Fatal(err)
	}
	if status.FunctionIsReady(function) || function.Status.Revision != nil || onlyRevision(t, w).UID != "forged" {
		t.Errorf("status %+v", function.Status)
	}
}

//security:attack tenant with ConfigMaps | A revision is replaced before, while and after a run pins it | No Job is created from the replacement: the run pins again before anything was executed, and ends after that
func TestARunNeverExecutesAReplacedRevision(t *testing.T) {
	revision := testRevision(t)
	digest := v1alpha1.ContentDigest("uid-of-f", revision)
	makePinned := func(change func(*v1alpha1.FunctionRun)) *v1alpha1.FunctionRun {
		return builders.MakeRun("r").Inputs(1).Pinned(revision.Name, 1, 1, 0).Job(1, "").With(func(r *v1alpha1.FunctionRun) { r.Status.Revision.Digest = digest }).With(change).Obj()
	}
	for name, tc := range map[string]struct {
		change     func(*v1alpha1.FunctionRun)
		forge      []func(*corev1.ConfigMap)
		job        bool
		wantPinned bool
		wantEnding bool
	}{
		"it pins again before anything was executed": {change: func(*v1alpha1.FunctionRun) {}},
		"it pins again without a digest in the pin":  {change: func(r *v1alpha1.FunctionRun) { r.Status.Revision.Digest = "" }},
		"it pins again when only the immutability is gone": {change: func(*v1alpha1.FunctionRun) {}, forge: []func(*corev1.ConfigMap){func(c *corev1.ConfigMap) {
			c.Data, c.Immutable = revision.Data, nil
		}}},
		"it ends before its next Job": {change: func(r *v1alpha1.FunctionRun) { r.Status.StartTime = &metav1.Time{Time: builders.Now} }, wantPinned: true, wantEnding: true},
		"it ends while its Job runs":  {change: func(r *v1alpha1.FunctionRun) { r.Status.Job.UID = "job" }, job: true, wantPinned: true, wantEnding: true},
		"it executes a genuine copy":  {change: func(*v1alpha1.FunctionRun) {}, forge: []func(*corev1.ConfigMap){func(c *corev1.ConfigMap) { c.Data = revision.Data }}, job: false, wantPinned: true},
	} {
		t.Run(name, func(t *testing.T) {
			run := makePinned(tc.change)
			pinned := run.DeepCopy()
			run.Status = v1alpha1.FunctionRunStatus{}
			objects := []client.Object{run, testRevision(t)}
			if tc.job {
				objects = append(objects, ownJob(pinned, "1", "0", "0"))
			}
			w := newCluster(objects...)
			if err := w.client.Status().Apply(context.Background(), status.RunConfiguration(pinned), client.FieldOwner(v1alpha1.FieldManagerController)); err != nil {
				t.Fatal(err)
			}
			replaceRevision(t, w, testRevision(t), tc.forge...)
			got, _ := reconcileRun(t, w, builders.Now)
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
			if (got.Status.Revision != nil) != tc.wantPinned || status.RunEnding(got) != tc.wantEnding {
				t.Errorf("pinned %+v, %+v", got.Status.Revision, got.Status.Conditions)
			}
			if tc.wantEnding && conditionOf(got, v1alpha1.ConditionEnding).Reason != v1alpha1.ReasonRevisionChanged {
				t.Errorf("Ending is %+v", conditionOf(got, v1alpha1.ConditionEnding))
			}
		})
	}
}

//security:attack tenant | The FunctionImage changes or another one shadows it between the reconciliations of the Function and of the run | The run is pinned only when the path in the revision is that of the present image
func TestTheImageIsComparedBeforeARunIsPinned(t *testing.T) {
	w := settled(t)
	ctx := context.Background()
	shadow := builders.MakeImage("team", "python")
	shadow.Spec.RegistryPath = "team/python"
	if err := w.client.Create(ctx, shadow); err != nil {
		t.Fatal(err)
	}
	if err := w.client.Create(ctx, builders.MakeRun("r").Inputs(1).Obj()); err != nil {
		t.Fatal(err)
	}
	got, wait := reconcileRun(t, w, builders.Now)
	if got.Status.Revision != nil || wait == 0 || conditionOf(got, v1alpha1.ConditionReady).Reason != v1alpha1.ReasonFunctionNotReady {
		t.Fatalf("pinned %+v, %+v", got.Status.Revision, got.Status.Conditions)
	}
	w.settle(t, clocktesting.NewFakePassiveClock(builders.Now))
	if got, _ = reconcileRun(t, w, builders.Now); got.Status.Revision == nil || got.Status.Revision.RegistryPath != "team/python" {
		t.Fatalf("pinned %+v", got.Status.Revision)
	}
	// After the pin the image is not compared any more.
	if err := w.client.Delete(ctx, shadow); err != nil {
		t.Fatal(err)
	}
	if got, _ = reconcileRun(t, w, builders.Now.Add(time.Minute)); status.RunEnding(got) || got.Status.Revision == nil {
		t.Errorf("%+v", got.Status)
	}
}

//security:attack tenant with ConfigMaps | The copy of a run's inputs is created by a user before the manager creates it, with the run as owner | Only an immutable copy with the operator's label, which a policy reserves, is accepted
//security:attack tenant with ConfigMaps | The copy of a run's inputs is replaced after the run was pinned | Its hash is compared before each Job: the run ends with InputsUnavailable
func TestTheCopyOfTheInputsIsVerified(t *testing.T) {
	ctx := context.Background()
	source := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "source"}, Data: map[string]string{"inputs.json": "[[1],[2]]"}}
	run := builders.MakeRun("r").With(func(r *v1alpha1.FunctionRun) {
		r.Spec.ParametersFrom = &v1alpha1.ParametersSource{ConfigMapKeyRef: &v1alpha1.ConfigMapKeyRef{Name: "source", Key: "inputs.json"}}
	}).Obj()
	forged := workload.InputsFor(run, source)
	forged.Data[v1alpha1.InputsKey] = "[[7]]"
	delete(forged.Labels, v1alpha1.LabelInputs)

	w := newCluster(builders.MakeImage("sharedcloud-catalogue", "python"), builders.MakeFunction("f").Obj(), run, source, forged)
	w.settle(t, clocktesting.NewFakePassiveClock(builders.Now))
	got, _ := reconcileRun(t, w, builders.Now)
	if got.Status.Revision != nil || conditionOf(got, v1alpha1.ConditionReady).Reason != v1alpha1.ReasonInputsMissing {
		t.Fatalf("a copy without the label was accepted: %+v", got.Status)
	}
	if err := w.client.Delete(ctx, forged); err != nil {
		t.Fatal(err)
	}
	reconcileRun(t, w, builders.Now)
	got, _ = reconcileRun(t, w, builders.Now)
	kept := &corev1.ConfigMap{}
	if err := w.client.Get(ctx, client.ObjectKey{Namespace: "team", Name: "r-inputs"}, kept); err != nil {
		t.Fatal(err)
	}
	if got.Status.Revision == nil || got.Status.Revision.InputsDigest != v1alpha1.ContentDigest(run.UID, kept) {
		t.Fatalf("pinned %+v", got.Status.Revision)
	}

	// The first Job is gone; before the next one the inputs are replaced.
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
		got, _ = reconcileRun(t, w, builders.Now)
	}
	if ending := conditionOf(got, v1alpha1.ConditionEnding); ending.Reason != v1alpha1.ReasonInputsUnavailable {
		t.Errorf("Ending is %+v", ending)
	}
	if err := w.client.List(ctx, jobs); err != nil || len(jobs.Items) != 0 {
		t.Errorf("%d Jobs, %v", len(jobs.Items), err)
	}
}

//security:attack tenant with ConfigMaps | A revision's settings hold what no Function may set: unknown fields, duplicate keys, paths to parent directories, an image of another namespace, volumes of the node | They are refused when they are read
func TestHostileSettingsOfARevisionAreRefused(t *testing.T) {
	const files = `"handlerFile":"handler.py","runnerFile":"runner.py"`
	const image = `"image":{"namespace":"team","name":"python","registryPath":"p","pullPolicy":"Always"}`
	const rest = `"runtime":"python311","command":["python3"],"gpuResource":"nvidia.com/gpu","gpus":0,"workers":1,"timeoutSeconds":1,"retries":0`
	for name, tc := range map[string]struct {
		text string
		want string
	}{
		"the operator's settings":           {text: `{` + rest + `,` + image + `,` + files + `}`},
		"an unknown field":                  {text: `{` + rest + `,` + image + `,` + files + `,"hostNetwork":true}`, want: "hostNetwork"},
		"a field twice":                     {text: `{` + rest + `,` + image + `,` + image + `,` + files + `}`, want: "duplicate"},
		"a field in another case":           {text: `{` + rest + `,"Image":{},` + image + `,` + files + `}`, want: "Image"},
		"trailing content":                  {text: `{` + rest + `,` + image + `,` + files + `}{}`, want: "decoding"},
		"not an object":                     {text: `null`, want: "workers is 0"},
		"deep nesting":                      {text: `{"pod":{"nodeSelector":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}}`, want: "decoding"},
		"a parent directory as file":        {text: `{` + rest + `,` + image + `,"handlerFile":"..","runnerFile":"runner.py"}`, want: "valid file name"},
		"a path":                            {text: `{` + rest + `,` + image + `,"handlerFile":"a/b","runnerFile":"runner.py"}`, want: "valid file name"},
		"a missing file":                    {text: `{` + rest + `,` + image + `,"handlerFile":"other.py","runnerFile":"runner.py"}`, want: "no file other.py"},
		"one file in two roles":             {text: `{` + rest + `,` + image + `,"handlerFile":"runner.py","runnerFile":"runner.py"}`, want: "twice"},
		"another namespace's image":         {text: `{` + rest + `,` + strings.Replace(image, `"team"`, `"other"`, 1) + `,` + files + `}`, want: "namespace"},
		"an image with a line break":        {text: `{` + rest + `,` + strings.Replace(image, `"p"`, `"p\n"`, 1) + `,` + files + `}`, want: "registry path"},
		"an unknown pull policy":            {text: `{` + rest + `,` + strings.Replace(image, "Always", "Maybe", 1) + `,` + files + `}`, want: "policy"},
		"too many GPUs":                     {text: `{` + strings.Replace(rest, `"gpus":0`, `"gpus":65`, 1) + `,` + image + `,` + files + `}`, want: "gpus is 65"},
		"a number beyond 32 bits":           {text: `{` + strings.Replace(rest, `"gpus":0`, `"gpus":3000000000`, 1) + `,` + image + `,` + files + `}`, want: "decoding"},
		"no worker":                         {text: `{` + strings.Replace(rest, `"workers":1`, `"workers":0`, 1) + `,` + image + `,` + files + `}`, want: "workers"},
		"the CPU as a GPU resource":         {text: `{` + strings.Replace(rest, "nvidia.com/gpu", "cpu", 1) + `,` + image + `,` + files + `}`, want: "GPUs"},
		"no command":                        {text: `{` + strings.Replace(rest, `["python3"]`, `[]`, 1) + `,` + image + `,` + files + `}`, want: "command"},
		"a volume of two sources":           {text: `{` + rest + `,` + image + `,` + files + `,"pod":{"volumes":[{"name":"v","secret":{"name":"s"},"configMap":{"name":"s"}}]}}`, want: "2 sources"},
		"a volume of the node":              {text: `{` + rest + `,` + image + `,` + files + `,"pod":{"volumes":[{"name":"v","hostPath":{"path":"/"}}]}}`, want: "hostPath"},
		"the operator's volume":             {text: `{` + rest + `,` + image + `,` + files + `,"pod":{"volumes":[{"name":"sharedcloud-worker","emptyDir":{}}]}}`, want: "reserved for the operator"},
		"a mount over the operator's files": {text: `{` + rest + `,` + image + `,` + files + `,"pod":{"volumes":[{"name":"v","emptyDir":{}}],"volumeMounts":[{"name":"v","mountPath":"/a/../sharedcloud/code"}]}}`, want: "nothing may be mounted"},
		"a mount without a volume":          {text: `{` + rest + `,` + image + `,` + files + `,"pod":{"volumeMounts":[{"name":"v","mountPath":"/a"}]}}`, want: "no volume"},
		"the operator's variable":           {text: `{` + rest + `,` + image + `,` + files + `,"pod":{"env":[{"name":"SHAREDCLOUD_TOKEN_FILE"}]}}`, want: "reserved for the operator"},
		"negative shared memory":            {text: `{` + rest + `,` + image + `,` + files + `,"pod":{"sharedMemory":"-1Gi"}}`, want: "spec.pod.sharedMemory is -1Gi"},
		"a pod of an older operator":        {text: `{` + rest + `,` + image + `,` + files + `,"podVersion":0}`},
		"a negative user":                   {text: `{` + rest + `,` + image + `,` + files + `,"pod":{"runAsUser":-1}}`, want: "valid user id"},
	} {
		t.Run(name, func(t *testing.T) {
			revision := &corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{Namespace: "team", UID: "revision"}, Immutable: ptr.To(true),
				Data: map[string]string{"handler.py": "code", "runner.py": "runner", workload.RevisionKey: tc.text},
			}
			digest := v1alpha1.ContentDigest("uid-of-f", revision)
			revision.Name = "f-" + workload.HashOfDigest(digest)[:10]
			w := newCluster(revision)
			_, err := newRevisionReader(w.client, w.client, testOptions, clocktesting.NewFakePassiveClock(builders.Now)).readNow(context.Background(), revisionRef{"team", revision.Name, digest, "uid-of-f"})
			if tc.want == "" && err != nil || tc.want != "" && (!isNotTheRevision(err) || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("read: %v; want %q", err, tc.want)
			}
		})
	}
}

//security:attack tenant with pods | A user creates a Job under the name of the run's next one, owned by the run | It does not count as the run's without the label that a policy reserves
func TestAForgedJobIsNotTheRuns(t *testing.T) {
	run := builders.MakeRun("r").Inputs(1).Pinned("", 1, 1, 0).Job(1, "").Obj()
	revision := testRevision(t)
	run.Status.Revision.Name = revision.Name
	forged := ownJob(run, "1", "0", "0")
	for name, labels := range map[string]map[string]string{"no label": nil, "another run's": {v1alpha1.LabelRunUID: "other"}} {
		forged.Labels = labels
		got, _ := reconcileRun(t, newCluster(run.DeepCopy(), revision.DeepCopy(), forged.DeepCopy()), builders.Now)
		if reason := conditionOf(got, v1alpha1.ConditionReady).Reason; got.Status.Job.UID != "" || reason != v1alpha1.ReasonJobNameTaken {
			t.Errorf("%s: the Job %q is recorded, %s", name, got.Status.Job.UID, reason)
		}
	}
}

//security:attack tenant with pods | Pods with a run's labels that do not belong to its Job report an image's digest, or die | They count neither in the run's status nor in the digest of any FunctionImage
func TestForgedWorkersDoNotCount(t *testing.T) {
	ctx := context.Background()
	run := builders.MakeRun("r").Inputs(1).Pinned("f-0123456789", 1, 1, 0).Job(1, "job").Obj()
	worker := func(name string, uid types.UID, digest string) *corev1.Pod {
		pod := builders.MakePod(name).Running().With(func(p *corev1.Pod) {
			p.Labels[v1alpha1.LabelRun], p.Labels[v1alpha1.LabelRunUID] = "r", "uid-of-r"
			p.Annotations = map[string]string{v1alpha1.AnnotationImage: "sharedcloud-catalogue/python"}
			p.OwnerReferences[0].UID = uid
			p.Status.ContainerStatuses[0].ImageID = digest
		}).Obj()
		return &pod
	}
	image := builders.MakeImage("sharedcloud-catalogue", "python")
	key := client.ObjectKeyFromObject(image)
	digestWith := func(pods ...client.Object) (ofRun, ofImage string, workers status.Workers) {
		t.Helper()
		w := newCluster(append(pods, run.DeepCopy(), image.DeepCopy(), ownJob(run, "1", "0", "0"))...)
		images := NewImageReconciler(w.client, w.client, builders.Lookup, noEvents{}, clocktesting.NewFakePassiveClock(builders.Now))
		if _, err := images.Reconcile(ctx, request(key.Namespace, key.Name)); err != nil {
			t.Fatal(err)
		}
		stored := &v1alpha1.FunctionImage{}
		if err := w.client.Get(ctx, key, stored); err != nil {
			t.Fatal(err)
		}
		got, _ := reconcileRun(t, w, builders.Now)
		list := &corev1.PodList{}
		if err := w.client.List(ctx, list); err != nil {
			t.Fatal(err)
		}
		return got.Status.ImageDigest, stored.Status.Digest, status.WorkersOf(list.Items, "job", builders.Now)
	}
	if ofRun, ofImage, c := digestWith(worker("a-forged", "another", "sha256:evil")); ofRun != "" || ofImage != "" || c.Running != 0 {
		t.Errorf("a forged pod counts: %q, %q, %+v", ofRun, ofImage, c)
	}
	if ofRun, ofImage, c := digestWith(worker("a-forged", "another", "sha256:evil"), worker("worker", "job", "sha256:good")); ofRun != "sha256:good" || ofImage != "sha256:good" || c.Running != 1 {
		t.Errorf("a worker does not count: %q, %q, %+v", ofRun, ofImage, c)
	}
}
