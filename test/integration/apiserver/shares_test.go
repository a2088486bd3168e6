package apiserver

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// subresources is the path of a run's subresources.
func subresources(run *v1alpha1.FunctionRun) string {
	return fmt.Sprintf("%s/apis/subresources.sharedcloud.io/v1alpha1/namespaces/%s/functionruns/%s", api.url(), run.Namespace, run.Name)
}

// stream opens a response that does not end, on the server's own port. It is closed after the spec.
func (c *caller) stream(ctx context.Context, address string) (int, *bufio.Reader, http.Header) {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Authorization", "Bearer "+c.token)
	streaming := api.client()
	streaming.Timeout = 0
	response, err := streaming.Do(request) //nolint:bodyclose // when the spec ends
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(response.Body.Close)
	return response.StatusCode, bufio.NewReader(response.Body), response.Header
}

// endOf is closed when a stream has ended.
func endOf(reader io.Reader) chan struct{} {
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, reader)
		close(ended)
	}()
	return ended
}

var _ = Describe("Streams of one tenant", func() {
	//security:attack tenant | Follows of logs through several accounts of one namespace, as many as the server gives. | 429 with Retry-After that names the limit; another tenant follows.
	It("leave room for streams of other tenants", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		run := newRun(ctx, namespace, 1)
		start(ctx, run, 1)
		open := 0
		var refused string
		for range 5 {
			greedy := newCaller(ctx, namespace, may)
			for range 20 {
				status, body, header := greedy.stream(ctx, subresources(run)+"/log?follow=true")
				if status == http.StatusTooManyRequests {
					text, err := io.ReadAll(body)
					Expect(err).NotTo(HaveOccurred())
					Expect(header.Get("Retry-After")).NotTo(BeEmpty())
					refused = string(text)
					break
				}
				Expect(status).To(Equal(http.StatusOK))
				open++
			}
		}
		Expect(refused).To(ContainSubstring("the namespace " + namespace))
		Expect(open).To(BeNumerically(">=", 8))
		other := newNamespace(ctx)
		theirs := newRun(ctx, other, 1)
		start(ctx, theirs, 1)
		status, _, _ := newCaller(ctx, other, may).stream(ctx, subresources(theirs)+"/log?follow=true")
		Expect(status).To(Equal(http.StatusOK))
	}, SpecTimeout(3*time.Minute))
})

var _ = Describe("A stream whose caller", Serial, func() {
	var run *v1alpha1.FunctionRun
	var ended chan struct{}
	BeforeEach(func(ctx SpecContext) {
		api.restartWith("--reauthorize-interval=200ms", "--authorization-webhook-cache-authorized-ttl=200ms")
		namespace := newNamespace(ctx)
		run = newRun(ctx, namespace, 1)
		start(ctx, run, 1)
		status, reader, _ := newCaller(ctx, namespace, may).stream(context.WithoutCancel(ctx), subresources(run)+"/log?follow=true")
		Expect(status).To(Equal(http.StatusOK))
		ended = endOf(reader)
		Consistently(ended).WithContext(ctx).WithTimeout(1500 * time.Millisecond).ShouldNot(BeClosed())
	}, NodeTimeout(2*time.Minute))

	//security:attack tenant | A log is followed on after the right to get the run is gone. | The stream ends within a minute.
	It("lost the right is closed", func(ctx SpecContext) {
		Expect(clientset.RbacV1().RoleBindings(run.Namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})).To(Succeed())
		Eventually(ended).WithContext(ctx).WithTimeout(time.Minute).Should(BeClosed())
	}, SpecTimeout(2*time.Minute))

	//security:attack tenant | A log is followed on after the account is deleted, and its token with it. | The stream ends within a minute.
	It("is deleted is closed", func(ctx SpecContext) {
		accounts := &corev1.ServiceAccountList{}
		Expect(k8s.List(ctx, accounts)).To(Succeed())
		for i := range accounts.Items {
			if account := &accounts.Items[i]; account.Namespace == run.Namespace {
				Expect(k8s.Delete(ctx, account)).To(Succeed())
			}
		}
		Eventually(ended).WithContext(ctx).WithTimeout(time.Minute).Should(BeClosed())
	}, SpecTimeout(2*time.Minute))

	//security:attack tenant | A log is followed on after the namespace is deleted. | The stream ends within a minute.
	It("loses its namespace is closed", func(ctx SpecContext) {
		Expect(k8s.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: run.Namespace}})).To(Succeed())
		Eventually(ended).WithContext(ctx).WithTimeout(time.Minute).Should(BeClosed())
	}, SpecTimeout(2*time.Minute))
})

