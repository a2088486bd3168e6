package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/outcomes/postgrestest"
	"sharedcloud.io/function-operator/test/builders"
)

// startDatabase starts PostgreSQL on the cluster's node, with TLS and a password, and returns the Secret with its URL. It is
// stopped and deleted after the spec.
func startDatabase(ctx SpecContext) *corev1.Secret {
	GinkgoHelper()
	const address, password = "10.80.0.1", "s3cret of/the:database@"
	folder := strings.TrimSpace(onNode(ctx, "mktemp", "-d", "/tmp/e2e-postgresql-XXXXXX"))
	DeferCleanup(func(ctx SpecContext) {
		onNode(ctx, "sh", "-c", fmt.Sprintf(`pid=$(head -n 1 %[1]s/data/postmaster.pid) && kill -INT $pid && while kill -0 $pid 2>/dev/null; do sleep 0.1; done; rm -rf %[1]s`, folder))
	}, NodeTimeout(time.Minute))
	installation, err := postgrestest.Find()
	Expect(err).NotTo(HaveOccurred())
	account, err := postgrestest.Account()
	Expect(err).NotTo(HaveOccurred())
	// The account of the server may not be able to enter the checkout, so unpacked packages are copied.
	onNode(ctx, "sh", "-ec", fmt.Sprintf(`cd %[1]s
printf %%s '%[3]s' >password
openssl req -x509 -newkey rsa:2048 -nodes -keyout server.key -out server.crt -days 2 -subj /CN=database -addext subjectAltName=IP:%[2]s 2>/dev/null
chmod 600 server.key
bin=%[4]s root=%[5]s
if [ -n "$root" ]; then
  cp -R "$root" programs
  bin=$PWD/programs${bin#"$root"}
  export LD_LIBRARY_PATH=$(ls -d programs/usr/lib/*-linux-* programs/lib/*-linux-* 2>/dev/null | sed "s|^|$PWD/|" | paste -sd:)
fi
chown -R %[6]s:%[7]s .
as="setpriv --reuid=%[6]s --regid=%[7]s --clear-groups"
$as $bin/initdb -D data --username=sharedcloud --pwfile=password --auth=scram-sha-256 --encoding=UTF8 --locale=C >/dev/null
echo 'hostssl all all 0.0.0.0/0 scram-sha-256' >>data/pg_hba.conf
setsid $as $bin/postgres -D data -h %[2]s -k $PWD -c ssl=on -c ssl_cert_file=$PWD/server.crt -c ssl_key_file=$PWD/server.key >log 2>&1 </dev/null &
for _ in $(seq 600); do
  $bin/pg_isready -q -h %[2]s && exit 0
  sleep 0.1
done
cat log; exit 1`, folder, address, password, installation.Bin, installation.Root, account.Uid, account.Gid))
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "sharedcloud-store", Namespace: "sharedcloud-system"},
		StringData: map[string]string{
			"url":    "postgres://sharedcloud:s3cret%20of%2Fthe%3Adatabase%40@" + address + "/postgres?sslmode=verify-full&sslrootcert=/etc/sharedcloud/store/ca.crt",
			"ca.crt": onNode(ctx, "cat", folder+"/server.crt"),
		},
	}
}

// deploy applies an overlay as hack/deploy.sh does, and waits until the API server serves.
func deploy(ctx SpecContext, overlay string) {
	GinkgoHelper()
	kubectl(ctx, "apply", "--server-side", "--force-conflicts", "--field-manager=deploy", "-k", filepath.Join(repository, "bin", overlay))
	served(ctx)
}

