package apiserver

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// raw sends bytes verbatim over a new connection, and returns the response; the server may close the connection instead.
func raw(text string) (answered, error) {
	GinkgoHelper()
	roots := x509.NewCertPool()
	roots.AddCert(pki.ca)
	conn, err := tls.Dial("tcp", net.JoinHostPort(serviceAddress, strconv.Itoa(api.port)),
		&tls.Config{RootCAs: roots, ServerName: serverName, MinVersion: tls.VersionTLS12})
	Expect(err).NotTo(HaveOccurred())
	defer conn.Close()
	Expect(conn.SetDeadline(time.Now().Add(75 * time.Second))).To(Succeed())
	if _, err := io.WriteString(conn, text); err != nil {
		return answered{}, err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return answered{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answered{response.StatusCode, string(body), response.Header}, err
}

var _ = Describe("The documented API and hostile requests", func() {
	//security:attack tenant | sends malformed paths, headers, lengths, encodings and methods to the REST API | each is refused below 500 in JSON, or the connection is closed; nothing changes
	It("answers each with JSON and a status below 500, or closes the connection", func(ctx SpecContext) {
		c := newCaller(ctx, newNamespace(ctx), editor)
		image := newImage(ctx, c.namespace, "python", "python36")
		function := c.made(ctx, image)
		authorization := "Host: x\r\nAuthorization: Token " + c.token + "\r\n"
		get := func(path string) string { return "GET " + path + " HTTP/1.1\r\n" + authorization + "\r\n" }
		post := func(headers, body string) string {
			return "POST /api/v1/functions HTTP/1.1\r\n" + authorization + headers + "\r\n" + body
		}
		tooMany := strings.Builder{}
		for i := range 5000 {
			fmt.Fprintf(&tooMany, "X-Header-%d: some value that takes room, and more of it, and more of it\r\n", i)
		}
		for name, text := range map[string]string{
			"dots":                           get("/api/v1/functions/../images"),
			"escaped slashes":                get("/api/v1/functions%2f%2e%2e%2fimages"),
			"double slashes":                 get("//api//v1//functions"),
			"a NUL":                          get("/api/v1/functions/%00"),
			"bad UTF-8":                      get("/api/v1/functions/%ff%fe"),
			"CRLF":                           get("/api/v1/functions/%0d%0aX:%20y"),
			"a query that is none":           get("/api/v1/functions?limit=%zz"),
			"a limit that is none":           get("/api/v1/functions?limit=-1"),
			"the same parameter twice":       get("/api/v1/functions?limit=1&limit=2"),
			"an absolute address":            get("http://other.example/api/v1/functions"),
			"HTTP/1.0":                       "GET /api/v1/functions HTTP/1.0\r\n" + authorization + "\r\n",
			"HTTP/0.9":                       "GET /api/v1/functions\r\n",
			"HEAD with a body":               "HEAD /api/v1/functions HTTP/1.1\r\n" + authorization + "Content-Length: 3\r\n\r\nabc",
			"GET with a body":                "GET /api/v1/functions HTTP/1.1\r\n" + authorization + "Content-Length: 3\r\n\r\nabc",
			"an unknown method":              "BREW /api/v1/functions HTTP/1.1\r\n" + authorization + "\r\n",
			"a method override":              "GET /api/v1/functions HTTP/1.1\r\n" + authorization + "X-HTTP-Method-Override: DELETE\r\n\r\n",
			"TRACE":                          "TRACE /api/v1/functions HTTP/1.1\r\n" + authorization + "\r\n",
			"CONNECT":                        "CONNECT /api/v1/functions HTTP/1.1\r\n" + authorization + "\r\n",
			"OPTIONS of everything":          "OPTIONS * HTTP/1.1\r\n" + authorization + "\r\n",
			"two lengths":                    post("Content-Type: application/json\r\nContent-Length: 2\r\nContent-Length: 3\r\n", "{}"),
			"a negative length":              post("Content-Type: application/json\r\nContent-Length: -1\r\n", "{}"),
			"chunks that are none":           post("Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n", "zz\r\n{}\r\n"),
			"a content type that is none":    post("Content-Type: ///;;;\r\nContent-Length: 2\r\n", "{}"),
			"no content type":                post("Content-Length: 2\r\n", "{}"),
			"a body in gzip that is none":    post("Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n", "{}"),
			"thousands of headers":           "GET /api/v1/functions HTTP/1.1\r\n" + authorization + tooMany.String() + tooMany.String() + tooMany.String() + tooMany.String() + "\r\n",
			"a header without a name":        "GET /api/v1/functions HTTP/1.1\r\n" + authorization + ": x\r\n\r\n",
			"two namespaces":                 "GET /api/v1/functions HTTP/1.1\r\n" + authorization + "X-Sharedcloud-Namespace: a\r\nX-Sharedcloud-Namespace: b\r\n\r\n",
			"a namespace with a path":        "GET /api/v1/functions HTTP/1.1\r\n" + authorization + "X-Sharedcloud-Namespace: ../x\r\n\r\n",
			"two tokens":                     "GET /api/v1/functions HTTP/1.1\r\n" + authorization + "Authorization: Token other\r\n\r\n",
			"an Accept that is none":         "GET /api/v1/functions HTTP/1.1\r\n" + authorization + "Accept: ,;,;q=x\r\n\r\n",
			"an ETag that is none":           "PATCH /api/v1/functions/" + fmt.Sprint(function["uuid"]) + " HTTP/1.1\r\n" + authorization + "If-Match: \"\r\nContent-Length: 0\r\n\r\n",
			"a key with control characters":  post("Idempotency-Key: a\tb\r\nContent-Type: application/json\r\nContent-Length: 2\r\n", "{}"),
			"an upgrade to another protocol": "GET /api/v1/functions HTTP/1.1\r\n" + authorization + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		} {
			got, err := raw(text)
			if err != nil {
				continue // closed
			}
			Expect(got.Status).To(BeNumerically("<", 500), "%s: %s", name, got.Body)
			Expect(strings.ToLower(got.Body)).NotTo(ContainSubstring("<html"), name)
			Expect(got.Body).NotTo(ContainSubstring("goroutine "), name)
			if got.Header.Get("X-Request-Id") != "" && got.Body != "" { // not refused before the API handled it
				Expect(json.Valid([]byte(got.Body))).To(BeTrue(), "%s: %s", name, got.Body)
			}
		}
		// The one exception: RFC 9112, 6.1. The HTTP library answers before any handler.
		got, err := raw(post("Content-Type: application/json\r\nTransfer-Encoding: gzip\r\n", "{}"))
		Expect(err).NotTo(HaveOccurred())
		Expect(got.Status).To(Equal(http.StatusNotImplemented))

		got = c.do(ctx, http.MethodGet, "/functions", nil)
		Expect(got.Status).To(Equal(http.StatusOK))
		Expect(got.Body).To(ContainSubstring(fmt.Sprint(function["uuid"])), "nothing was deleted meanwhile")
	}, SpecTimeout(timeout))

	//security:attack tenant | sends every JSON type in every field of the REST API | each is a 400 in words, never a 500
	It("refuses wrong types in every field", func(ctx SpecContext) {
		c := newCaller(ctx, newNamespace(ctx), editor)
		function := c.made(ctx, newImage(ctx, c.namespace, "python", "python36"))
		values := []any{nil, true, 0, -1.5, 1e300, "", " ", "\x00", "😀\u202e\r\n", strings.Repeat("x", 1<<17), []any{}, []any{[]any{[]any{}}}, map[string]any{"a": map[string]any{}}}
		for _, path := range []string{"/functions", "/functions/", fmt.Sprintf("/functions/%s", function["uuid"]), "/runs", "/runs/", "/api-token-auth"} {
			method := http.MethodPost
			if strings.Contains(path, "-") && !strings.Contains(path, "token") {
				method = http.MethodPatch
			}
			for _, name := range []string{"name", "code", "runtime", "image", "function", "parameters", "bid_price", "base_gpu", "username", "password"} {
				for _, value := range values {
					got := c.do(ctx, method, path, map[string]any{name: value})
					Expect(got.Status).To(BeNumerically("<", 500), "%s %s %s=%.50v: %s", method, path, name, value, got.Body)
					Expect(json.Valid([]byte(got.Body))).To(BeTrue())
				}
			}
		}
	}, SpecTimeout(4*time.Minute))

	//security:attack tenant | announces a body and does not send it | the answer is 408 within the time limit of a body
	It("waits for a body no longer than its time limit", func(ctx SpecContext) {
		c := newCaller(ctx, newNamespace(ctx), editor)
		began := time.Now()
		got, err := raw("POST /api/v1/functions HTTP/1.1\r\nHost: x\r\nAuthorization: Token " + c.token + "\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{\"\r\n")
		Expect(err).NotTo(HaveOccurred())
		Expect(got.Status).To(Equal(http.StatusRequestTimeout), got.Body)
		Expect(got.Body).To(Equal(`{"detail":"The body did not arrive within 30 seconds."}`))
		Expect(time.Since(began)).To(BeNumerically("<", 60*time.Second))
	}, SpecTimeout(timeout))

	//security:attack anonymous | opens connections without end | the server keeps at most as many as it is configured for
	It("limits the number of open connections", func(ctx SpecContext) {
		limited := newServer(GinkgoT().TempDir())
		limited.more = []string{"--max-connections=16"}
		limited.start()
		DeferCleanup(limited.kill)
		limited.waitReady()
		roots := x509.NewCertPool()
		roots.AddCert(pki.ca)
		dial := func() (*tls.Conn, error) {
			dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: time.Second}, Config: &tls.Config{RootCAs: roots, ServerName: serverName, MinVersion: tls.VersionTLS12}}
			conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(serviceAddress, strconv.Itoa(limited.port)))
			if err != nil {
				return nil, err
			}
			DeferCleanup(func() { _ = conn.Close() }) // some are already closed
			encrypted, ok := conn.(*tls.Conn)
			Expect(ok).To(BeTrue())
			return encrypted, nil
		}
		var open []*tls.Conn
		for {
			conn, err := dial()
			if err != nil {
				break
			}
			open = append(open, conn)
			Expect(len(open)).To(BeNumerically("<=", 16))
		}
		Expect(len(open)).To(BeNumerically(">=", 2))
		for range 2 { // one for a connection that still waits
			Expect(open[0].Close()).To(Succeed())
			open = open[1:]
		}
		Eventually(func() error {
			_, err := dial()
			return err
		}).WithContext(ctx).Should(Succeed())
	}, SpecTimeout(timeout))

	It("compresses long responses for clients that accept it", func(ctx SpecContext) {
		c := newCaller(ctx, newNamespace(ctx), editor)
		image := newImage(ctx, c.namespace, "python", "python36")
		c.made(ctx, image)
		body := functionBody(image)
		body["code"] = pythonCode + strings.Repeat("# and more of it\n", 1000)
		id := c.do(ctx, http.MethodPost, "/functions", body).object()["uuid"]
		for _, path := range []string{"/functions", fmt.Sprintf("/functions/%s", id)} {
			plain := c.with("Accept-Encoding", "identity").do(ctx, http.MethodGet, path, nil)
			Expect(plain.Header.Get("Content-Encoding")).To(BeEmpty())
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, api.url()+"/api/v1"+path, nil)
			Expect(err).NotTo(HaveOccurred())
			request.Header.Set("Authorization", "Token "+c.token)
			request.Header.Set("Accept-Encoding", "gzip")
			response, err := c.client.Do(request)
			Expect(err).NotTo(HaveOccurred())
			packed, err := io.ReadAll(response.Body)
			Expect(err).NotTo(HaveOccurred())
			Expect(response.Body.Close()).To(Succeed())
			Expect(response.Header.Get("Content-Encoding")).To(Equal("gzip"))
			Expect(len(packed)).To(BeNumerically("<", len(plain.Body)/3))
			reader, err := gzip.NewReader(strings.NewReader(string(packed)))
			Expect(err).NotTo(HaveOccurred())
			unpacked, err := io.ReadAll(reader)
			Expect(err).NotTo(HaveOccurred())
			Expect(normal(string(unpacked))).To(Equal(normal(plain.Body)))
		}
	}, SpecTimeout(timeout))
})

