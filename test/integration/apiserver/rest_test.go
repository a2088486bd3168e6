package apiserver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

const catalogue = "sharedcloud-catalogue"

// editor is the rules of the role edit for the kinds of this operator.
var editor = rbacv1.PolicyRule{APIGroups: []string{"sharedcloud.io"}, Resources: []string{"functions", "functionruns", "functionimages"}, Verbs: []string{"*"}}

// caller is a REST client without access to the Kubernetes API.
type caller struct {
	namespace, token string
	client           *http.Client
	headers          map[string]string
}

// answered is a response.
type answered struct {
	Status int
	Body   string
	Header http.Header
}

func (a answered) into(value any) {
	GinkgoHelper()
	Expect(json.Unmarshal([]byte(a.Body), value)).To(Succeed(), a.Body)
}

// object is the response body as an object.
func (a answered) object() map[string]any {
	GinkgoHelper()
	var object map[string]any
	a.into(&object)
	return object
}

// newCaller creates a service account with these rules in its namespace.
func newCaller(ctx context.Context, namespace string, rules ...rbacv1.PolicyRule) *caller {
	GinkgoHelper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{GenerateName: "caller-", Namespace: namespace}}
	Expect(k8s.Create(ctx, account)).To(Succeed())
	allow(ctx, account.Name, namespace, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Name: account.Name, Namespace: namespace}, rules...)
	request, err := clientset.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, account.Name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	return &caller{namespace: namespace, token: request.Status.Token, client: api.client()}
}

func allow(ctx context.Context, name, namespace string, subject rbacv1.Subject, rules ...rbacv1.PolicyRule) {
	GinkgoHelper()
	Expect(k8s.Create(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Rules: rules})).To(Succeed())
	Expect(k8s.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects:   []rbacv1.Subject{subject},
	})).To(Succeed())
	allowed(ctx, "system:serviceaccount:"+subject.Namespace+":"+subject.Name, namespace, rules[0])
}

// with is the caller with an additional header.
func (c *caller) with(name, value string) *caller {
	changed := *c
	changed.headers = map[string]string{name: value}
	for name, value := range c.headers {
		changed.headers[name] = value
	}
	return &changed
}

// do sends a request: a body of text goes as it is, url.Values as a form, nil is none, all else as JSON.
func (c *caller) do(ctx context.Context, method, path string, body any) answered {
	GinkgoHelper()
	var reader io.Reader
	contentType := "application/json"
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	case url.Values:
		reader, contentType = strings.NewReader(b.Encode()), "application/x-www-form-urlencoded"
	default:
		data, err := json.Marshal(b)
		Expect(err).NotTo(HaveOccurred())
		reader = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, method, api.url()+"/api/v1"+path, reader)
	Expect(err).NotTo(HaveOccurred())
	if body != nil {
		request.Header.Set("Content-Type", contentType)
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Token "+c.token)
	}
	for name, value := range c.headers {
		request.Header.Set(name, value)
	}
	response, err := c.client.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	Expect(err).NotTo(HaveOccurred())
	got := answered{response.StatusCode, string(data), response.Header}
	promised(method, path, got)
	if fields, ok := body.(map[string]any); ok && got.Status < 300 {
		asked(method, path, fields)
	}
	return got
}

// newImage creates an image in the namespace and returns its uuid.
func newImage(ctx context.Context, namespace, name, runtime string, change ...func(*v1alpha1.FunctionImage)) string {
	GinkgoHelper()
	if namespace == catalogue {
		err := k8s.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: catalogue}})
		Expect(client.IgnoreAlreadyExists(err)).To(Succeed())
	}
	image := builders.Image(namespace, name, append([]func(*v1alpha1.FunctionImage){func(i *v1alpha1.FunctionImage) {
		i.Spec.RegistryPath, i.Spec.Runtime = "registry.example/"+name+":latest", runtime
	}}, change...)...)
	Expect(k8s.Create(ctx, image)).To(Succeed())
	return string(image.UID)
}

const pythonCode = "def handler(event):\n    return 'Hello ' + event[0]\n"

