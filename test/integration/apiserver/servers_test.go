package apiserver

import (
	"os"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/outcomes/postgrestest"
)

var _ = Describe("Three servers on one database", func() {
	It("are one server to workers and to the run's status, whichever of them is killed", func(ctx SpecContext) {
		// It would report the same runs from another store.
		api.stop()
		DeferCleanup(func() {
			api.start()
			api.waitReady()
		})
		database, err := postgrestest.Start()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(database.Stop)
		file := filepath.Join(GinkgoT().TempDir(), "url")
		Expect(os.WriteFile(file, []byte(database.SocketURL()), 0o600)).To(Succeed())
		var servers []*server
		for range 3 {
			s := newServer(GinkgoT().TempDir())
			s.more = []string{"--store-url-file=" + file}
			s.start()
			DeferCleanup(s.kill)
			servers = append(servers, s)
		}
		for _, s := range servers {
			s.waitReady()
		}

		run := newRun(ctx, newNamespace(ctx), 3)
		job := start(ctx, run, 1)
		w := newWorker(ctx, run, job, 0)
		at := func(s *server) *worker {
			w.server = s
			return w
		}
		By("continuing a run that another server started")
		Expect(at(servers[0]).call(ctx, "", true).indexes()).To(Equal([]int{0}))
		Expect(at(servers[1]).call(ctx, "", true, succeeded(0, 0)).indexes()).To(Equal([]int{1}))
		By("repeating the answer of a killed server")
		servers[1].kill()
		Expect(at(servers[2]).again(ctx, "", true, succeeded(0, 0)).indexes()).To(Equal([]int{1}))
		By("keeping the lease of a worker that calls only one of them")
		for range 8 {
			Expect(at(servers[2]).call(ctx, "1", false).Revoked).To(BeEmpty())
			Consistently(ctx.Err).WithTimeout(700 * time.Millisecond).Should(Succeed())
		}
		Expect(at(servers[0]).call(ctx, "", true, succeeded(1, 1)).indexes()).To(Equal([]int{2}))
		By("reporting the end although the server that stored the last outcome is killed")
		Expect(at(servers[2]).call(ctx, "", true, succeeded(2, 2)).Action).To(Equal("finished"))
		servers[2].kill()
		Eventually(func(g Gomega) {
			progress := read(ctx, g, run).Status.Progress
			g.Expect(progress).NotTo(BeNil())
			g.Expect(*progress).To(Equal(v1alpha1.RunProgress{Total: 3, Succeeded: 3, Workers: progress.Workers, GPUSeconds: progress.GPUSeconds, Closed: true}))
		}).WithContext(ctx).Should(Succeed())
		By("stopping cleanly")
		servers[0].stop()
	}, SpecTimeout(4*time.Minute))
})