var (
	anyUUID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	anyDate = regexp.MustCompile(`\d\d-\d\d-\d{4} \d\d:\d\d:\d\d`)
)

// normal is a response without dates and uuids.
func normal(body string) string {
	return anyDate.ReplaceAllString(anyUUID.ReplaceAllString(body, "UUID"), "DATE")
}

var _ = Describe("The bytes of the documented API", func() {
	It("are those in the documentation", func(ctx SpecContext) {
		c := newCaller(ctx, newNamespace(ctx), editor)
		image := newImage(ctx, c.namespace, "python", "python36", func(i *v1alpha1.FunctionImage) {
			i.Spec.RegistryPath, i.Spec.Description, i.Spec.Tag = "sharedcloud/tensorflow-gpu-python36:latest", "TensorFlow", "latest"
		})
		c.made(ctx, image)
		body := functionBody(image)
		body["code"] = "def handler(event):\n\treturn \"<\u00e4>\" # 'x' & \\"
		const function = `{"uuid":"UUID","current_server_time":"DATE","registry_path":"sharedcloud/tensorflow-gpu-python36:latest","runtime":"python36",` +
			`"num_runs":0,"updated_at":"DATE","created_at":"DATE","name":"mnist","code":"def handler(event):\n\treturn \"<ä>\" # 'x' & \\","image":"UUID"}`
		got := c.do(ctx, http.MethodPost, "/functions", body)
		Expect(normal(got.Body)).To(Equal(function))
		id := got.object()["uuid"]
		path := fmt.Sprintf("/functions/%s", id)
		for _, again := range []answered{c.do(ctx, http.MethodGet, path, nil), c.do(ctx, http.MethodPut, path, body), c.do(ctx, http.MethodPatch, path, map[string]any{"name": "mnist"})} {
			Expect(normal(again.Body)).To(Equal(function))
		}
		Expect(normal(c.do(ctx, http.MethodGet, "/functions?limit=1", nil).Body)).To(Equal("[" + function + "]"))
		Expect(normal(c.do(ctx, http.MethodGet, "/images/"+image, nil).Body)).To(Equal(
			`{"uuid":"UUID","current_server_time":"DATE","num_installations":0,"registry_path":"sharedcloud/tensorflow-gpu-python36:latest","updated_at":"DATE",` +
				`"created_at":"DATE","name":"python","description":"TensorFlow","requires_gpu":false,"runtime":"python36","tag":"latest"}`))
		run := c.do(ctx, http.MethodPost, "/runs", map[string]any{"function": id, "parameters": "((1, 2, 3), (4, 5, 6))", "bid_price": 2.0})
		const shown = `{"uuid":"UUID","current_server_time":"DATE","base_gpu_name":"n/a","num_jobs":2,"function_name":"mnist","created_at":"DATE",` +
			`"parameters":"((1, 2, 3), (4, 5, 6))","bid_price":2.0,"function":"UUID","base_gpu":null}`
		Expect(normal(run.Body)).To(Equal(shown))
		Expect(normal(c.do(ctx, http.MethodGet, "/runs", nil).Body)).To(Equal("[" + shown + "]"))
		Expect(normal(c.do(ctx, http.MethodGet, "/jobs?limit=1", nil).Body)).To(Equal(
			`[{"uuid":"UUID","current_server_time":"DATE","function_name":"mnist","duration":null,"started_at":null,"assigned_at":null,"created_at":"DATE",` +
				`"finished_at":null,"incremental_id":1,"status":1,"arguments":"(4, 5, 6)","cost":0.0,"build_logs":"","stdout":"","stderr":"","result":"","instance":null,"run":"UUID"}]`))
		Expect(c.do(ctx, http.MethodDelete, path, nil).Body).To(Equal("{}"))
	}, SpecTimeout(timeout))
})