var _ = Describe("A stream through the aggregator whose service account", Serial, func() {
	//security:attack tenant | A log is followed on through the Kubernetes API after the account is deleted. | The stream ends within a minute.
	It("is deleted is closed", func(ctx SpecContext) {
		api.restartWith("--reauthorize-interval=200ms", "--authorization-webhook-cache-authorized-ttl=200ms")
		namespace := newNamespace(ctx)
		run := newRun(ctx, namespace, 1)
		start(ctx, run, 1)
		c := newCaller(ctx, namespace, may, rbacv1.PolicyRule{
			APIGroups: []string{"subresources.sharedcloud.io"}, Resources: []string{"functionruns/log"}, Verbs: []string{"get"},
		})
		streaming := &http.Client{Transport: http.DefaultTransport}
		transport, err := transportTo(c.token)
		Expect(err).NotTo(HaveOccurred())
		streaming.Transport = transport
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.Replace(subresources(run), api.url(), strings.TrimSuffix(restConfig.Host, "/"), 1)+"/log?follow=true", nil)
		Expect(err).NotTo(HaveOccurred())
		var response *http.Response
		Eventually(func(g Gomega) {
			response, err = streaming.Do(request)
			g.Expect(err).NotTo(HaveOccurred())
			if response.StatusCode != http.StatusOK {
				_ = response.Body.Close()
			}
			g.Expect(response.StatusCode).To(Equal(http.StatusOK))
		}).WithContext(ctx).Should(Succeed())
		DeferCleanup(response.Body.Close)
		ended := endOf(response.Body)
		Consistently(ended).WithContext(ctx).WithTimeout(1500 * time.Millisecond).ShouldNot(BeClosed())
		accounts := &corev1.ServiceAccountList{}
		Expect(k8s.List(ctx, accounts)).To(Succeed())
		for i := range accounts.Items {
			if account := &accounts.Items[i]; account.Namespace == namespace && account.Name != "default" {
				Expect(k8s.Delete(ctx, account)).To(Succeed())
			}
		}
		Eventually(ended).WithContext(ctx).WithTimeout(time.Minute).Should(BeClosed())
	}, SpecTimeout(3*time.Minute))
})

// percentile is a percentile of durations.
func percentile(took []time.Duration, share float64) time.Duration {
	slices.Sort(took)
	return took[min(len(took)-1, int(share*float64(len(took))))]
}

