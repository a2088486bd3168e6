package apiserver

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
	ac "sharedcloud.io/function-operator/api/v1alpha1/applyconfiguration/api/v1alpha1"
)

var _ = Describe("Inputs of the documented API", func() {
	//security:attack tenant | An array of inputs with integers beyond 53 and 64 bits, floats with integer values, NULs, half surrogate pairs or duplicate keys. | The worker receives exactly these values, or the request is refused.
	It("reach the worker unchanged or are refused", func(ctx SpecContext) {
		c := newCaller(ctx, newNamespace(ctx), editor)
		function := c.made(ctx, newImage(ctx, c.namespace, "python", "python36"))
		for list, want := range map[string][]string{
			`[[9007199254740993,-9223372036854775808,"\u0000",0.1],[{"b":[1e300]}]]`: {`[9007199254740993,-9223372036854775808,"\u0000",0.1]`, `[{"b":[1e+300]}]`},
			`[[12345678901234567890,1.0],["\u0000"]]`:                                {`(12345678901234567890, 1.0)`, `('\x00',)`},
		} {
			_, run := c.runMade(ctx, map[string]any{"function": function["uuid"], "parameters": json.RawMessage(list)})
			job := newJob(ctx, run.Namespace, run.Name)
			write(ctx, run, ac.FunctionRunStatus().WithRevision(pinned(run, 1).WithInputCount(int32(len(want)))).
				WithJob(ac.JobReference().WithName(job.Name).WithNumber(1).WithUID(job.UID)))
			w := newWorker(ctx, run, job, 0)
			got := map[int]string{}
			for len(got) < len(want) {
				said := w.call(ctx, "", true, reported(got)...)
				for _, input := range said.Inputs {
					got[input.Index] = string(input.JSON) + input.Literal
				}
			}
			for index, text := range want {
				Expect(got[index]).To(Equal(text))
			}
		}
		for list, message := range map[string]string{
			`[["\ud800"]]`: "half a surrogate pair", `[[1e999]]`: "out of the range", `[[{"a":1,"a":2}]]`: `the key \"a\" is given twice`,
			`[` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `]`: "nested deeper than 64 levels", "[[\"\xff\"]]": "not UTF-8",
		} {
			got := c.do(ctx, http.MethodPost, "/runs", fmt.Sprintf(`{"function":%q,"parameters":%s}`, function["uuid"], list))
			Expect(got.Status).To(Equal(http.StatusBadRequest), got.Body)
			Expect(got.Body).To(ContainSubstring(message))
		}
		for body, message := range map[string]string{
			`{"name":"a","name":"b"}`: `the key \"name\" is given twice`, `{"name":"a","NAME":"b"}`: "differ only in case",
		} {
			got := c.do(ctx, http.MethodPost, "/functions", body)
			Expect(got.Status).To(Equal(http.StatusBadRequest), got.Body)
			Expect(got.Body).To(ContainSubstring(message))
		}
	}, SpecTimeout(timeout))
})

// subresourceUser may use each subresource.
var subresourceUser = rbacv1.PolicyRule{APIGroups: []string{"subresources.sharedcloud.io"}, Resources: []string{"*"}, Verbs: []string{"*"}}

// reported returns outcomes of the received inputs.
func reported(got map[int]string) []map[string]any {
	var outcomes []map[string]any
	for index := range got {
		outcomes = append(outcomes, map[string]any{"index": index, "status": "Succeeded", "result": 1, "startTime": 1, "durationMicros": inputMicros})
	}
	return outcomes
}

// trickle sends a request, then one byte per second, and returns the status and the time until the response.
func trickle(ctx context.Context, head, first string) (status int, took time.Duration) {
	GinkgoHelper()
	roots := x509.NewCertPool()
	roots.AddCert(pki.ca)
	dialer := &tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: serverName, MinVersion: tls.VersionTLS12}}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(serviceAddress, strconv.Itoa(api.port)))
	Expect(err).NotTo(HaveOccurred())
	defer conn.Close()
	Expect(conn.SetDeadline(time.Now().Add(time.Minute))).To(Succeed())
	began := time.Now()
	_, err = io.WriteString(conn, head+"Transfer-Encoding: chunked\r\n\r\n"+first)
	Expect(err).NotTo(HaveOccurred())
	sending, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-sending.Done():
				return
			case <-ticker.C:
				if _, err := io.WriteString(conn, "1\r\n \r\n"); err != nil {
					return
				}
			}
		}
	}()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil {
		status = response.StatusCode
		_ = response.Body.Close()
	}
	return status, time.Since(began)
}

