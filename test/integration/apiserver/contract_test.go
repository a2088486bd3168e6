package apiserver

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"sharedcloud.io/function-operator/apiserver/rest/contract"
	"sharedcloud.io/function-operator/apiserver/uuids"
)

var document = sync.OnceValues(func() (*openapi3.T, error) { return openapi3.NewLoader().LoadFromData(contract.JSON()) })

// promised checks a response against the OpenAPI document: the status, the headers and the fields.
func promised(method, path string, got answered) {
	GinkgoHelper()
	doc, err := document()
	Expect(err).NotTo(HaveOccurred())
	path, _, _ = strings.Cut(path, "?")
	item := doc.Paths.Value(template(path))
	if item == nil || method == http.MethodHead || method == http.MethodOptions {
		return
	}
	operation := item.GetOperation(method)
	if operation == nil {
		Expect(got.Status).To(BeElementOf(http.StatusMethodNotAllowed, http.StatusUnauthorized), "%s %s", method, path)
		return
	}
	response := operation.Responses.Value(strconv.Itoa(got.Status))
	Expect(response).NotTo(BeNil(), "%s %s answers %d, which the document does not have: %s", method, path, got.Status, got.Body)
	Expect(got.Header.Get("X-Request-Id")).NotTo(BeEmpty())
	for name, header := range response.Value.Headers {
		if header.Value.Required {
			Expect(got.Header.Get(name)).NotTo(BeEmpty(), "%s %s answers %d without %s", method, path, got.Status, name)
		}
	}
	content := response.Value.Content.Get("application/json")
	if content == nil {
		return
	}
	Expect(got.Header.Get("Content-Type")).To(Equal("application/json"))
	var value any
	Expect(json.Unmarshal([]byte(got.Body), &value)).To(Succeed(), got.Body)
	Expect(content.Schema.Value.VisitJSON(value, openapi3.MultiErrors())).To(Succeed(), "%s %s answers %d %s", method, path, got.Status, got.Body)
}

// asked checks the body of a successful request against the document.
func asked(method, path string, body any) {
	GinkgoHelper()
	doc, err := document()
	Expect(err).NotTo(HaveOccurred())
	path, _, _ = strings.Cut(path, "?")
	item := doc.Paths.Value(template(path))
	Expect(item).NotTo(BeNil(), "%s %s succeeds, and the document does not have it", method, path)
	data, err := json.Marshal(body)
	Expect(err).NotTo(HaveOccurred())
	var value any
	Expect(json.Unmarshal(data, &value)).To(Succeed())
	content := item.GetOperation(method).RequestBody.Value.Content.Get("application/json")
	Expect(content.Schema.Value.VisitJSON(value, openapi3.MultiErrors())).To(Succeed(), "%s %s", method, path)
}

// template is a path as written in the document.
func template(path string) string {
	parts := strings.Split(path, "/")
	if len(parts) > 2 {
		if _, ok := uuids.Canonical(parts[2]); ok {
			parts[2] = "{uuid}"
		}
	}
	return strings.Join(parts, "/")
}
