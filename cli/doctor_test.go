package cli

import (
	"net/http"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func TestFindings(t *testing.T) {
	node := func(product string, gpus string, ready corev1.ConditionStatus) corev1.Node {
		n := corev1.Node{Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}}}
		if gpus != "" {
			n.Status.Allocatable = corev1.ResourceList{"nvidia.com/gpu": resource.MustParse(gpus)}
			n.Labels = map[string]string{"nvidia.com/gpu.product": product}
		}
		return n
	}
	others := func(n corev1.Node) corev1.Node {
		n.Status.Allocatable["nvidia.com/mig-1g.5gb"], n.Status.Allocatable["amd.com/gpu"] = resource.MustParse("2"), resource.MustParse("4")
		n.Status.Allocatable["cpu"] = resource.MustParse("8")
		return n
	}
	deployment := func(want, ready int32) *appsv1.Deployment {
		return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "d", Namespace: "s"}, Spec: appsv1.DeploymentSpec{Replicas: ptr.To(want)}, Status: appsv1.DeploymentStatus{ReadyReplicas: ready}}
	}
	tests := map[string]struct {
		got  finding
		want string
	}{
		"a Kubernetes that is new enough":  {versionFinding("1", "33+", "v1.33.1", "dev"), "✓ Kubernetes v1.33.1 answers (this plugin: dev)"},
		"a plugin of the server's version": {versionsFinding("v1.0.0", "v1.0.0"), "✓ the plugin and the API server are both v1.0.0"},
		"a plugin of another version":      {versionsFinding("v1.0.0", "v1.1.0"), "? the plugin is v1.0.0, and the API server is v1.1.0\n    Use the plugin of the operator's version."},
		"a Kubernetes that is too old":     {versionFinding("1", "32", "v1.32.0", "dev"), "✗ Kubernetes v1.32.0 is too old\n    The operator needs 1.33 or newer."},
		"GPUs of two products":             {gpuFinding([]corev1.Node{node("L4", "2", "True"), node("A100", "8", "True"), node("L4", "1", "True")}), "✓ 3 nodes and 11 GPUs: 8 A100, 3 L4"},
		"GPUs by other names, too":         {gpuFinding([]corev1.Node{others(node("L4", "2", "True")), node("L4", "2", "True")}), "✓ 2 nodes and 4 GPUs: 4 L4; by other names (gpuResource): 4 amd.com/gpu, 2 nvidia.com/mig-1g.5gb"},
		"GPUs by other names alone":        {gpuFinding([]corev1.Node{others(node("", "0", "True"))}), "✓ 1 node, no GPU by the name nvidia.com/gpu, but 4 amd.com/gpu, 2 nvidia.com/mig-1g.5gb: functions name it in gpuResource"},
		"no GPUs":                          {gpuFinding([]corev1.Node{node("", "", "True")}), "? 1 node offers no GPU"},
		"no node that takes pods":          {gpuFinding([]corev1.Node{node("L4", "2", "False")}), "✗ none of 1 node takes pods"},
		"a program that is ready":          {deploymentFinding("the manager", "Without it nothing", deployment(2, 2)), "✓ the manager is ready (2 of 2)"},
		"a program of which a part is":     {deploymentFinding("the manager", "Without it nothing", deployment(2, 1)), "? the manager is ready, but only 1 of 2"},
		"a program that is not ready":      {deploymentFinding("the manager", "Without it nothing", deployment(1, 0)), "✗ the manager is not ready (0 of 1)\n    Without it nothing: kubectl -n s describe deployment d"},
		"a default number that is not set": {deploymentFinding("the manager", "", &appsv1.Deployment{}), "✗ the manager is not ready (0 of 1)"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tc.got.String(); !strings.HasPrefix(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestDoctorOfAClusterWithoutTheOperator(t *testing.T) {
	f := newFakeCluster(t)
	f.aggregated = false
	f.handle = func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.URL.Path == "/version":
			reply(w, http.StatusOK, map[string]string{"major": "1", "minor": "37", "gitVersion": "v1.37.2"})
		case strings.HasSuffix(r.URL.Path, "/deployments"):
			reply(w, http.StatusOK, appsv1.DeploymentList{TypeMeta: metav1.TypeMeta{Kind: "DeploymentList", APIVersion: "apps/v1"}})
		case r.URL.Path == "/api/v1/nodes":
			reply(w, http.StatusForbidden, metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Reason: metav1.StatusReasonForbidden, Code: 403, Message: "no"})
		default:
			return false
		}
		return true
	}
	t.Setenv("SHAREDCLOUD_URL", "")
	got := f.plugin(t, t.Context(), nil, "doctor", "--smoke")
	for _, want := range []string{"✓ Kubernetes v1.37.2", "✗ the custom resources functions, functionimages, functionruns", "✗ the manager is not installed",
		"✗ the API server is not installed", "✗ the API server's results, logs and runs cannot be reached", "? the nodes cannot be seen by you"} {
		got.mustEnd(t, ExitFailed, want, "The run of --smoke is left out")
	}
}
