package e2e

import (
	"database/sql"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // driver for the database that the store is copied to
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/outcomes/postgrestest"
)

// stored is the content of a store for one run: the succeeded count of its row, and the number of its outcomes.
func stored(driver, address string, run *v1alpha1.FunctionRun) (succeeded, outcomes int) {
	GinkgoHelper()
	db, err := sql.Open(driver, address)
	Expect(err).NotTo(HaveOccurred())
	defer db.Close()
	Expect(db.QueryRow(`SELECT succeeded, (SELECT COUNT(*) FROM outcomes WHERE outcomes.id / 4294967296 = runs.id)
		FROM runs WHERE uid = $1`, string(run.UID)).Scan(&succeeded, &outcomes)).To(Succeed())
	return succeeded, outcomes
}

var _ = Describe("A backup", func() {
	It("is one consistent state, taken while runs execute, and restores into another store on either engine", func(ctx SpecContext) {
		function := makeFunction(ctx, newNamespace(ctx), "backup", "import time\ndef handler(event):\n    time.sleep(0.05)\n    return event[0]\n")
		waitFunctionReady(ctx, function)
		run := upload(ctx, function, "", "["+strings.Repeat("[1],", 2999)+"[1]]")
		waitProgress(ctx, run, "some are done", someDone(100))

		folder := GinkgoT().TempDir()
		file := filepath.Join(folder, "backup.gz")
		to, err := os.Create(file)
		Expect(err).NotTo(HaveOccurred())
		export := exec.CommandContext(ctx, "kubectl", "exec", "-n", "sharedcloud-system", "deployment/sharedcloud-apiserver", "--",
			"/apiserver", "store", "export", "--store=sqlite:///var/lib/sharedcloud/outcomes.db", "--to=-")
		export.Stdout, export.Stderr = to, GinkgoWriter
		Expect(export.Run()).To(Succeed())
		Expect(to.Close()).To(Succeed())
		Expect(refresh(ctx, Default, run).Status.Progress.Closed).To(BeFalse(), "the run went on meanwhile")

		program := filepath.Join(repository, "bin", "apiserver")
		command := func(args ...string) string {
			GinkgoHelper()
			out, err := exec.CommandContext(ctx, program, append([]string{"store"}, args...)...).CombinedOutput()
			Expect(err).NotTo(HaveOccurred(), "%s", out)
			return string(out)
		}
		restored := filepath.Join(folder, "restored", "outcomes.db")
		Expect(command("import", "--store=sqlite://"+restored, "--from="+file)).To(ContainSubstring("runs"))
		succeeded, outcomes := stored("sqlite", "file:"+restored+"?mode=ro", run)
		Expect(outcomes).To(Equal(succeeded), "the row and its outcomes are of one moment")
		Expect(outcomes).To(And(BeNumerically(">=", 100), BeNumerically("<", 3000)))

		By("moving to PostgreSQL")
		database, err := postgrestest.Start()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(database.Stop)
		url := filepath.Join(folder, "url")
		Expect(os.WriteFile(url, []byte(database.SocketURL()), 0o600)).To(Succeed())
		command("copy", "--from=sqlite://"+restored, "--to-url-file="+url)
		movedSucceeded, movedOutcomes := stored("pgx", database.SocketURL(), run)
		Expect([]int{movedSucceeded, movedOutcomes}).To(Equal([]int{succeeded, outcomes}))

		By("refusing a truncated file")
		text, err := os.ReadFile(file)
		Expect(err).NotTo(HaveOccurred())
		cut := filepath.Join(folder, "cut.gz")
		Expect(os.WriteFile(cut, text[:len(text)/2], 0o600)).To(Succeed())
		other := filepath.Join(folder, "other", "outcomes.db")
		out, err := exec.CommandContext(ctx, program, "store", "import", "--store=sqlite://"+other, "--from="+cut).CombinedOutput()
		Expect(err).To(HaveOccurred(), "%s", out)
		waitComplete(ctx, run, 3*time.Minute)
	}, SpecTimeout(8*time.Minute))
})
