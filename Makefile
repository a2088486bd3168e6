# What people do with this repository. `make` alone lists it; longer recipes are scripts in hack/.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Two big builds at once need more memory than a small machine has, and take longer than one after the other.
.NOTPARALLEL:

# The local cluster's name. Clusters of different names stand side by side.
CLUSTER ?= default
# The image that `make docker-build` makes.
IMAGE ?= docker.io/sharedcloud/function-operator:dev
# The tool that builds it: docker, podman, nerdctl.
CONTAINER_TOOL ?= docker

export CLUSTER

# Flags of everything that is shipped. Tests that do not need the race detector use them too, so that nothing is compiled twice.
export BUILD_FLAGS := -trimpath -buildvcs=false

##@ General

.PHONY: help
help: ## Show this list.
	@awk -f hack/help.awk $(MAKEFILE_LIST)

##@ Try it

.PHONY: demo
demo: cluster deploy ## Cluster, operator, a function, a run over real data, and its answers in a table.
	@hack/demo/demo.sh

.PHONY: cluster
cluster: bin/cluster-driver ## Bring up the local cluster: one real node with 8 simulated GPUs.
	@bin/cluster-driver up --name $(CLUSTER)

.PHONY: cluster-env
cluster-env: bin/cluster-driver ## Print shell exports for it: eval "$(make -s cluster-env)"
	@bin/cluster-driver env --name $(CLUSTER)

.PHONY: cluster-down
cluster-down: bin/cluster-driver ## End it and take everything of it away.
	@bin/cluster-driver down --name $(CLUSTER)

.PHONY: deploy
deploy: build bin/cluster-driver ## Build the operator and put it on the local cluster.
	@hack/deploy.sh

##@ Test

.PHONY: test
test: ## Everything: unit tests, specs, end-to-end. Ends with the counts.
	@hack/test.sh unit fuzz cluster integration e2e

.PHONY: test-unit
test-unit: ## Unit tests, with the race detector.
	@hack/test.sh unit

.PHONY: test-fuzz
test-fuzz: ## The parsers of what strangers send, on random input, $$FUZZTIME (100000x) each.
	@hack/test.sh fuzz

.PHONY: test-fuzz-deep
test-fuzz-deep: ## The same for packages that take minutes to build for it: stored objects in both components, calls of workers.
	@hack/test.sh fuzz_deep

.PHONY: test-cluster
test-cluster: ## Unit tests of the local cluster's own programs (hack/cluster).
	@hack/test.sh cluster

.PHONY: test-integration
test-integration: ## Specs against a real control plane (test/integration).
	@hack/test.sh integration

.PHONY: test-e2e
test-e2e: ## End-to-end tests on the local cluster (test/e2e).
	@hack/test.sh e2e

.PHONY: bench
bench: ## Measure against the plain ways of doing the same, as ratios.
	@hack/benchmark/bench.sh

.PHONY: lint
lint: bin/golangci-lint bin/golangci-lint-kube-api-linter ## Formatting, linters, rules for API types, import directions.
	@hack/lint.sh

##@ Build

.PHONY: build
build: ## Build bin/manager and bin/apiserver, static.
	@hack/build.sh manager apiserver

.PHONY: plugin
plugin: ## Build bin/kubectl-function, the plugin `kubectl function`, static.
	@hack/build.sh kubectl-function

.PHONY: docker-build
docker-build: ## Build the image with $(CONTAINER_TOOL), for this machine's architecture.
	$(CONTAINER_TOOL) build -t $(IMAGE) .

.PHONY: generate
generate: bin/controller-gen ## Generate deep copies, CRDs, apply configurations, RBAC roles and the table of docs/security.md.
	@hack/generate.sh

.PHONY: verify-generated
verify-generated: bin/controller-gen ## Generate again and show what differs.
	@hack/verify-generated.sh

.PHONY: kustomize
kustomize: bin/kustomize ## Render config/default to standard output.
	@bin/kustomize build config/default

.PHONY: clean
clean: ## Take away what was built, the cluster's programs and images included.
	rm -rf bin

# Tools are built when first needed, from the versions that hack/tools/go.mod and hack/lint/go.mod pin.

TOOLS := controller-gen kustomize gotestsum
LINTERS := golangci-lint golangci-lint-kube-api-linter

package/controller-gen := sigs.k8s.io/controller-tools/cmd/controller-gen
package/kustomize := sigs.k8s.io/kustomize/kustomize/v5
package/gotestsum := gotest.tools/gotestsum
package/golangci-lint := github.com/golangci/golangci-lint/v2/cmd/golangci-lint
package/golangci-lint-kube-api-linter := sigs.k8s.io/kube-api-linter/cmd/golangci-lint-kube-api-linter

$(TOOLS:%=bin/%): bin/%: hack/tools/go.mod hack/tools/go.sum
	@hack/build-tool.sh hack/tools $* $(package/$*)

$(LINTERS:%=bin/%): bin/%: hack/lint/go.mod hack/lint/go.sum
	@hack/build-tool.sh hack/lint $* $(package/$*)

# Go knows better than make what is up to date, so this asks it each time.
.PHONY: bin/cluster-driver
bin/cluster-driver:
	@hack/build-cluster-driver.sh