func functionBody(image string) map[string]any {
	return map[string]any{"name": "mnist", "code": pythonCode, "image": image, "runtime": "python36"}
}

// made creates a function.
func (c *caller) made(ctx context.Context, image string) map[string]any {
	GinkgoHelper()
	var got answered
	Eventually(func(g Gomega) { // until the image is in the cache
		got = c.do(ctx, http.MethodPost, "/functions", functionBody(image))
		g.Expect(got.Status).To(Equal(http.StatusOK), got.Body)
	}).WithContext(ctx).Should(Succeed())
	return got.object()
}

const dateLike = `^\d\d-\d\d-\d{4} \d\d:\d\d:\d\d$`

var _ = Describe("The documented API", func() {
	It("creates, shows, replaces, patches and deletes functions that are custom resources", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		c := newCaller(ctx, namespace, editor)
		image := newImage(ctx, namespace, "python", "python36")
		function := c.made(ctx, image)
		Expect(function).To(HaveLen(10))
		Expect(function).To(And(
			HaveKeyWithValue("name", "mnist"), HaveKeyWithValue("code", pythonCode), HaveKeyWithValue("runtime", "python36"),
			HaveKeyWithValue("image", image), HaveKeyWithValue("registry_path", "registry.example/python:latest"),
			HaveKeyWithValue("num_runs", 0.0), HaveKeyWithValue("created_at", MatchRegexp(dateLike)),
			HaveKeyWithValue("updated_at", MatchRegexp(dateLike)), HaveKeyWithValue("current_server_time", MatchRegexp(dateLike))))
		id := fmt.Sprint(function["uuid"])

		By("storing an ordinary Function")
		list := &v1alpha1.FunctionList{}
		Expect(k8s.List(ctx, list, client.InNamespace(namespace))).To(Succeed())
		Expect(list.Items).To(HaveLen(1))
		Expect(list.Items[0].Name).To(HavePrefix("mnist-"))
		Expect(list.Items[0].Labels).To(HaveKeyWithValue(v1alpha1.LabelUUID, id))
		Expect(list.Items[0].Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationRequestedBy, HavePrefix("system:serviceaccount:"+namespace+":caller-")))
		Expect(list.Items[0].Spec.Image).To(Equal("python"))

		By("reading what was written")
		Expect(c.do(ctx, http.MethodGet, "/functions/"+id, nil).object()).To(HaveKeyWithValue("code", pythonCode))
		got := c.do(ctx, http.MethodGet, "/functions/", nil)
		Expect(got.Status).To(Equal(http.StatusOK))
		var all []map[string]any
		got.into(&all)
		Expect(all).To(HaveLen(1))

		By("patching one field, in the other dialect with its extra field")
		got = c.do(ctx, http.MethodPatch, "/functions/"+id+"/", url.Values{"name": {"other"}, "uuid": {id}})
		Expect(got.Status).To(Equal(http.StatusOK), got.Body)
		Expect(got.object()).To(And(HaveKeyWithValue("name", "other"), HaveKeyWithValue("code", pythonCode)))
		Expect(c.do(ctx, http.MethodGet, "/functions/"+id, nil).object()).To(HaveKeyWithValue("name", "other"))

		By("replacing all fields twice: REST keeps the ownership of its fields")
		for _, name := range []string{"third", "fourth"} {
			body := functionBody(image)
			body["name"], body["code"] = name, "def handler(event): return 42"
			got = c.do(ctx, http.MethodPut, "/functions/"+id, body)
			Expect(got.Status).To(Equal(http.StatusOK), got.Body)
			Expect(got.object()).To(And(HaveKeyWithValue("name", name), HaveKeyWithValue("code", "def handler(event): return 42"), HaveKeyWithValue("uuid", id)))
		}
		stored := &v1alpha1.Function{}
		Expect(k8s.Get(ctx, client.ObjectKeyFromObject(&list.Items[0]), stored)).To(Succeed())
		Expect(stored.Labels).To(HaveKeyWithValue(v1alpha1.LabelUUID, id))
		Expect(stored.Annotations).To(HaveKey(v1alpha1.AnnotationCreated))

		By("deleting it")
		got = c.do(ctx, http.MethodDelete, "/functions/"+id, nil)
		Expect(got.Status).To(Equal(http.StatusOK))
		Expect(got.Body).To(Equal("{}"))
		Expect(c.do(ctx, http.MethodGet, "/functions/"+id, nil)).To(And(HaveField("Status", http.StatusNotFound), HaveField("Body", `{"detail":"Not found."}`)))
		Expect(c.do(ctx, http.MethodGet, "/functions", nil).Body).To(Equal("[]"))
		Expect(k8s.List(ctx, list, client.InNamespace(namespace))).To(Succeed())
		Expect(list.Items).To(BeEmpty())
	}, SpecTimeout(timeout))

	It("uses the dialect of the published client when the path ends with a slash", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		c := newCaller(ctx, namespace, editor)
		image := newImage(ctx, namespace, "python", "python311")
		c.made(ctx, image)
		form := url.Values{"name": {"f"}, "code": {"def handler(event): return 'ä'"}, "image": {image}}
		got := c.do(ctx, http.MethodPost, "/functions/", form)
		Expect(got.Status).To(Equal(http.StatusCreated), got.Body)
		Expect(got.object()).To(And(HaveKeyWithValue("runtime", "python311"), HaveKeyWithValue("code", "def handler(event): return 'ä'")))
		got = c.do(ctx, http.MethodPost, "/functions", form)
		Expect(got).To(And(HaveField("Status", http.StatusBadRequest), HaveField("Body", `{"runtime":["This field is required."]}`)))
		created := c.do(ctx, http.MethodPost, "/functions/", form).object()

		By("changing the image")
		node := newImage(ctx, namespace, "node", "node8")
		path := fmt.Sprintf("/functions/%s/", created["uuid"])
		Eventually(func(g Gomega) {
			got = c.do(ctx, http.MethodPatch, path, url.Values{"image": {node}})
			g.Expect(got.Body).To(HavePrefix(`{"code":["The code needs to have the following signature: function handler(event)`))
		}).WithContext(ctx).Should(Succeed())
		got = c.do(ctx, http.MethodPatch, path, url.Values{"image": {node}, "code": {"function handler(event) { return 42 }"}})
		Expect(got.object()).To(And(HaveKeyWithValue("runtime", "node8"), HaveKeyWithValue("image", node)))

		got = c.do(ctx, http.MethodDelete, path, nil)
		Expect(got).To(And(HaveField("Status", http.StatusNoContent), HaveField("Body", "")))
	}, SpecTimeout(timeout))

	It("reports all errors of a body at once", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		c := newCaller(ctx, namespace, editor)
		// The cache observes images in the order of their creation.
		node, python := newImage(ctx, namespace, "node", "node8"), newImage(ctx, namespace, "python", "python36")
		c.made(ctx, python)
		full := func(change map[string]any) map[string]any {
			body := functionBody(python)
			for name, value := range change {
				body[name] = value
			}
			return body
		}
		for _, tc := range []struct {
			body   any
			status int
			want   string
		}{
			{map[string]any{}, 400, `{"code":["This field is required."],"image":["This field is required."],"name":["This field is required."],"runtime":["This field is required."]}`},
			{nil, 400, `{"code":["This field is required."],"image":["This field is required."],"name":["This field is required."],"runtime":["This field is required."]}`},
			{full(map[string]any{"name": "", "code": nil, "runtime": 5, "image": "x"}), 400,
				`{"code":["This field may not be null."],"image":["\"x\" is not a valid UUID."],"name":["This field may not be blank."],"runtime":["Not a valid string."]}`},
			{full(map[string]any{"runtime": "cobol85"}), 400, `{"runtime":["\"cobol85\" is not a valid choice."]}`},
			{full(map[string]any{"image": "8b9420da-a848-4523-a138-ddbf33007631"}), 400, `{"image":["Invalid pk \"8b9420da-a848-4523-a138-ddbf33007631\" - object does not exist."]}`},
			{full(map[string]any{"name": strings.Repeat("x", 257)}), 400, `{"name":["Ensure this field has no more than 256 characters."]}`},
			{full(map[string]any{"name": "a\x00b"}), 400, `{"name":["Null characters are not allowed."]}`},
			{full(map[string]any{"code": "print 1"}), 400, `{"code":["The code needs to have the following signature: def handler(event):"]}`},
			{full(map[string]any{"image": node, "runtime": "node8"}), 400, `{"code":["The code needs to have the following signature: function handler(event) { ... }"]}`},
			{full(map[string]any{"image": node}), 400, `{"runtime":["\"python36\" is not a valid choice. The image runs node8."]}`},
			{`{"name": `, 400, `{"detail":"JSON parse error - unexpected end of JSON input at byte 9"}`},
			{`[1]`, 400, `{"non_field_errors":["Invalid data. Expected a dictionary, but got list."]}`},
			{"{\"name\": \"\xff\"}", 400, `{"detail":"JSON parse error - the body is not UTF-8"}`},
			{strings.Repeat("[", 100000), 400, `{"detail":"JSON parse error - the body is nested deeper than 64 levels"}`},
		} {
			got := c.do(ctx, http.MethodPost, "/functions", tc.body)
			Expect(got.Body).To(Equal(tc.want))
			Expect(got.Status).To(Equal(tc.status))
		}
		got := c.with("Content-Type", "text/plain").do(ctx, http.MethodPost, "/functions", "x")
		Expect(got).To(And(HaveField("Status", 415), HaveField("Body", `{"detail":"Unsupported media type \"text/plain\" in request."}`)))
		got = c.do(ctx, http.MethodPost, "/functions", strings.Repeat(" ", 7<<20))
		Expect(got.Status).To(Equal(http.StatusRequestEntityTooLarge), got.Body)
	}, SpecTimeout(timeout))

	//security:attack tenant | uses the REST API without the rights on the custom resources | the answer is 401 or 403 in the words of the contract
	It("returns 401 without a valid token, and 403 for what the caller may not do", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		for header, want := range map[string]string{
			"":                "Authentication credentials were not provided.",
			"Basic abc":       "Authentication credentials were not provided.",
			"Token":           "Invalid token header. No credentials provided.",
			"Token a b":       "Invalid token header. Token string should not contain spaces.",
			"Token nonsense":  "Invalid token.",
			"bearer nonsense": "Invalid token.",
		} {
			c := &caller{client: api.client()}
			if header != "" {
				c = c.with("Authorization", header)
			}
			got := c.do(ctx, http.MethodGet, "/functions", nil)
			Expect(got.Status).To(Equal(http.StatusUnauthorized), header)
			Expect(got.Body).To(Equal(fmt.Sprintf(`{"detail":%q}`, want)), header)
			Expect(got.Header.Get("WWW-Authenticate")).To(Equal("Token"))
		}
		reader := newCaller(ctx, namespace, rbacv1.PolicyRule{APIGroups: []string{"sharedcloud.io"}, Resources: []string{"functions"}, Verbs: []string{"get", "list"}})
		writer := newCaller(ctx, namespace, editor)
		function := writer.made(ctx, newImage(ctx, namespace, "python", "python36"))
		path := fmt.Sprintf("/functions/%s", function["uuid"])
		Expect(reader.do(ctx, http.MethodGet, path, nil).Status).To(Equal(http.StatusOK))
		forbidden := And(HaveField("Status", http.StatusForbidden), HaveField("Body", `{"detail":"You do not have permission to perform this action."}`))
		Expect(reader.do(ctx, http.MethodDelete, path, nil)).To(forbidden)
		Expect(reader.do(ctx, http.MethodPatch, path, map[string]any{"name": "x"})).To(forbidden)
		Expect(reader.do(ctx, http.MethodPost, "/functions", functionBody(""))).To(forbidden)
		Expect(reader.do(ctx, http.MethodGet, "/runs", nil)).To(forbidden)

		By("hiding objects from other tenants")
		other := newCaller(ctx, newNamespace(ctx), editor)
		missing := And(HaveField("Status", http.StatusNotFound), HaveField("Body", `{"detail":"Not found."}`))
		for _, method := range []string{http.MethodGet, http.MethodDelete} {
			Expect(other.do(ctx, method, path, nil)).To(missing)
			Expect(other.with("X-Sharedcloud-Namespace", namespace).do(ctx, method, path, nil)).To(missing)
		}
		for _, where := range []string{"/functions", "/runs", "/jobs", "/images", "/gpus"} {
			Expect(other.with("X-Sharedcloud-Namespace", namespace).do(ctx, http.MethodGet, where, nil)).To(missing)
			Expect(other.do(ctx, http.MethodGet, where+"?namespace="+namespace, nil)).To(missing)
		}
		Expect(writer.with("X-Sharedcloud-Namespace", namespace).do(ctx, http.MethodGet, "/images", nil).Status).To(Equal(http.StatusOK))
		Expect(other.with("X-Sharedcloud-Namespace", "no-such").do(ctx, http.MethodGet, "/functions", nil)).To(missing)
		Expect(other.do(ctx, http.MethodGet, "/functions", nil).Body).To(Equal("[]"))
		Expect(other.do(ctx, http.MethodPatch, path, map[string]any{"name": "x"})).To(missing)
		blind := newCaller(ctx, namespace, rbacv1.PolicyRule{APIGroups: []string{"sharedcloud.io"}, Resources: []string{"functions"}, Verbs: []string{"list"}})
		Expect(blind.do(ctx, http.MethodGet, path, nil)).To(missing)
	}, SpecTimeout(timeout))

	It("serves no other paths and methods", func(ctx SpecContext) {
		c := newCaller(ctx, newNamespace(ctx), editor)
		for _, path := range []string{"", "/", "/accounts", "/instances/", "/functions/x/y", "/functions//", "//functions", "/functions/..%2f..", "/functions/{8b9420da-a848-4523-a138-ddbf33007631}",
			"/functions/%00", "/functions/8b9420daa8484523a138ddbf33007631", "/functions/8B9420DA-A848-4523-A138-DDBF33007631", "/functions/" + strings.Repeat("x", 5000)} {
			got := c.do(ctx, http.MethodGet, path, nil)
			Expect(got.Status).To(Equal(http.StatusNotFound), path)
			Expect(got.Body).To(Equal(`{"detail":"Not found."}`), path)
		}
		got := c.do(ctx, http.MethodPut, "/functions", nil)
		Expect(got.Status).To(Equal(http.StatusMethodNotAllowed))
		Expect(got.Body).To(Equal(`{"detail":"Method \"PUT\" not allowed."}`))
		Expect(got.Header.Get("Allow")).To(Equal("GET, POST, HEAD, OPTIONS"))
		got = c.do(ctx, http.MethodOptions, "/functions/8b9420da-a848-4523-a138-ddbf33007631", nil)
		Expect(got.Status).To(Equal(http.StatusOK))
		Expect(got.Header.Get("Allow")).To(Equal("GET, PUT, PATCH, DELETE, HEAD, OPTIONS"))
		got = c.do(ctx, http.MethodHead, "/functions", nil)
		Expect(got).To(And(HaveField("Status", http.StatusOK), HaveField("Body", "")))
		got = c.with("Accept", "text/html").do(ctx, http.MethodGet, "/functions", nil)
		Expect(got.Status).To(Equal(http.StatusNotAcceptable))
		Expect(c.do(ctx, http.MethodGet, "/openapi.json", nil).Status).To(Equal(http.StatusOK))
		Expect((&caller{client: api.client()}).do(ctx, http.MethodGet, "/docs", nil).Header.Get("Content-Type")).To(HavePrefix("text/html"))
	}, SpecTimeout(timeout))

	It("returns the token of a caller that the cluster authenticates", func(ctx SpecContext) {
		c := newCaller(ctx, newNamespace(ctx), editor)
		guest := &caller{client: api.client()}
		got := guest.do(ctx, http.MethodPost, "/api-token-auth/", url.Values{"username": {"any"}, "password": {c.token}})
		Expect(got.Status).To(Equal(http.StatusOK), got.Body)
		Expect(got.object()).To(Equal(map[string]any{"token": c.token}))
		got = guest.do(ctx, http.MethodPost, "/api-token-auth", map[string]any{"username": "any", "password": "wrong"})
		Expect(got).To(And(HaveField("Status", 400), HaveField("Body", `{"non_field_errors":["Unable to log in with provided credentials."]}`)))
		got = guest.do(ctx, http.MethodPost, "/api-token-auth", nil)
		Expect(got).To(And(HaveField("Status", 400), HaveField("Body", `{"password":["This field is required."],"username":["This field is required."]}`)))
	}, SpecTimeout(timeout))

	It("creates one object however often a request with an idempotency key is sent", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		c := newCaller(ctx, namespace, editor)
		image := newImage(ctx, namespace, "python", "python36")
		c.made(ctx, image)
		keyed := c.with("Idempotency-Key", "once")
		first := keyed.do(ctx, http.MethodPost, "/functions", functionBody(image))
		Expect(first.Status).To(Equal(http.StatusOK), first.Body)
		Expect(keyed.do(ctx, http.MethodPost, "/functions", functionBody(image)).object()).To(HaveKeyWithValue("uuid", first.object()["uuid"]))
		body := functionBody(image)
		body["name"] = "another"
		Expect(keyed.do(ctx, http.MethodPost, "/functions", body).Status).To(Equal(http.StatusConflict))
		other := newCaller(ctx, namespace, editor).with("Idempotency-Key", "once").do(ctx, http.MethodPost, "/functions", functionBody(image))
		Expect(other.object()).NotTo(HaveKeyWithValue("uuid", first.object()["uuid"]))
		list := &v1alpha1.FunctionList{}
		Expect(k8s.List(ctx, list, client.InNamespace(namespace))).To(Succeed())
		Expect(list.Items).To(HaveLen(3))
	}, SpecTimeout(timeout))

	It("leaves fields of other owners alone, and changes only what differs", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		c := newCaller(ctx, namespace, editor)
		image := newImage(ctx, namespace, "python", "python36")
		mine := c.made(ctx, image)
		applied := fmt.Appendf(nil, `{"apiVersion":"sharedcloud.io/v1alpha1","kind":"Function","metadata":{"name":"synced","namespace":%q},
			"spec":{"runtime":"python36","image":"python","code":%q}}`, namespace, pythonCode)
		synced := &v1alpha1.Function{ObjectMeta: metav1.ObjectMeta{Name: "synced", Namespace: namespace}}
		Expect(k8s.Patch(ctx, synced, client.RawPatch(types.ApplyYAMLPatchType, applied), client.FieldOwner("kustomize-controller"))).To(Succeed())
		path := "/functions/" + string(synced.UID)
		Eventually(func(g Gomega) {
			g.Expect(c.do(ctx, http.MethodGet, path, nil).Status).To(Equal(http.StatusOK))
		}).WithContext(ctx).Should(Succeed())
		got := c.do(ctx, http.MethodPatch, path, map[string]any{"code": "def handler(event): return 1"})
		Expect(got.Status).To(Equal(http.StatusConflict), got.Body)
		Expect(got.Body).To(ContainSubstring("kustomize-controller"))
		got = c.do(ctx, http.MethodPut, path, map[string]any{"name": "synced", "code": pythonCode, "image": image, "runtime": "python36"})
		Expect(got.Status).To(Equal(http.StatusOK), got.Body)
		stored := &v1alpha1.Function{}
		Expect(k8s.Get(ctx, client.ObjectKeyFromObject(synced), stored)).To(Succeed())
		Expect(stored.ResourceVersion).To(Equal(synced.ResourceVersion), "nothing was written")

		By("taking fields without an owner")
		got = c.do(ctx, http.MethodPatch, path, map[string]any{"name": "shown"})
		Expect(got.Status).To(Equal(http.StatusOK), got.Body)
		Expect(k8s.Patch(ctx, synced, client.RawPatch(types.ApplyYAMLPatchType, applied), client.FieldOwner("kustomize-controller"))).To(Succeed(), "an apply that is not forced goes on working")
		Expect(synced.Spec.Name).To(Equal("shown"))

		By("refusing a change of an object that has changed since it was read")
		path = fmt.Sprintf("/functions/%s", mine["uuid"])
		tag := c.do(ctx, http.MethodGet, path, nil).Header.Get("ETag")
		Expect(tag).NotTo(BeEmpty())
		Expect(c.with("If-Match", tag).do(ctx, http.MethodPatch, path, map[string]any{"name": "b"}).Status).To(Equal(http.StatusOK))
		Expect(c.with("If-Match", tag).do(ctx, http.MethodPatch, path, map[string]any{"name": "c"}).Status).To(Equal(http.StatusPreconditionFailed))
		Expect(c.with("If-Match", tag).do(ctx, http.MethodDelete, path, nil).Status).To(Equal(http.StatusPreconditionFailed))
	}, SpecTimeout(timeout))

	It("shows images, the namespace's own image before the catalogue's of the same name, and GPUs", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		c := newCaller(ctx, namespace, editor)
		far := newImage(ctx, catalogue, "shared-"+namespace, "python36", func(i *v1alpha1.FunctionImage) {
			i.Labels = map[string]string{v1alpha1.LabelUUID: "23ca880b-94fe-472c-b9cf-934ed8295872"}
			i.Spec.RequiresGPU, i.Spec.Description, i.Spec.Tag = true, "Words.", "latest"
		})
		Expect(far).NotTo(BeEmpty())
		const id = "23ca880b-94fe-472c-b9cf-934ed8295872"
		var image map[string]any
		Eventually(func(g Gomega) {
			got := c.do(ctx, http.MethodGet, "/images/"+id, nil)
			g.Expect(got.Status).To(Equal(http.StatusOK), got.Body)
			image = got.object()
		}).WithContext(ctx).Should(Succeed())
		Expect(image).To(HaveLen(11))
		Expect(image).To(And(HaveKeyWithValue("requires_gpu", true), HaveKeyWithValue("name", "shared-"+namespace), HaveKeyWithValue("description", "Words."),
			HaveKeyWithValue("tag", "latest"), HaveKeyWithValue("num_installations", 0.0)))
		near := newImage(ctx, namespace, "shared-"+namespace, "python36")
		Eventually(func(g Gomega) {
			got := c.do(ctx, http.MethodGet, "/images", nil)
			g.Expect(got.Body).To(ContainSubstring(near))
			g.Expect(got.Body).NotTo(ContainSubstring(id))
		}).WithContext(ctx).Should(Succeed())
		got := c.do(ctx, http.MethodPost, "/functions", functionBody(id))
		Expect(got.Status).To(Equal(http.StatusBadRequest), got.Body)
		Expect(got.Body).To(ContainSubstring(near))

		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{GenerateName: "node-", Labels: map[string]string{"nvidia.com/gpu.product": "Tesla-T4"}}}
		Expect(k8s.Create(ctx, node)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(k8s.Delete(ctx, node)).To(Succeed()) })
		var gpus []map[string]any
		Eventually(func(g Gomega) {
			c.do(ctx, http.MethodGet, "/gpus/", nil).into(&gpus)
			g.Expect(gpus).To(HaveLen(1))
		}).WithContext(ctx).Should(Succeed())
		Expect(gpus[0]).To(And(HaveLen(7), HaveKeyWithValue("cuda_cores", 2560.0), HaveKeyWithValue("is_available", false)))
		Expect(c.do(ctx, http.MethodGet, fmt.Sprintf("/gpus/%s", gpus[0]["uuid"]), nil).object()).To(HaveKeyWithValue("codename", gpus[0]["codename"]))
	}, SpecTimeout(timeout))
})
