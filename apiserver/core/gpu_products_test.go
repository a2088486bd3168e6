package core

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGPUProductOf(t *testing.T) {
	for name, tc := range map[string]struct {
		label     string
		wantName  string
		wantChip  string
		wantCores int
	}{
		"a listed product":                      {"Tesla-V100-SXM2-16GB", "Tesla V100 SXM2 16GB", "GV100", 5120},
		"one chip of a card with two":           {"Tesla-K80", "Tesla K80", "GK210", 2496},
		"a recent product":                      {"NVIDIA-H100-80GB-HBM3", "NVIDIA H100 SXM5 80GB", "GH100", 16896},
		"a graphics card":                       {"NVIDIA-GeForce-RTX-3090", "GeForce RTX 3090", "GA102", 10496},
		"the spelling of newer drivers":         {"NVIDIA-Tesla-T4", "Tesla T4", "TU104", 2560},
		"the spelling of older drivers":         {"GeForce-RTX-3090", "GeForce RTX 3090", "GA102", 10496},
		"spaces and lower case":                 {"tesla t4", "Tesla T4", "TU104", 2560},
		"a shared GPU":                          {"Tesla-T4-SHARED", "Tesla T4 (shared)", "TU104", 2560},
		"a part of a GPU":                       {"NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", "NVIDIA A100 SXM4 40GB MIG 1g.5gb", "GA100", 0},
		"a part with media engines, shared":     {"NVIDIA-A100-SXM4-40GB-MIG-1g.5gb.me-SHARED", "NVIDIA A100 SXM4 40GB MIG 1g.5gb.me (shared)", "GA100", 0},
		"a member of a listed family":           {"NVIDIA-A100-PG509-200", "NVIDIA A100 PG509 200", "GA100", 6912},
		"a family by its name alone":            {"NVIDIA-H100", "NVIDIA H100", "GH100", 14592},
		"A10G is not an A10":                    {"NVIDIA-A10G", "NVIDIA A10G", "GA102", 10240},
		"RTX 6000 of Turing is not that of Ada": {"Quadro-RTX-6000", "Quadro RTX 6000", "TU102", 4608},
		"RTX 6000 of Ada is not that of Turing": {"NVIDIA-RTX-6000-Ada-Generation", "NVIDIA RTX 6000 Ada", "AD102", 18176},
		"a laptop GPU of the same name":         {"NVIDIA-GeForce-RTX-3090-Laptop-GPU", "NVIDIA-GeForce-RTX-3090-Laptop-GPU", "", 0},
		"a virtual GPU of a hypervisor":         {"NVIDIA-A100-10C", "NVIDIA-A100-10C", "", 0},
		"a part of an unknown GPU":              {"Strange-GPU-MIG-1g.5gb", "Strange-GPU-MIG-1g.5gb", "", 0},
		"a GPU of another vendor":               {"Instinct-MI300X", "Instinct-MI300X", "", 0},
		"no label":                              {"", "", "", 0},
		"a label of dashes":                     {"--", "--", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			got := GPUProductOf(tc.label)
			want := GPUProduct{Product: tc.label, Name: tc.wantName, Codename: tc.wantChip, CUDACores: tc.wantCores, Strength: got.Strength}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("GPUProductOf(%q) (-want +got):\n%s", tc.label, diff)
			}
			if known := tc.wantChip != ""; known != (got.Strength > 0) {
				t.Errorf("the strength of %q is %d", tc.label, got.Strength)
			}
		})
	}
}

func TestGPUProductsAreOrdered(t *testing.T) {
	fromWeakToStrong := []string{
		"Unknown-GPU", "Tesla-K80", "Tesla-K40m", "Tesla-P40", "Tesla-P100-PCIE-16GB", "Tesla-P100-SXM2-16GB", "Tesla-T4",
		"NVIDIA-L4", "Tesla-V100-SXM2-16GB", "Tesla-V100-SXM2-32GB", "NVIDIA-A40", "NVIDIA-A100-SXM4-40GB",
		"NVIDIA-A100-SXM4-80GB", "NVIDIA-L40S", "NVIDIA-H100-PCIe", "NVIDIA-H100-80GB-HBM3", "NVIDIA-H200", "NVIDIA-B200",
	}
	for i, weak := range fromWeakToStrong[:len(fromWeakToStrong)-1] {
		strong := fromWeakToStrong[i+1]
		if GPUProductOf(weak).Strength >= GPUProductOf(strong).Strength {
			t.Errorf("%s (%d) is not weaker than %s (%d)", weak, GPUProductOf(weak).Strength, strong, GPUProductOf(strong).Strength)
		}
	}
	equal := map[string][2]string{
		"form factors of one chip":     {"NVIDIA-A100-PCIE-40GB", "NVIDIA-A100-SXM4-40GB"},
		"a GPU and the same, shared":   {"Tesla-T4", "Tesla-T4-SHARED"},
		"a GPU and its only part":      {"NVIDIA-A100-SXM4-40GB", "NVIDIA-A100-SXM4-40GB-MIG-7g.40gb"},
		"two unknown products":         {"One", "Another"},
		"the spellings of two drivers": {"Tesla-V100-SXM2-16GB", "NVIDIA-Tesla-V100-SXM2-16GB"},
	}
	for name, pair := range equal {
		t.Run(name, func(t *testing.T) {
			if one, other := GPUProductOf(pair[0]), GPUProductOf(pair[1]); one.Strength != other.Strength {
				t.Errorf("the strength of %s is %d, of %s %d", pair[0], one.Strength, pair[1], other.Strength)
			}
		})
	}
	if part := GPUProductOf("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb").Strength; part <= 0 || part >= GPUProductOf("NVIDIA-A30").Strength {
		t.Errorf("a seventh of an A100 has strength %d", part)
	}
}