// copyPod is the pod in docs/store.md that moves a store, with the image of the API server.
func copyPod(ctx SpecContext) string {
	GinkgoHelper()
	docs, err := os.ReadFile(filepath.Join(repository, "docs", "store.md"))
	Expect(err).NotTo(HaveOccurred())
	_, manifest, begins := strings.Cut(string(docs), "kubectl apply -f - <<END\n")
	manifest, _, ends := strings.Cut(manifest, "   END\n")
	Expect(begins && ends).To(BeTrue(), "docs/store.md has the pod between <<END and END")
	image := kubectl(ctx, "get", "deployment", "sharedcloud-apiserver", "-n", "sharedcloud-system", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
	return strings.ReplaceAll(manifest, "IMAGE", image)
}

// move stops the API server and copies its store to the database of the Secret, as docs/store.md describes.
func move(ctx SpecContext) {
	GinkgoHelper()
	const system = "sharedcloud-system"
	kubectl(ctx, "scale", "-n", system, "deployment/sharedcloud-apiserver", "--replicas=0")
	kubectl(ctx, "wait", "-n", system, "pod", "-l", "app.kubernetes.io/component=apiserver", "--for=delete", "--timeout=120s")
	file := filepath.Join(GinkgoT().TempDir(), "copy.yaml")
	Expect(os.WriteFile(file, []byte(copyPod(ctx)), 0o600)).To(Succeed())
	kubectl(ctx, "apply", "-f", file)
	DeferCleanup(func(ctx SpecContext) { kubectl(ctx, "delete", "pod", "-n", system, "copy-store") }, NodeTimeout(time.Minute))
	Eventually(func() string {
		return kubectl(ctx, "get", "pod", "-n", system, "copy-store", "-o", "jsonpath={.status.phase}")
	}).WithContext(ctx).WithTimeout(3*time.Minute).Should(Equal("Succeeded"), func() string { return kubectl(ctx, "logs", "-n", system, "copy-store") })
	AddReportEntry("what was copied", kubectl(ctx, "logs", "-n", system, "copy-store"))
}

var _ = Describe("On PostgreSQL, three API servers", Serial, func() {
	It("continue with the data from SQLite, and finish every input exactly once while one of them is killed every few seconds", func(ctx SpecContext) {
		needsLocalCluster("the node, to run PostgreSQL on it")
		namespace := newNamespace(ctx)
		moving := makeFunction(ctx, namespace, "moving", "import time\ndef handler(event):\n    time.sleep(0.1)\n    return -event[0]\n")
		moved := startRun(ctx, moving, builders.Inputs(600, builders.Index), withWorkers(2))
		waitProgress(ctx, moved, "some are done", someDone(20))

		secret := startDatabase(ctx)
		Expect(k8s.Create(ctx, secret)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(k8s.Delete(ctx, secret)).To(Succeed()) }, NodeTimeout(time.Minute))
		overlay := filepath.Join(repository, "bin", "deploy-postgresql")
		Expect(os.MkdirAll(overlay, 0o755)).To(Succeed())
		Expect(os.WriteFile(filepath.Join(overlay, "kustomization.yaml"),
			[]byte("resources: [../deploy]\ncomponents: [../../config/components/postgresql]\n"), 0o600)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { deploy(ctx, "deploy") }, NodeTimeout(6*time.Minute))
		move(ctx)
		deploy(ctx, "deploy-postgresql")
		servers := func() (running []corev1.Pod) {
			pods := &corev1.PodList{}
			Expect(k8s.List(ctx, pods, client.InNamespace("sharedcloud-system"), client.MatchingLabels{"app.kubernetes.io/component": "apiserver"})).To(Succeed())
			for _, pod := range pods.Items {
				if pod.DeletionTimestamp == nil && len(pod.Status.ContainerStatuses) == 1 && pod.Status.ContainerStatuses[0].Ready {
					running = append(running, pod)
				}
			}
			return running
		}
		Expect(servers()).To(HaveLen(3))

		By("continuing the run that started on SQLite")
		moved = waitComplete(ctx, moved, 2*time.Minute)
		for i, o := range results(ctx, moved) {
			if string(o.Result) != fmt.Sprint(-i) || o.Attempts != 1 {
				Fail(fmt.Sprintf("index %d: %+v", i, o))
			}
		}

		By("losing one of them every few seconds")
		const n = 100_000
		// However fast the machine, eight workers need 15 seconds for it.
		function := makeFunction(ctx, namespace, "count", "import time\ndef handler(event):\n    time.sleep(0.0012)\n    return event[0] * 3\n")
		waitFunctionReady(ctx, function)
		var inputs strings.Builder
		for i := range n {
			fmt.Fprintf(&inputs, "[%d]\n", i)
		}
		run := upload(ctx, function, "format=ndjson", inputs.String())
		killed := 0
		for next := time.Now().Add(2 * time.Second); ; {
			fresh := refresh(ctx, Default, run)
			if fresh.Status.Progress != nil && fresh.Status.Progress.Closed {
				break
			}
			if ready := servers(); time.Now().After(next) && len(ready) > 1 {
				victim := ready[killed%len(ready)]
				killContainer(ctx, victim)
				// The kubelet would restart it with a growing delay; a new pod starts at once.
				Expect(k8s.Delete(ctx, &victim, client.GracePeriodSeconds(0))).To(Succeed())
				killed++
				next = time.Now().Add(4 * time.Second)
			}
			select {
			case <-ctx.Done():
				Fail("the run has not come to its end: " + statusText(fresh))
			case <-time.After(200 * time.Millisecond):
			}
		}
		run = waitComplete(ctx, run, time.Minute)
		served(ctx)
		for i, o := range results(ctx, run) {
			if string(o.Result) != fmt.Sprint(3*i) || o.Attempts != 1 || o.Status != v1alpha1.OutcomeSucceeded {
				Fail(fmt.Sprintf("index %d: %+v", i, o))
			}
		}
		AddReportEntry("API servers killed during the run", killed)
		Expect(killed).To(BeNumerically(">=", 2))
	}, SpecTimeout(12*time.Minute))
})
