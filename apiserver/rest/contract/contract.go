// Package contract is the contract of the REST API as data: the OpenAPI document that is served, and a page for people that is
// made from it.
//
//	openapi.json   the document, written by hand: the one place where paths, fields and errors are described
//	document.go    as much of OpenAPI as the page needs
//	page.go        what the page says, in the order in which people read
//	page.html      how it looks
//
// What must not live here: requests, answers, anything that decides. The API does not read the document; tests hold it to it.
package contract

import (
	_ "embed"
	"fmt"
	"slices"
	"sync"
)

//go:embed openapi.json
var openAPI []byte

// JSON is the OpenAPI 3.1 document. The caller may change what he gets.
func JSON() []byte {
	return slices.Clone(openAPI)
}

// Page is the document as an HTML page that needs nothing else: no scripts, and nothing that a browser would load.
// The caller may change what he gets.
func Page() []byte {
	return slices.Clone(page())
}

// The document is part of the program: where it can't be shown, no test of this package passes.
var page = sync.OnceValue(func() []byte {
	content, err := render(openAPI)
	if err != nil {
		panic(fmt.Sprintf("the embedded OpenAPI document: %v", err))
	}
	return content
})