func TestAtLeastAsStrong(t *testing.T) {
	for name, tc := range map[string]struct {
		base      string
		available []string
		want      []string
	}{
		"the same and stronger products": {"Tesla-V100-SXM2-16GB", []string{"Tesla-K80", "NVIDIA-A100-SXM4-40GB", "Tesla-V100-SXM2-16GB"},
			[]string{"NVIDIA-A100-SXM4-40GB", "Tesla-V100-SXM2-16GB"}},
		"equivalent products":                   {"NVIDIA-A100-PCIE-40GB", []string{"NVIDIA-A100-SXM4-40GB"}, []string{"NVIDIA-A100-SXM4-40GB"}},
		"more memory is acceptable":             {"Tesla-V100-SXM2-16GB", []string{"Tesla-V100-SXM2-32GB"}, []string{"Tesla-V100-SXM2-32GB"}},
		"less memory is not":                    {"Tesla-V100-SXM2-32GB", []string{"Tesla-V100-SXM2-16GB"}, nil},
		"no product is strong enough":           {"NVIDIA-H200", []string{"Tesla-K80", "Unknown"}, nil},
		"an unknown product is never selected":  {"Tesla-K10", []string{"Unknown"}, nil},
		"an unknown base accepts every product": {"Unknown", []string{"Tesla-K10", "Unknown"}, []string{"Tesla-K10", "Unknown"}},
		"a cluster without GPUs":                {"Tesla-K10", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var available []GPUProduct
			for _, label := range tc.available {
				available = append(available, GPUProductOf(label))
			}
			var got []string
			for _, product := range AtLeastAsStrong(GPUProductOf(tc.base), available) {
				got = append(got, product.Product)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("at least as strong as %s (-want +got):\n%s", tc.base, diff)
			}
		})
	}
}

// Clients store these UUIDs: changing one breaks them.
func TestGPUProductUUIDsNeverChange(t *testing.T) {
	for label, want := range map[string]string{
		"Tesla-V100-SXM2-16GB":  "59f7f8ba-54ce-5669-8a17-ad76fb406b86",
		"NVIDIA-A100-SXM4-40GB": "12d7bf1f-43e0-5e29-9cd7-a1f27f66f179",
		"My-GPU":                "daf0f056-8f22-5581-ba2b-16bac44203cf",
	} {
		if got := GPUProductOf(label).UUID(); got != want {
			t.Errorf("the UUID of %s is %s, want %s", label, got, want)
		}
	}
	if GPUProductOf("Tesla-T4").UUID() == GPUProductOf("Tesla-T4-SHARED").UUID() {
		t.Error("two products have one UUID")
	}
}

func TestGPUModelsAreComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, model := range gpuModels {
		key := gpuKey(model.label)
		if seen[key] {
			t.Errorf("%s is listed twice", model.label)
		}
		seen[key] = true
		if model.name == "" || model.chip == "" || model.cores <= 0 || model.gigaflops < 100 || model.gigabytes <= 0 || model.gigabytes >= 1000 {
			t.Errorf("%s is incomplete: %+v", model.label, model)
		}
		if model.cores%64 != 0 {
			t.Errorf("%s has %d CUDA cores: they come in multiprocessors of 64, 128 or 192", model.label, model.cores)
		}
		if got := GPUProductOf(model.label).Name; got != model.name {
			t.Errorf("%s is called %q, want %q", model.label, got, model.name)
		}
	}
	for family, member := range gpuFamilies {
		if !seen[gpuKey(member)] {
			t.Errorf("%s represents the family %s and is not listed", member, family)
			continue
		}
		weakest := slices.MinFunc(slices.DeleteFunc(slices.Clone(gpuModels), func(m gpuModel) bool {
			return !strings.HasPrefix(gpuKey(m.label), family)
		}), func(a, b gpuModel) int {
			return strength(a.gigaflops, a.gigabytes) - strength(b.gigaflops, b.gigabytes)
		})
		standing := gpuByKey[gpuKey(member)]
		if strength(standing.gigaflops, standing.gigabytes) > strength(weakest.gigaflops, weakest.gigabytes) {
			t.Errorf("%s represents the family %s, of which %s is weaker", member, family, weakest.label)
		}
	}
}
