#!/usr/bin/env bash
# Runs the stages of the tests that are named, one after the other, and ends with the counts. A stage that fails does
# not keep the next from running. Full reports are in bin/test/STAGE.json. Specs run in the order that $SEED (1) shuffles them to.
# usage: hack/test.sh STAGE…
#   unit      every package but test/: with the race detector
#   cluster   the local cluster's own programs (hack/cluster, a module of its own)
#   integration test/integration: the controllers and the admission rules against a real control plane
#   fuzz      the parsers of what strangers send, each $FUZZTIME (100000x: so many inputs; time limits end in an error of Go now and then)
#   fuzz_deep the same for packages that take minutes to build for it
#   e2e       test/e2e: everything, on the local cluster $CLUSTER
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
cluster=${CLUSTER:-default}

make --no-print-directory bin/gotestsum
mkdir -p bin/test
# testcount and the tools are found by their folder, whatever a stage changes into.
CGO_ENABLED=0 go build -trimpath -buildvcs=false -o bin/testcount ./hack/testcount

# report STAGE FORMAT GO_TEST_ARGUMENT…
# Without go vet: it would look at all of Kubernetes once more with the race detector's build tags, and lint has it.
report() {
	local stage=$1 format=$2
	shift 2
	"$root/bin/gotestsum" --format "$format" --hide-summary=output --jsonfile "$root/bin/test/$stage.json" -- -vet=off "$@"
}

stage_unit() {
	local packages
	packages=$(go list ./... | grep -v '^[^/]*/[^/]*/test/')
	# shellcheck disable=SC2086 # one word per package
	report unit pkgname-and-test-fails -race -timeout 20m $packages
}

stage_cluster() {
	# Built by the driver first: that shows its progress, and leaves nothing to compile for the test of the big binary.
	make --no-print-directory bin/cluster-driver
	bin/cluster-driver build
	# No race detector here: it would compile all of Kubernetes once more.
	(cd hack/cluster && export CGO_ENABLED=0 GOWORK=off && report cluster pkgname-and-test-fails -trimpath -timeout 20m ./...)
}

stage_integration() {
	make --no-print-directory bin/cluster-driver
	bin/cluster-driver build
	export KUBEBUILDER_ASSETS=$root/bin/cluster/assets
	# One package after the other: each has a control plane of its own.
	report integration pkgname-and-test-fails -race -count=1 -timeout 25m -p 1 ./test/integration/... -ginkgo.seed="${SEED:-1}"
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
	fuzz fuzz api/printable:FuzzClean api/shallow:FuzzReader api/strictjson:FuzzCheck api/v1alpha1:FuzzDecode \
		parameters:FuzzParseLiteral parameters:FuzzReader apiserver/rest/wire:FuzzBodies apiserver/rest/wire:FuzzPaths
}

# Go instruments every dependency of what it fuzzes, and these packages have most of Kubernetes' libraries. The unit tests run
# them on their seeds and corpus.
stage_fuzz_deep() {
	fuzz fuzz_deep controllers:FuzzStoredObjects apiserver/core:FuzzStoredObjects apiserver/work:FuzzParseRequest \
		apiserver/rest:FuzzListedInputs apiserver/rest:FuzzStoredObjects apiserver/subresources:FuzzRunQuery cli:FuzzDescribe
}

stage_e2e() {
	make --no-print-directory cluster deploy plugin CLUSTER="$cluster"
	local env
	env=$(bin/cluster-driver env --name "$cluster")
	eval "$env"
	CGO_ENABLED=0 report e2e testname -trimpath -count=1 -timeout 55m ./test/e2e/... -ginkgo.seed="${SEED:-1}"
}

# A stage exists when there is something in it to run.
exists() {
	case $1 in
	integration | e2e) [[ -n $(find "test/$1" -name '*_test.go' -print -quit 2>/dev/null) ]] ;;
	*) true ;;
	esac
}

passed=0 failed=0 status=0 lines=()
for stage in "$@"; do
	[[ $(type -t "stage_$stage") == function ]] || { echo "there is no stage $stage: see the top of hack/test.sh" >&2; exit 2; }
	exists "$stage" || continue
	echo
	echo "── $stage"
	rm -f "bin/test/$stage.json"
	start=$SECONDS flag=()
	# In a process of its own: within `if`, bash would ignore set -e.
	set +e
	(set -e; "stage_$stage")
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
