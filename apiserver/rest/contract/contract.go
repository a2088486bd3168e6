// Package contract is the contract of the REST API as data: the OpenAPI document that is served, and an HTML page that is generated from it.
//
//	openapi.json     the document, written by hand: the only description of paths, fields and errors
//	document.go      the part of OpenAPI that the page needs
//	page*.go         the content of the page
//	page.html        its layout
//
// It must not contain handlers or decisions. The API does not read the document; tests check the API against it.
package contract

import (
	_ "embed"
	"fmt"
	"slices"
	"sync"
)

//go:embed openapi.json
var openAPI []byte

// JSON returns a copy of the OpenAPI 3.1 document.
func JSON() []byte {
	return slices.Clone(openAPI)
}

// Page returns a copy of the document as an HTML page without scripts and external resources.
func Page() []byte {
	return slices.Clone(page())
}

// The document is embedded: if it cannot be rendered, all tests of this package fail.
var page = sync.OnceValue(func() []byte {
	content, err := render(openAPI)
	if err != nil {
		panic(fmt.Sprintf("the embedded OpenAPI document: %v", err))
	}
	return content
})
