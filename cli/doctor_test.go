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

func TestCheckResults(t *testing.T) {
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
		got  checkResult
		want string
	}{
		"a supported version of Kubernetes":        {checkVersion("1", "33+", "v1.33.1", "dev"), "✓ Kubernetes v1.33.1 is available (plugin version dev)"},
		"an unsupported version of Kubernetes":     {checkVersion("1", "32", "v1.32.0", "dev"), "✗ Kubernetes v1.32.0 is too old\n    The operator requires 1.33 or newer."},
		"GPUs of two products":                     {checkGPUs([]corev1.Node{node("L4", "2", "True"), node("A100", "8", "True"), node("L4", "1", "True")}), "✓ 3 nodes and 11 GPUs: 8 A100, 3 L4"},
		"GPUs with several resource names":         {checkGPUs([]corev1.Node{others(node("L4", "2", "True")), node("L4", "2", "True")}), "✓ 2 nodes and 4 GPUs: 4 L4; other resource names (gpuResource): 4 amd.com/gpu, 2 nvidia.com/mig-1g.5gb"},
		"GPUs with other resource names only":      {checkGPUs([]corev1.Node{others(node("", "0", "True"))}), "✓ 1 node, no nvidia.com/gpu, but 4 amd.com/gpu, 2 nvidia.com/mig-1g.5gb: set gpuResource in functions"},
		"no GPUs":                                  {checkGPUs([]corev1.Node{node("", "", "True")}), "? 1 node has no GPUs"},
		"no node that is ready":                    {checkGPUs([]corev1.Node{node("L4", "2", "False")}), "✗ none of 1 node is ready for pods"},
		"a component that is ready":                {checkDeployment("the manager", "Without it nothing", deployment(2, 2)), "✓ the manager is ready (2 of 2)"},
		"a component with one of two replicas":     {checkDeployment("the manager", "Without it nothing", deployment(2, 1)), "? the manager is ready, but only 1 of 2 replicas"},
		"a component that is not ready":            {checkDeployment("the manager", "Without it nothing", deployment(1, 0)), "✗ the manager is not ready (0 of 1)\n    Without it nothing. See kubectl -n s describe deployment d"},
		"a component without a number of replicas": {checkDeployment("the manager", "", &appsv1.Deployment{}), "✗ the manager is not ready (0 of 1)"},
		"a plugin of the server's version":         {checkVersions("v1.0.0", "v1.0.0"), "✓ the plugin and the API server are both v1.0.0"},
		"a plugin of another version":              {checkVersions("v1.0.0", "v1.1.0"), "? the plugin is v1.0.0, and the API server is v1.1.0\n    Use the plugin of the operator's version."},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tc.got.String(); !strings.HasPrefix(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestDoctorWithoutTheOperator(t *testing.T) {
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
		"✗ the API server is not installed", "✗ the subresources of the API server cannot be reached", "? you may not read the nodes"} {
		got.mustExit(t, ExitFailed, want, "Skipped --smoke")
	}
}
