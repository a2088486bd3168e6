package core

// gpuModel is an entry of the catalogue.
type gpuModel struct {
	label string // value of the node label
	name  string
	chip  string
	cores int // CUDA cores of one chip
	// gigaflops is the peak of dense half-precision matrix multiplication in NVIDIA's data sheets, without sparsity; of single precision if
	// half precision is not faster. It only orders products and is not displayed.
	gigaflops int
	gigabytes int // memory of one chip
}

// gpuModels is the catalogue, from Kepler to Blackwell. K10, K80, M10, M60 and A16 are cards with several chips; each chip is one GPU.
var gpuModels = []gpuModel{
	// Kepler
	{"Tesla-K10", "Tesla K10", "GK104", 1536, 2_300, 4},
	{"Tesla-K20m", "Tesla K20m", "GK110", 2496, 3_500, 5},
	{"Tesla-K20Xm", "Tesla K20Xm", "GK110", 2688, 3_900, 6},
	{"Tesla-K40c", "Tesla K40c", "GK110B", 2880, 5_000, 12},
	{"Tesla-K40m", "Tesla K40m", "GK110B", 2880, 5_000, 12},
	{"Tesla-K80", "Tesla K80", "GK210", 2496, 4_300, 12},
	// Maxwell
	{"Tesla-M4", "Tesla M4", "GM206", 1024, 2_200, 4},
	{"Tesla-M10", "Tesla M10", "GM107", 640, 1_600, 8},
	{"Tesla-M40", "Tesla M40", "GM200", 3072, 6_800, 12},
	{"Tesla-M40-24GB", "Tesla M40 24GB", "GM200", 3072, 6_800, 24},
	{"Tesla-M60", "Tesla M60", "GM204", 2048, 4_800, 8},
	// Pascal
	{"Tesla-P4", "Tesla P4", "GP104", 2560, 5_500, 8},
	{"Tesla-P40", "Tesla P40", "GP102", 3840, 11_800, 24},
	{"Tesla-P100-PCIE-12GB", "Tesla P100 PCIe 12GB", "GP100", 3584, 18_700, 12},
	{"Tesla-P100-PCIE-16GB", "Tesla P100 PCIe 16GB", "GP100", 3584, 18_700, 16},
	{"Tesla-P100-SXM2-16GB", "Tesla P100 SXM2 16GB", "GP100", 3584, 21_200, 16},
	{"Quadro-P6000", "Quadro P6000", "GP102", 3840, 12_000, 24},
	{"Quadro-GP100", "Quadro GP100", "GP100", 3584, 20_700, 16},
	{"GeForce-GTX-1080-Ti", "GeForce GTX 1080 Ti", "GP102", 3584, 11_300, 11},
	// Volta
	{"Tesla-V100-PCIE-16GB", "Tesla V100 PCIe 16GB", "GV100", 5120, 112_000, 16},
	{"Tesla-V100-PCIE-32GB", "Tesla V100 PCIe 32GB", "GV100", 5120, 112_000, 32},
	{"Tesla-V100-SXM2-16GB", "Tesla V100 SXM2 16GB", "GV100", 5120, 125_000, 16},
	{"Tesla-V100-SXM2-32GB", "Tesla V100 SXM2 32GB", "GV100", 5120, 125_000, 32},
	{"Tesla-V100-SXM3-32GB", "Tesla V100 SXM3 32GB", "GV100", 5120, 125_000, 32},
	{"Tesla-V100S-PCIE-32GB", "Tesla V100S PCIe 32GB", "GV100", 5120, 130_000, 32},
	{"Quadro-GV100", "Quadro GV100", "GV100", 5120, 118_500, 32},
	// Turing
	{"Tesla-T4", "Tesla T4", "TU104", 2560, 65_000, 16},
	{"Quadro-RTX-5000", "Quadro RTX 5000", "TU104", 3072, 89_200, 16},
	{"Quadro-RTX-6000", "Quadro RTX 6000", "TU102", 4608, 130_500, 24},
	{"Quadro-RTX-8000", "Quadro RTX 8000", "TU102", 4608, 130_500, 48},
	{"GeForce-RTX-2080-Ti", "GeForce RTX 2080 Ti", "TU102", 4352, 53_800, 11},
	// Ampere
	{"NVIDIA-A2", "NVIDIA A2", "GA107", 1280, 18_000, 16},
	{"NVIDIA-A16", "NVIDIA A16", "GA107", 1280, 17_900, 16},
	{"NVIDIA-A10", "NVIDIA A10", "GA102", 9216, 125_000, 24},
	{"NVIDIA-A10G", "NVIDIA A10G", "GA102", 10240, 70_000, 24},
	{"NVIDIA-A30", "NVIDIA A30", "GA100", 3584, 165_000, 24},
	{"NVIDIA-A40", "NVIDIA A40", "GA102", 10752, 149_700, 48},
	{"NVIDIA-A100-PCIE-40GB", "NVIDIA A100 PCIe 40GB", "GA100", 6912, 312_000, 40},
	{"NVIDIA-A100-SXM4-40GB", "NVIDIA A100 SXM4 40GB", "GA100", 6912, 312_000, 40},
	{"NVIDIA-A100-80GB-PCIe", "NVIDIA A100 PCIe 80GB", "GA100", 6912, 312_000, 80},
	{"NVIDIA-A100-SXM4-80GB", "NVIDIA A100 SXM4 80GB", "GA100", 6912, 312_000, 80},
	{"NVIDIA-RTX-A4000", "NVIDIA RTX A4000", "GA104", 6144, 76_700, 16},
	{"NVIDIA-RTX-A5000", "NVIDIA RTX A5000", "GA102", 8192, 111_100, 24},
	{"NVIDIA-RTX-A6000", "NVIDIA RTX A6000", "GA102", 10752, 154_800, 48},
	{"NVIDIA-GeForce-RTX-3090", "GeForce RTX 3090", "GA102", 10496, 71_000, 24},
	// Ada Lovelace
	{"NVIDIA-L4", "NVIDIA L4", "AD104", 7424, 121_000, 24},
	{"NVIDIA-L40", "NVIDIA L40", "AD102", 18176, 181_000, 48},
	{"NVIDIA-L40S", "NVIDIA L40S", "AD102", 18176, 362_000, 48},
	{"NVIDIA-RTX-4000-Ada-Generation", "NVIDIA RTX 4000 Ada", "AD104", 6144, 106_900, 20},
	{"NVIDIA-RTX-5000-Ada-Generation", "NVIDIA RTX 5000 Ada", "AD102", 12800, 261_200, 32},
	{"NVIDIA-RTX-6000-Ada-Generation", "NVIDIA RTX 6000 Ada", "AD102", 18176, 364_200, 48},
	{"NVIDIA-GeForce-RTX-4090", "GeForce RTX 4090", "AD102", 16384, 165_200, 24},
	// Hopper
	{"NVIDIA-H100-PCIe", "NVIDIA H100 PCIe", "GH100", 14592, 756_000, 80},
	{"NVIDIA-H100-NVL", "NVIDIA H100 NVL", "GH100", 16896, 835_000, 94},
	{"NVIDIA-H100-80GB-HBM3", "NVIDIA H100 SXM5 80GB", "GH100", 16896, 989_000, 80},
	{"NVIDIA-GH200-480GB", "NVIDIA GH200", "GH100", 16896, 989_000, 96},
	{"NVIDIA-H200-NVL", "NVIDIA H200 NVL", "GH100", 16896, 835_000, 141},
	{"NVIDIA-H200", "NVIDIA H200 SXM5", "GH100", 16896, 989_000, 141},
	// Blackwell
	{"NVIDIA-GeForce-RTX-5090", "GeForce RTX 5090", "GB202", 21760, 209_500, 32},
	{"NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition", "NVIDIA RTX PRO 6000 Blackwell Server", "GB202", 24064, 500_000, 96},
	{"NVIDIA-RTX-PRO-6000-Blackwell-Workstation-Edition", "NVIDIA RTX PRO 6000 Blackwell Workstation", "GB202", 24064, 500_000, 96},
	{"NVIDIA-B200", "NVIDIA B200", "GB100", 18944, 2_250_000, 180},
	{"NVIDIA-GB200", "NVIDIA GB200", "GB100", 19456, 2_500_000, 186},
}

// gpuFamilies maps the common prefix of unlisted products to the weakest listed product of the family, so that a run never gets a weaker
// GPU than it requested. It has only data-centre products: laptop GPUs differ too much from the products of the same name.
var gpuFamilies = map[string]string{
	"k20": "Tesla-K20m", "k40": "Tesla-K40m", "k80": "Tesla-K80",
	"m40": "Tesla-M40", "m60": "Tesla-M60",
	"p100": "Tesla-P100-PCIE-12GB", "v100": "Tesla-V100-PCIE-16GB", "t4": "Tesla-T4",
	"a30": "NVIDIA-A30", "a100": "NVIDIA-A100-PCIE-40GB",
	"h100": "NVIDIA-H100-PCIe", "h200": "NVIDIA-H200-NVL", "gh200": "NVIDIA-GH200-480GB",
	"b200": "NVIDIA-B200", "gb200": "NVIDIA-GB200",
}

var gpuByKey = func() map[string]gpuModel {
	byKey := make(map[string]gpuModel, len(gpuModels))
	for _, model := range gpuModels {
		byKey[gpuKey(model.label)] = model
	}
	return byKey
}()
