package core

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// GPUProduct is a model of GPU that nodes report by the label nvidia.com/gpu.product, which GPU feature discovery sets.
type GPUProduct struct {
	// Product is the label's value as it stands, "Tesla-V100-SXM2-16GB": what a node affinity has to ask for.
	Product string
	// Name is what people call it; the label's value where the product is not known.
	Name string
	// Codename is that of its chip, "GV100"; empty where it is not known.
	Codename string
	// CUDACores of what a container gets as one nvidia.com/gpu: of a card with several chips, those of one of them. 0 where the
	// number is not known, as of a part of a GPU (MIG).
	CUDACores int
	// Strength orders products: a higher one is stronger, equal ones are as good as each other, 0 is not known.
	Strength int
}

// gpuProductNamespace never changes: clients write the UUIDs of GPU products down.
var gpuProductNamespace = uuid.MustParse("3f6c1a52-7d0b-4e8e-9a57-b1c20d94e6f3")

// UUID of the product: version 5 (RFC 4122) of the label's value, and so the same in every cluster.
func (p GPUProduct) UUID() string {
	return uuid.NewSHA1(gpuProductNamespace, []byte(p.Product)).String()
}

// AtLeastAsStrong returns those of the available products that will do where base is asked for, in their order.
func AtLeastAsStrong(base GPUProduct, available []GPUProduct) []GPUProduct {
	var strong []GPUProduct
	for _, product := range available {
		if product.Strength >= base.Strength {
			strong = append(strong, product)
		}
	}
	return strong
}

// GPUProductOf says what the label's value stands for. Nodes write it differently, by the age of their driver ("Tesla-T4",
// "NVIDIA-Tesla-T4") and by how a GPU is shared ("…-SHARED", "…-MIG-1g.5gb"): one chip, several products.
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

// strength is the speed of matrix products first, and memory where that is the same. The factor leaves memory its digits.
func strength(gigaflops, gigabytes int) int {
	const memoryDigits = 1000
	return gigaflops/100*memoryDigits + gigabytes
}

// gpuShare is how much of a GPU a label speaks of.
type gpuShare struct {
	timeSliced bool   // the whole GPU, with others on it
	profile    string // of MIG, "1g.5gb"
	slices     int    // of MIG; 0 is the whole GPU
	gigabytes  int    // of MIG
}

// wholeSlices is the most parts that MIG cuts a GPU into. A30 has four: one of them is then a little stronger than is said here,
// and nobody gets less than he asked for.
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

// gpuKey is the same for all ways in which drivers have written a product's name.
func gpuKey(label string) string {
	key := strings.NewReplacer(" ", "-", "_", "-").Replace(strings.ToLower(label))
	key = strings.TrimPrefix(key, "nvidia-")
	return strings.TrimPrefix(key, "tesla-")
}

// gpuByFamily finds what stands for a product that is not listed but is one of a listed kind. What a hypervisor cuts off a GPU
// ("A100-10C") is none.
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