var _ = Describe("A flood", Serial, func() {
	// beside measures a good caller's reads during the flood.
	beside := func(ctx context.Context, good *caller, path string, flood func(ctx context.Context)) time.Duration {
		GinkgoHelper()
		flooding, stop := context.WithCancel(ctx)
		defer stop()
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for flooding.Err() == nil {
					flood(flooding)
				}
			})
		}
		var took []time.Duration
		for range 100 {
			began := time.Now()
			got := good.do(ctx, http.MethodGet, path, nil)
			Expect(got.Status).To(Equal(http.StatusOK), got.Body)
			took = append(took, time.Since(began))
		}
		stop()
		group.Wait()
		return percentile(took, 0.99)
	}
	// post sends a request that may fail, and returns its status and Retry-After.
	post := func(ctx context.Context, via *http.Client, address, authorization, body string) (int, string) {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(body))
		if err != nil {
			return 0, ""
		}
		request.Header.Set("Authorization", authorization)
		request.Header.Set("Content-Type", "application/json")
		response, err := via.Do(request)
		if err != nil {
			return 0, ""
		}
		defer response.Body.Close()
		_, _ = io.Copy(io.Discard, response.Body)
		return response.StatusCode, response.Header.Get("Retry-After")
	}
	// kept is a client with keep-alive.
	kept := func() *http.Client {
		c := api.client()
		transport, ok := c.Transport.(*http.Transport)
		Expect(ok).To(BeTrue())
		transport.DisableKeepAlives = false
		DeferCleanup(transport.CloseIdleConnections)
		return c
	}

	//security:attack anonymous | Made-up tokens at the exchange, REST and the aggregated API, as fast as they can be sent. | Few reach the cluster; a caller and a new worker from the same address are served.
	It("of made-up tokens does not keep other callers out", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		good := newCaller(ctx, namespace, editor)
		run := newRun(ctx, namespace, 1)
		w := newWorker(ctx, run, start(ctx, run, 1), 0)
		var sent, throttled atomic.Int64
		via := kept()
		before := tokenReviews(ctx)
		slowest := beside(ctx, good, "/functions", func(ctx context.Context) {
			n := sent.Add(1)
			address := []string{
				fmt.Sprintf("%s/work/v1/namespaces/%s/runs/%s/exchange", api.url(), namespace, run.Name),
				api.url() + "/api/v1/functions", api.url() + "/apis/subresources.sharedcloud.io/v1alpha1",
			}[n%3]
			if status, again := post(ctx, via, address, fmt.Sprintf("Bearer bogus-%d", n), "{}"); status == http.StatusTooManyRequests && again != "" {
				throttled.Add(1)
			}
		})
		Expect(slowest).To(BeNumerically("<", 2*time.Second))
		Expect(throttled.Load()).To(BeNumerically(">", 0))
		Expect(tokenReviews(ctx)-before).To(BeNumerically("<", 1000), "of %d made up tokens", sent.Load())
		Expect(w.call(ctx, "", true).Action).To(Equal("work"))
	}, SpecTimeout(3*time.Minute))

	//security:attack tenant | 100,000 submissions, as fast as they can be sent. | 429 with Retry-After; another tenant's p99 stays below a second.
	It("of submissions of one tenant is refused, and another tenant is served", func(ctx SpecContext) {
		api.restartWith("--rest-writes-per-second=20")
		greedy, good := newCaller(ctx, newNamespace(ctx), editor), newCaller(ctx, newNamespace(ctx), editor)
		image := newImage(ctx, greedy.namespace, "python", "python36")
		id := greedy.made(ctx, image)["uuid"]
		via := kept()
		var made, throttled, others atomic.Int64
		body := fmt.Sprintf(`{"function":%q,"parameters":"((1,),)"}`, id)
		slowest := beside(ctx, good, "/functions", func(ctx context.Context) {
			if made.Load()+throttled.Load() > 100_000 {
				<-ctx.Done()
				return
			}
			switch status, again := post(ctx, via, api.url()+"/api/v1/runs", "Token "+greedy.token, body); {
			case status == http.StatusTooManyRequests && again != "":
				throttled.Add(1)
			case status == http.StatusOK:
				made.Add(1)
			case status != 0:
				others.Add(1)
			}
		})
		Expect(slowest).To(BeNumerically("<", time.Second))
		Expect(others.Load()).To(BeZero())
		Expect(throttled.Load()).To(BeNumerically(">", made.Load()))
	}, SpecTimeout(3*time.Minute))
})

var _ = Describe("Health", func() {
	//security:attack anonymous | Requests for health with verbose, or for one check. | ok or not ok, without names and reasons; 401 for one check.
	It("shows its reasons only to permitted users", func(ctx SpecContext) {
		status, body := get(api.client(), api.url()+"/readyz?verbose")
		Expect(status).To(Equal(http.StatusOK))
		Expect(body).To(Equal("ok"))
		status, _ = get(api.client(), api.url()+"/readyz/outcome-store")
		Expect(status).To(Equal(http.StatusUnauthorized))
		namespace := newNamespace(ctx)
		operator, tenant := newCaller(ctx, namespace, may), newCaller(ctx, namespace, may)
		accounts := &corev1.ServiceAccountList{}
		Expect(k8s.List(ctx, accounts)).To(Succeed())
		for i := range accounts.Items {
			if account := &accounts.Items[i]; account.Namespace == namespace && strings.HasSuffix(operator.name(), ":"+account.Name) {
				bind(ctx, "system:monitoring", rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Name: account.Name, Namespace: namespace})
			}
		}
		Eventually(func(g Gomega) {
			_, text, _ := operator.stream(ctx, api.url()+"/readyz?verbose")
			all, err := io.ReadAll(text)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(string(all)).To(ContainSubstring("[+]outcome-store ok"))
		}).WithContext(ctx).WithPolling(500 * time.Millisecond).Should(Succeed())
		_, text, _ := tenant.stream(ctx, api.url()+"/readyz?verbose")
		all, err := io.ReadAll(text)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(all)).To(Equal("ok"))
	}, SpecTimeout(2*time.Minute))

	//security:attack tenant | Impersonate-User at the server's own port, with a good token. | 403 in words at every frontend.
	It("and every other route refuses impersonation in words", func(ctx SpecContext) {
		c := newCaller(ctx, newNamespace(ctx), editor).with("Impersonate-User", "system:admin")
		got := c.do(ctx, http.MethodGet, "/functions", nil)
		Expect(got.Status).To(Equal(http.StatusForbidden))
		Expect(got.Body).To(ContainSubstring("kubectl --as"))
	}, SpecTimeout(timeout))
})
