package workload

import (
	"strings"
	"testing"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

// $(NAME) in a variable of a Function is replaced by the value of an earlier variable, also one of the operator's.
//
//security:attack tenant | $(NAME) in a variable reveals a secret of the operator | the operator's variables hold only an address and paths
func TestOwnVariablesHoldNoSecrets(t *testing.T) {
	run := builders.MakeRun("r").Pinned("f-0123456789", 1, 1, 0).Job(1, "").Obj()
	for _, variable := range ownEnv(run, Settings{HandlerFile: "handler.py"}, testOptions.ExchangeURL) {
		if variable.ValueFrom != nil || variable.Value == nil {
			t.Errorf("%s has no constant value", *variable.Name)
			continue
		}
		if !strings.HasPrefix(*variable.Value, mountDir+"/") && !strings.HasPrefix(*variable.Value, testOptions.ExchangeURL+"/") {
			t.Errorf("%s is %q: neither a path in the operator's directory nor the address of the exchange", *variable.Name, *variable.Value)
		}
		if !strings.HasPrefix(*variable.Name, ownVariablePrefix) {
			t.Errorf("%s can be set by a Function", *variable.Name)
		}
	}
}

func TestMountPathsAreCleaned(t *testing.T) {
	mounts := userMounts(v1alpha1.PodSettings{VolumeMounts: []v1alpha1.VolumeMount{{Name: "v", MountPath: "/data/./x//"}}})
	if got := *mounts[0].MountPath; got != "/data/x" {
		t.Errorf("the path is %q", got)
	}
}

//security:attack tenant | stores a function from before the maxima, with a size that overflows when it is shifted and a user beyond 32 bits | the pod gets the greatest value that is allowed
func TestNumbersBeyondTheMaximaAreClampedInThePod(t *testing.T) {
	huge := int64(1) << 62
	pod := v1alpha1.PodSettings{RunAsUser: &huge, Volumes: []v1alpha1.Volume{{Name: "v", EmptyDir: &v1alpha1.EmptyDir{SizeLimitMiB: &huge}}}}
	if user := *podSecurity(pod).RunAsUser; user != 1<<31-1 {
		t.Errorf("the user is %d", user)
	}
	if size := userVolumes(pod, WorkerDefaults{})[0].EmptyDir.SizeLimit; size.Value() != v1alpha1.MaxSizeLimitMiB<<20 {
		t.Errorf("the size is %s", size)
	}
}