var _ = Describe("A POST of the documented API that dies", Serial, func() {
	It("leaves no object or one, and its idempotency key returns that one", func(ctx SpecContext) {
		c := newCaller(ctx, newNamespace(ctx), editor)
		image := newImage(ctx, c.namespace, "python", "python36")
		function := c.made(ctx, image)
		body := map[string]any{"function": function["uuid"], "parameters": "((1,),)"}
		made := map[string]bool{}
		for round, delay := range []time.Duration{0, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond} {
			keyed := c.with("Idempotency-Key", fmt.Sprintf("round-%d", round))
			var group sync.WaitGroup
			group.Go(func() {
				defer GinkgoRecover()
				data, err := json.Marshal(body)
				Expect(err).NotTo(HaveOccurred())
				request, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodPost, api.url()+"/api/v1/runs", strings.NewReader(string(data)))
				Expect(err).NotTo(HaveOccurred())
				request.Header.Set("Content-Type", "application/json")
				request.Header.Set("Authorization", "Token "+c.token)
				request.Header.Set("Idempotency-Key", fmt.Sprintf("round-%d", round))
				if response, err := c.client.Do(request); err == nil {
					_ = response.Body.Close()
				}
			})
			<-time.After(delay) // at an arbitrary point of the request
			api.restart()
			group.Wait()
			var got answered
			Eventually(func(g Gomega) {
				got = keyed.do(ctx, http.MethodPost, "/runs", body)
				g.Expect(got.Status).To(Equal(http.StatusOK), got.Body)
			}).WithContext(ctx).Should(Succeed())
			made[fmt.Sprint(got.object()["uuid"])] = true
			Expect(keyed.do(ctx, http.MethodPost, "/runs", body).object()).To(HaveKeyWithValue("uuid", got.object()["uuid"]))
		}
		list := &v1alpha1.FunctionRunList{}
		Expect(k8s.List(ctx, list, client.InNamespace(c.namespace))).To(Succeed())
		Expect(list.Items).To(HaveLen(len(made)))
		Expect(made).To(HaveLen(5))
	}, SpecTimeout(4*time.Minute))
})
