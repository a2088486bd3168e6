# Entry points for building, testing and running the operator. `make` lists them; longer recipes are scripts in hack/.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Two large builds at once need more memory than a small machine has, and take longer than one after the other.
.NOTPARALLEL:

# The name of the local cluster. Clusters of different names run side by side.
CLUSTER ?= default
# The image that `make docker-build` builds. Given to `make deploy`, it selects the cluster of KUBECONFIG; see there.
IMAGE ?= docker.io/sharedcloud/function-operator:dev
# The program that builds the image: docker, podman or nerdctl.
CONTAINER_TOOL ?= docker
# One component instead of both, for deploy and profile: manager or apiserver.
COMPONENT ?=
# 1 builds the operator's programs for a debugger: with symbols, without optimizations.
DEBUG ?=
# What `make profile` fetches: heap, profile (CPU), goroutine, allocs, block, mutex or trace.
PROFILE ?= heap
# The duration of a CPU profile or of a trace.
SECONDS ?= 30

export CLUSTER COMPONENT DEBUG

# The image that deploy uses: IMAGE where the caller has set it. Without one, deploy uses the local cluster.
DEPLOY_IMAGE = $(if $(filter-out file default undefined,$(origin IMAGE)),$(IMAGE))
COMPONENTS = $(or $(COMPONENT),manager apiserver)

# The build flags of everything that is shipped. Tests without the race detector use them too, so that packages are compiled once.
export BUILD_FLAGS := -trimpath -buildvcs=false

##@ General

.PHONY: help
help: ## List the targets.
	@awk -f hack/help.awk $(MAKEFILE_LIST)

##@ Try it

.PHONY: demo
demo: DEPLOY_IMAGE :=
demo: COMPONENTS := manager apiserver
demo: cluster deploy ## Start the local cluster, deploy the operator, run a function over real data and print the results.
	@hack/demo/demo.sh

.PHONY: cluster
cluster: bin/cluster-driver ## Start the local cluster: one real node with 8 simulated GPUs.
	@bin/cluster-driver up --name $(CLUSTER)

.PHONY: cluster-env
cluster-env: bin/cluster-driver ## Print the shell exports for the local cluster: eval "$(make -s cluster-env)"
	@bin/cluster-driver env --name $(CLUSTER)

.PHONY: cluster-down
cluster-down: bin/cluster-driver ## Stop the local cluster and delete everything that belongs to it.
	@bin/cluster-driver down --name $(CLUSTER)

##@ Develop

.PHONY: deploy
deploy: ## Deploy the operator on the local cluster or, with IMAGE=, on the cluster of KUBECONFIG. COMPONENT= deploys one.
	@if [[ -n "$(DEPLOY_IMAGE)" ]]; then \
		hack/deploy.sh "$(DEPLOY_IMAGE)"; \
	else \
		hack/build.sh $(COMPONENTS) && hack/build-cluster-driver.sh && COMPONENT="$(if $(filter 1,$(words $(COMPONENTS))),$(COMPONENTS))" hack/deploy.sh; \
	fi

.PHONY: run
run: ## Run the manager from source against the cluster of KUBECONFIG, in place of the one in the cluster. ARGS= adds flags.
	@hack/run.sh $(ARGS)

.PHONY: profile
profile: ## Fetch a profile of COMPONENT=manager|apiserver into bin/profiles: PROFILE=heap|profile|goroutine, SECONDS=30.
	@SECONDS_OF_PROFILE="$(SECONDS)" hack/profile.sh "$(COMPONENT)" "$(PROFILE)"

##@ Test

.PHONY: test
test: ## Run all tests and print the counts: unit, fuzz, integration, end-to-end.
	@hack/test.sh unit fuzz cluster integration e2e

.PHONY: test-unit
test-unit: ## Run the unit tests, with the race detector.
	@hack/test.sh unit

.PHONY: test-fuzz
test-fuzz: ## Fuzz the parsers of untrusted input, $$FUZZTIME (100000x) each.
	@hack/test.sh fuzz

.PHONY: test-fuzz-deep
test-fuzz-deep: ## Fuzz the packages that take minutes to instrument: stored objects in both components, calls of workers.
	@hack/test.sh fuzz_deep

.PHONY: test-cluster
test-cluster: ## Run the unit tests of the local cluster's programs (hack/cluster).
	@hack/test.sh cluster

.PHONY: test-integration
test-integration: ## Run the integration tests against a real control plane (test/integration).
	@hack/test.sh integration

.PHONY: test-e2e
test-e2e: ## Run the end-to-end tests on the local cluster (test/e2e), or with E2E_CLUSTER=remote on the cluster of KUBECONFIG.
	@hack/test.sh e2e

.PHONY: bench
bench: ## Measure the operator against plain ways of doing the same, and print ratios.
	@hack/benchmark/bench.sh

.PHONY: lint
lint: bin/golangci-lint bin/golangci-lint-kube-api-linter bin/eslint ## Check formatting, Go, Python, JavaScript and shell, rules for API types and import directions.
	@hack/lint.sh

##@ Build

.PHONY: build
build: ## Build bin/manager and bin/apiserver, statically linked.
	@hack/build.sh manager apiserver

.PHONY: plugin
plugin: ## Build bin/kubectl-function, the plugin `kubectl function`, statically linked.
	@hack/build.sh kubectl-function

.PHONY: docker-build
docker-build: ## Build the image IMAGE with CONTAINER_TOOL, for the architecture of this machine.
	$(CONTAINER_TOOL) build --build-arg VERSION_FLAGS="$$(hack/ldflags.sh)" --build-arg DEBUG="$(DEBUG)" -t $(IMAGE) .

.PHONY: generate
generate: bin/controller-gen ## Generate deep copies, CRDs, apply configurations, RBAC roles, the Node runner and the table of docs/security.md.
	@hack/generate.sh

.PHONY: verify-generated
verify-generated: bin/controller-gen ## Generate into a copy and print the differences.
	@hack/verify-generated.sh

.PHONY: postgresql
postgresql: ## Fetch PostgreSQL for the tests into bin/, where the machine has none.
	@hack/postgresql.sh

.PHONY: kustomize
kustomize: bin/kustomize ## Render config/default to standard output.
	@bin/kustomize build config/default

.PHONY: clean
clean: ## Delete bin/: everything built and downloaded, with the programs and images of the local cluster.
	rm -rf bin

# Tools are built when they are first needed, from the versions that hack/tools/go.mod and hack/lint/go.mod pin.

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

lint: bin/golangci-lint bin/golangci-lint-kube-api-linter bin/eslint ## Check formatting, Go, Python, JavaScript and shell, rules for API types and import directions.
.PHONY: bin/cluster-driver
bin/cluster-driver:
	@hack/build-cluster-driver.sh
