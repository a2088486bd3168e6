package checks

import (
	"maps"
	"path/filepath"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// Profiles show what the components do at a given moment, so an installation serves them only when its administrator says so.
func TestProfilesAreServedOnlyWithTheComponent(t *testing.T) {
	for overlay, want := range map[string]bool{"config/default": false, "config/local": true} {
		found, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(topFolder(t), overlay))
		if err != nil {
			t.Fatal(err)
		}
		profiling := map[string]bool{}
		account := false
		for _, object := range found.Resources() {
			account = account || object.GetKind() == "ServiceAccount" && object.GetName() == "sharedcloud-profiler"
			if object.GetKind() != "Deployment" {
				continue
			}
			text, err := object.AsYAML()
			if err != nil {
				t.Fatal(err)
			}
			var deployment appsv1.Deployment
			if err := yaml.Unmarshal(text, &deployment); err != nil {
				t.Fatal(err)
			}
			profiling[deployment.Name] = slices.Contains(deployment.Spec.Template.Spec.Containers[0].Args, "--profiling")
		}
		if expected := map[string]bool{"sharedcloud-controller-manager": want, "sharedcloud-apiserver": want}; !maps.Equal(profiling, expected) {
			t.Errorf("%s: --profiling of the Deployments is %v, want %v", overlay, profiling, expected)
		}
		if account != want {
			t.Errorf("%s: the account sharedcloud-profiler is there: %t, want %t", overlay, account, want)
		}
	}
}
