#!/usr/bin/env bash
# Runs the named stages of the tests one after the other and ends with the counts. A stage that fails does not stop the next one.
# Full reports are in bin/test/STAGE.json. $SEED (1) is the seed by which the integration and end-to-end specs are shuffled.
# usage: hack/test.sh STAGE…
#   unit      every package but test/, with the race detector
#   cluster   the local cluster's own programs (hack/cluster, a module of its own)
#   integration test/integration: both components and the admission rules against a real control plane
#   fuzz      the parsers of untrusted input, $FUZZTIME each (100000x is a number of inputs: Go sometimes fails on time limits)
#   fuzz_deep the same for packages that take minutes to instrument
#   e2e       test/e2e: the operator on the local cluster $CLUSTER, or with E2E_CLUSTER=remote on the cluster of KUBECONFIG
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
cluster=${CLUSTER:-default}

make --no-print-directory bin/gotestsum
mkdir -p bin/test
# Stages change the folder and use absolute paths of this program and of the tools.
CGO_ENABLED=0 go build -trimpath -buildvcs=false -o bin/testcount ./hack/testcount

# report STAGE FORMAT GO_TEST_ARGUMENT…
# Without go vet, which would compile all of Kubernetes again under the race detector's build tags; lint runs it.
report() {
	local stage=$1 format=$2
	shift 2
	"$root/bin/gotestsum" --format "$format" --hide-summary=output --jsonfile "$root/bin/test/$stage.json" -- -vet=off "$@"
}

stage_unit() {
	local packages
	hack/postgresql.sh
	hack/python-libraries.sh
	packages=$(go list ./... | grep -v '^[^/]*/[^/]*/test/')
	# The longest packages come first: the go command starts tests in this order, and the last package would otherwise run alone.
	# shellcheck disable=SC2086 # one word per package
	report unit pkgname-and-test-fails -race -timeout 20m ./runtimes ./apiserver/work ./apiserver/outcomes $packages
}

stage_cluster() {
	# The driver builds first: it reports progress, and the tests of the large binary then have nothing to compile.
	make --no-print-directory bin/cluster-driver
	bin/cluster-driver build
	# No race detector here: it would compile all of Kubernetes again.
	(cd hack/cluster && export CGO_ENABLED=0 GOWORK=off && report cluster pkgname-and-test-fails -trimpath -timeout 20m ./...)
}

stage_integration() {
	make --no-print-directory bin/cluster-driver
	bin/cluster-driver build
	hack/postgresql.sh
	export KUBEBUILDER_ASSETS=$root/bin/cluster/assets
	# The packages run side by side, each with a control plane of its own: most of their time is waiting.
	report integration pkgname-and-test-fails -race -count=1 -timeout 25m -p 2 ./test/integration/... -ginkgo.seed="${SEED:-1}"
}

# fuzz STAGE PACKAGE:TARGET…
fuzz() {
	local stage=$1 target name
	shift
	for target in "$@"; do
		name=${target#*:}
		report "fuzz-$name" testname -trimpath -run '^$' -fuzz "^$name\$" -fuzztime "${FUZZTIME:-100000x}" "./${target%:*}"
		cat "bin/test/fuzz-$name.json" >>"bin/test/$stage.json"
	done
}

stage_fuzz() {
	fuzz fuzz api/printable:FuzzClean api/shallow:FuzzReader api/strictjson:FuzzCheck api/v1alpha1:FuzzDecode exchange:FuzzParseRequest \
		parameters:FuzzParseLiteral parameters:FuzzReader apiserver/rest/wire:FuzzBodies apiserver/rest/wire:FuzzPaths
}

# Go instruments every dependency of a fuzzed package, and these depend on most of Kubernetes' libraries. The unit tests run their
# seeds and corpus.
stage_fuzz_deep() {
	fuzz fuzz_deep controllers:FuzzStoredObjects apiserver/core:FuzzStoredObjects \
		apiserver/rest:FuzzListedInputs apiserver/rest:FuzzStoredObjects apiserver/subresources:FuzzRunQuery cli:FuzzDescribe
}

stage_e2e() {
	local status=0
	hack/postgresql.sh
	if [[ ${E2E_CLUSTER:-local} == local ]]; then
		make --no-print-directory cluster deploy plugin CLUSTER="$cluster" IMAGE= COMPONENT= DEBUG=
		local env
		env=$(bin/cluster-driver env --name "$cluster")
		eval "$env"
	else
		hack/build.sh apiserver kubectl-function
		export PATH=$PATH:$root/bin
	fi
	rm -f bin/test/e2e-skipped.txt
	CGO_ENABLED=0 report e2e testname -trimpath -count=1 -timeout 55m ./test/e2e/... -ginkgo.seed="${SEED:-1}" || status=$?
	[[ ! -f bin/test/e2e-skipped.txt ]] || cat bin/test/e2e-skipped.txt
	return "$status"
}

run_stage() {
	case $1 in
	unit) stage_unit ;;
	cluster) stage_cluster ;;
	integration) stage_integration ;;
	fuzz) stage_fuzz ;;
	fuzz_deep) stage_fuzz_deep ;;
	e2e) stage_e2e ;;
	esac
}

known() { [[ $(type -t "stage_$1") == function ]]; }

# A stage without tests is left out.
exists() {
	case $1 in
	integration | e2e) [[ -n $(find "test/$1" -name '*_test.go' -print -quit 2>/dev/null) ]] ;;
	*) true ;;
	esac
}

passed=0 failed=0 status=0 lines=()
for stage in "$@"; do
	known "$stage" || { echo "unknown stage $stage: the top of hack/test.sh lists them" >&2; exit 2; }
	exists "$stage" || continue
	echo
	echo "── $stage"
	rm -f "bin/test/$stage.json"
	start=$SECONDS flag=()
	# In a subshell, because bash ignores set -e within `if`.
	set +e
	(set -e; run_stage "$stage")
	code=$?
	set -e
	((code == 0)) || { status=1; flag=(--stage-failed); }
	read -r p f s < <(bin/testcount "${flag[@]}" "bin/test/$stage.json")
	passed=$((passed + p)) failed=$((failed + f))
	lines+=("$(printf '%-10s %5.1f min %7d passed %5d failed %5d skipped' "$stage" "$(awk "BEGIN { print ($SECONDS - $start) / 60 }")" "$p" "$f" "$s")")
	echo "${lines[-1]}"
done

echo
printf '%s\n' "${lines[@]}"
((failed == 0)) || status=1
echo "$passed passed, $failed failed"
exit "$status"
