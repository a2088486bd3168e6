package apiserver

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"sharedcloud.io/function-operator/api/v1alpha1"
	ac "sharedcloud.io/function-operator/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

// serverUser is the identity of the API server at the Kubernetes API, with the rights of config/rbac.
const serverUser = "system:serviceaccount:" + systemNamespace + ":sharedcloud-apiserver"

// installRoles gives the server exactly the rights that it has in a cluster.
func installRoles(ctx context.Context) {
	GinkgoHelper()
	role := &rbacv1.ClusterRole{}
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "config", "rbac", "apiserver_role.yaml"))
	Expect(err).NotTo(HaveOccurred())
	Expect(yaml.Unmarshal(data, role)).To(Succeed())
	Expect(k8s.Create(ctx, role)).To(Succeed())
	for _, name := range []string{role.Name, "system:auth-delegator"} {
		bind(ctx, name, rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: serverUser})
	}
	Expect(k8s.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "sharedcloud-apiserver", Namespace: metav1.NamespaceSystem},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "extension-apiserver-authentication-reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: serverUser}},
	})).To(Succeed())
}

func bind(ctx context.Context, role string, subject rbacv1.Subject) {
	GinkgoHelper()
	Expect(k8s.Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "spec-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{subject},
	})).To(Succeed())
}

// newUser creates a user with the rules in one namespace, and returns the configuration of its client.
func newUser(ctx context.Context, name, namespace string, rules ...rbacv1.PolicyRule) *rest.Config {
	GinkgoHelper()
	user, err := environment.AddUser(envtest.User{Name: name}, restConfig)
	Expect(err).NotTo(HaveOccurred())
	Expect(k8s.Create(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Rules: rules})).To(Succeed())
	Expect(k8s.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: name}},
	})).To(Succeed())
	allowed(ctx, name, namespace, rules[0])
	return user.Config()
}

// allowed waits until the Kubernetes API's authorizer has observed a user's rule.
func allowed(ctx context.Context, user, namespace string, rule rbacv1.PolicyRule) {
	GinkgoHelper()
	resource, subresource, _ := strings.Cut(rule.Resources[0], "/")
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Group: rule.APIGroups[0], Resource: resource, Subresource: subresource, Verb: rule.Verbs[0],
		},
	}}
	Eventually(func(g Gomega) {
		answer, err := clientset.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(answer.Status.Allowed).To(BeTrue(), "%s may not %s %s yet", user, rule.Verbs[0], rule.Resources[0])
	}).WithContext(ctx).Should(Succeed())
}

// newNamespace creates a namespace for one spec, with a service account for workers.
func newNamespace(ctx context.Context) string {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "spec-"}}
	Expect(k8s.Create(ctx, namespace)).To(Succeed())
	Expect(k8s.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: namespace.Name}})).To(Succeed())
	return namespace.Name
}

// newRun creates a FunctionRun of n inputs: [0], [1], and so on.
func newRun(ctx context.Context, namespace string, n int) *v1alpha1.FunctionRun {
	GinkgoHelper()
	run := builders.Run(namespace, "run-", "some", builders.Inputs(n, builders.Index))
	Expect(k8s.Create(ctx, run)).To(Succeed())
	return run
}

// start does the controllers' part: it pins a revision and creates a Job.
func start(ctx context.Context, run *v1alpha1.FunctionRun, workers int32) *batchv1.Job {
	GinkgoHelper()
	job := newJob(ctx, run.Namespace, run.Name)
	write(ctx, run, ac.FunctionRunStatus().
		WithRevision(pinned(run, workers)).
		WithJob(ac.JobReference().WithName(job.Name).WithNumber(1).WithUID(job.UID)))
	return job
}

func pinned(run *v1alpha1.FunctionRun, workers int32) *ac.PinnedRevisionApplyConfiguration {
	return ac.PinnedRevision().WithName("revision").WithFunctionUID("function").WithGeneration(1).
		WithRegistryPath("registry.example/image").WithInputCount(int32(len(run.Spec.Parameters))).WithWorkers(workers).
		WithGPUs(0).WithTimeoutSeconds(60).WithRetries(0)
}

func newJob(ctx context.Context, namespace, run string) *batchv1.Job {
	GinkgoHelper()
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{GenerateName: run + "-", Namespace: namespace},
		Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			Containers:    []corev1.Container{{Name: "worker", Image: "registry.example/image"}},
		}}},
	}
	Expect(k8s.Create(ctx, job)).To(Succeed())
	return job
}

// write applies the controllers' part of a run's status, as they do.
func write(ctx context.Context, run *v1alpha1.FunctionRun, status *ac.FunctionRunStatusApplyConfiguration) {
	GinkgoHelper()
	applied := ac.FunctionRun(run.Name, run.Namespace).WithUID(run.UID).WithStatus(status)
	Expect(k8s.Status().Apply(ctx, applied, client.FieldOwner(v1alpha1.FieldManagerController), client.ForceOwnership)).To(Succeed())
}

// read returns the stored run.
func read(ctx context.Context, g Gomega, run *v1alpha1.FunctionRun) *v1alpha1.FunctionRun {
	stored := &v1alpha1.FunctionRun{}
	g.ExpectWithOffset(1, k8s.Get(ctx, client.ObjectKeyFromObject(run), stored)).To(Succeed())
	return stored
}

// newPod creates a pod of a Job, as the Job controller would.
func newPod(ctx context.Context, run *v1alpha1.FunctionRun, job *batchv1.Job, index int) *corev1.Pod {
	GinkgoHelper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: fmt.Sprintf("%s-%d-", job.Name, index),
			Namespace:    run.Namespace,
			Labels: map[string]string{
				v1alpha1.LabelRun:                    run.Name,
				v1alpha1.LabelRunUID:                 string(run.UID),
				batchv1.JobCompletionIndexAnnotation: fmt.Sprint(index),
			},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "batch/v1", Kind: "Job", Name: job.Name, UID: job.UID, Controller: ptr.To(true),
			}},
		},
		Spec: corev1.PodSpec{
			ServiceAccountName: "default",
			RestartPolicy:      corev1.RestartPolicyNever,
			Containers:         []corev1.Container{{Name: "worker", Image: "registry.example/image"}},
		},
	}
	Expect(k8s.Create(ctx, pod)).To(Succeed())
	return pod
}

// tokenOf creates a token that is bound to a pod.
func tokenOf(ctx context.Context, pod *corev1.Pod, audiences ...string) string {
	GinkgoHelper()
	request, err := clientset.CoreV1().ServiceAccounts(pod.Namespace).CreateToken(ctx, "default", &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{
			Audiences:      audiences,
			BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID},
		},
	}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	return request.Status.Token
}

// endContainer does the kubelet's part when a container terminates.
func endContainer(ctx context.Context, pod *corev1.Pod, code int32, reason string) {
	GinkgoHelper()
	phase := corev1.PodFailed
	if code == 0 {
		phase = corev1.PodSucceeded
	}
	status, err := json.Marshal(map[string]any{"status": corev1.PodStatus{
		Phase: phase,
		ContainerStatuses: []corev1.ContainerStatus{{
			Name:  "worker",
			State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, FinishedAt: metav1.Now()}},
		}},
	}})
	Expect(err).NotTo(HaveOccurred())
	Expect(k8s.Status().Patch(ctx, pod, client.RawPatch("application/merge-patch+json", status))).To(Succeed())
}