var _ = Describe("Bodies that do not arrive", func() {
	//security:attack worker | An endless body at one byte per second, to the exchange, to functions/run, to cancel and to the documented API. | Each connection is answered and closed within 30 seconds.
	It("time out within 30 seconds on each route", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		c := newCaller(ctx, namespace, editor, subresourceUser)
		Expect(k8s.Create(ctx, functionIn(namespace))).To(Succeed())
		run := newRun(ctx, namespace, 1)
		w := newWorker(ctx, run, start(ctx, run, 1), 0)
		w.call(ctx, "", false)
		head := func(path, scheme, token string) string {
			return "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: " + scheme + " " + token + "\r\n"
		}
		const group = "/apis/subresources.sharedcloud.io/v1alpha1/namespaces/"
		var all sync.WaitGroup
		for name, tc := range map[string]struct {
			head string
			want int
		}{
			"the exchange":       {head("/work/v1/namespaces/"+namespace+"/runs/"+run.Name+"/exchange", "Bearer", w.token), http.StatusServiceUnavailable},
			"functions/run":      {head(group+namespace+"/functions/f/run", "Bearer", c.token), http.StatusRequestTimeout},
			"cancel":             {head(group+namespace+"/functionruns/"+run.Name+"/cancel", "Bearer", c.token), http.StatusRequestTimeout},
			"the documented API": {head("/api/v1/functions", "Token", c.token), http.StatusRequestTimeout},
			"the login":          {head("/api/v1/api-token-auth", "X", "x"), http.StatusRequestTimeout},
			"no credentials":     {head(group+namespace+"/functionruns/"+run.Name+"/cancel", "X", "x"), http.StatusUnauthorized},
		} {
			all.Go(func() {
				defer GinkgoRecover()
				status, took := trickle(ctx, tc.head, "1\r\n \r\n")
				Expect(status).To(Equal(tc.want), name)
				Expect(took).To(BeNumerically("<", 30*time.Second), name)
			})
		}
		all.Wait()
	}, SpecTimeout(timeout))

	//security:attack tenant | A body one byte over the limit, or a compressed one, on each group of routes. | 413 and 415; nothing is decompressed.
	It("are refused on each route if they are too long or compressed", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		c := newCaller(ctx, namespace, editor, subresourceUser)
		run := newRun(ctx, namespace, 1)
		w := newWorker(ctx, run, start(ctx, run, 1), 0)
		w.call(ctx, "", false)
		const group = "/apis/subresources.sharedcloud.io/v1alpha1/namespaces/"
		// The Content-Length is enough for the refusal: the body is not sent.
		send := func(path, authorization string, length int, more, body string) int {
			got, err := raw(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: %s\r\n%sContent-Length: %d\r\n\r\n%s",
				path, authorization, more, length, body))
			Expect(err).NotTo(HaveOccurred(), path)
			return got.Status
		}
		for path, tc := range map[string]struct {
			authorization string
			limit         int
		}{
			"/work/v1/namespaces/" + namespace + "/runs/" + run.Name + "/exchange": {"Bearer " + w.token, 32 << 20},
			"/api/v1/functions":      {"Token " + c.token, 6 << 20},
			"/api/v1/runs":           {"Token " + c.token, 6 << 20},
			"/api/v1/api-token-auth": {"", 64 << 10},
			group + namespace + "/functionruns/" + run.Name + "/cancel": {"Bearer " + c.token, 64 << 10},
			group + namespace + "/functionruns/" + run.Name + "/rerun":  {"Bearer " + c.token, 64 << 10},
		} {
			Expect(send(path, tc.authorization, tc.limit+1, "", "")).To(Equal(http.StatusRequestEntityTooLarge), path)
			Expect(send(path, tc.authorization, 2, "Content-Encoding: gzip\r\n", "{}")).To(Equal(http.StatusUnsupportedMediaType), path)
		}
	}, SpecTimeout(timeout))
})

func functionIn(namespace string) *v1alpha1.Function {
	f := &v1alpha1.Function{Spec: v1alpha1.FunctionSpec{Runtime: "python311", Image: "python", Code: ptr.To("def handler(event): pass")}}
	f.Name, f.Namespace = "f", namespace
	return f
}
