package core

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// GPUProduct is a GPU model that nodes report in the label nvidia.com/gpu.product, which GPU feature discovery sets.
type GPUProduct struct {
	// Product is the unchanged value of the label, "Tesla-V100-SXM2-16GB", for node affinities.
	Product string
	// Name is the display name; the label's value for unknown products.
	Name string
	// Codename is the name of its chip, "GV100"; empty if unknown.
	Codename string
	// CUDACores is the number of cores of one nvidia.com/gpu: of one chip, if a card has several. 0 if unknown, as of a part of a GPU
	// (MIG).
	CUDACores int
	// Strength orders products: higher is stronger, equal is equivalent, 0 is unknown.
	Strength int
}

// gpuProductNamespace must never change: clients store the UUIDs of GPU products.
var gpuProductNamespace = uuid.MustParse("3f6c1a52-7d0b-4e8e-9a57-b1c20d94e6f3")

// UUID returns the version 5 UUID (RFC 4122) of the label's value, which is the same in every cluster.
func (p GPUProduct) UUID() string {
	return uuid.NewSHA1(gpuProductNamespace, []byte(p.Product)).String()
}

// AtLeastAsStrong returns the available products that are at least as strong as base, in their order.
func AtLeastAsStrong(base GPUProduct, available []GPUProduct) []GPUProduct {
	var strong []GPUProduct
	for _, product := range available {
		if product.Strength >= base.Strength {
			strong = append(strong, product)
		}
	}
	return strong
}

// GPUProductOf returns the product of a label's value. One chip has several values: they depend on the version of the driver
// ("Tesla-T4", "NVIDIA-Tesla-T4") and on how the GPU is shared ("…-SHARED", "…-MIG-1g.5gb").
func GPUProductOf(label string) GPUProduct {
	whole, share := splitShare(label)
	known, found := gpuByKey[gpuKey(whole)]
	if !found {
		known, found = gpuByFamily(gpuKey(whole))
	}
	if !found {
		return GPUProduct{Product: label, Name: label}
	}
	product := GPUProduct{
		Product: label, Name: known.name, Codename: known.chip, CUDACores: known.cores,
		Strength: strength(known.gigaflops, known.gigabytes),
	}
	if share.slices > 0 {
		product.Name += " MIG " + share.profile
		product.CUDACores = 0
		product.Strength = strength(known.gigaflops*min(share.slices, wholeSlices)/wholeSlices, min(share.gigabytes, known.gigabytes))
	}
	if share.timeSliced {
		product.Name += " (shared)"
	}
	return product
}

// strength orders by the speed of matrix multiplication, then by memory. The factor reserves the last three digits for memory.
func strength(gigaflops, gigabytes int) int {
	const memoryDigits = 1000
	return gigaflops/100*memoryDigits + gigabytes
}

// gpuShare is the part of a GPU that a label describes.
type gpuShare struct {
	timeSliced bool   // the whole GPU, shared by several containers
	profile    string // MIG profile, "1g.5gb"
	slices     int    // MIG slices; 0 for the whole GPU
	gigabytes  int    // memory of the MIG profile
}

// wholeSlices is the maximum number of MIG slices. An A30 has four, so its slices are slightly stronger than calculated, and a run never
// gets a weaker GPU than it requested.
const wholeSlices = 7

var (
	migSuffix    = regexp.MustCompile(`-MIG-(([1-7])g\.([0-9]{1,3})gb[a-z0-9.+]*)$`)
	vgpuSuffix   = regexp.MustCompile(`-[0-9]+[abcq]$`)
	sharedSuffix = "-SHARED"
)

func splitShare(label string) (string, gpuShare) {
	whole, timeSliced := strings.CutSuffix(label, sharedSuffix)
	share := gpuShare{timeSliced: timeSliced}
	if match := migSuffix.FindStringSubmatch(whole); match != nil {
		whole = strings.TrimSuffix(whole, match[0])
		share.profile = match[1]
		share.slices, _ = strconv.Atoi(match[2])
		share.gigabytes, _ = strconv.Atoi(match[3])
	}
	return whole, share
}

// gpuKey normalizes the spellings of a product's name in different drivers.
func gpuKey(label string) string {
	key := strings.NewReplacer(" ", "-", "_", "-").Replace(strings.ToLower(label))
	key = strings.TrimPrefix(key, "nvidia-")
	return strings.TrimPrefix(key, "tesla-")
}

// gpuByFamily returns the representative of an unlisted product of a listed family. Virtual GPUs of a hypervisor ("A100-10C") belong to no
// family.
func gpuByFamily(key string) (gpuModel, bool) {
	if vgpuSuffix.MatchString(key) {
		return gpuModel{}, false
	}
	for family := key; ; {
		if member, found := gpuFamilies[family]; found {
			model := gpuByKey[gpuKey(member)]
			model.name = familyName(key)
			return model, true
		}
		end := strings.LastIndexByte(family, '-')
		if end < 0 {
			return gpuModel{}, false
		}
		family = family[:end]
	}
}

func familyName(key string) string {
	return "NVIDIA " + strings.ToUpper(strings.ReplaceAll(key, "-", " "))
}
