package rest

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"sharedcloud.io/function-operator/apiserver/rest/wire"
	"sharedcloud.io/function-operator/apiserver/uuids"
	"sharedcloud.io/function-operator/apiserver/writes"
)

// Request parameters beyond the contract: pagination and idempotency keys.

// span is a page of a list.
type span struct{ offset, limit int } // limit 0 for all

// page reads limit and offset.
func (c *call) page() (span, error) {
	wrong := problems{}
	s := span{offset: c.integer("offset", 0, wrong), limit: c.integer("limit", 1, wrong)}
	return s, wrong.orNil()
}

func (c *call) integer(name string, minimum int, wrong problems) int {
	text, given := c.query(name, wrong)
	if !given {
		return 0
	}
	number, err := strconv.ParseUint(text, 10, 31)
	if err != nil || int(number) < minimum {
		wrong.add(name, "A valid integer is required.")
		return 0
	}
	return int(number)
}

// query returns a query parameter, which must not be repeated.
func (c *call) query(name string, wrong problems) (string, bool) {
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		wrong.add("non_field_errors", "The query is not URL-encoded.")
		return "", false
	}
	given, ok := values[name]
	if !ok {
		return "", false
	}
	if len(given) > 1 {
		wrong.add(name, "This parameter occurs more than once.")
		return "", false
	}
	return given[0], true
}

// queryUUID returns a query parameter with a uuid; "" if it is missing.
func (c *call) queryUUID(name string, wrong problems) (id string, given bool) {
	text, given := c.query(name, wrong)
	if !given {
		return "", false
	}
	id, ok := uuids.Canonical(text)
	if !ok {
		wrong.add(name, wire.MessageNotUUID(strings.ToValidUTF8(text, "?")))
	}
	return id, ok
}

func slice[T any](s span, all []T) []T {
	all = all[min(s.offset, len(all)):]
	if s.limit > 0 {
		all = all[:min(s.limit, len(all))]
	}
	return all
}

const headerIdempotencyKey = "Idempotency-Key"

var idempotencyKey = regexp.MustCompile(`^[\x21-\x7e]{1,255}$`)

// requester returns the caller and the idempotency key of a POST. The content type is part of the hashed request, because it determines the
// meaning of the body.
func (c *call) requester(body []byte) (writes.Requester, error) {
	by := writes.Requester{User: c.caller.GetName()}
	keys := c.r.Header.Values(headerIdempotencyKey)
	if len(keys) == 0 {
		return by, nil
	}
	if len(keys) > 1 || !idempotencyKey.MatchString(keys[0]) {
		return by, refuse(http.StatusBadRequest, "The header %s must occur once, with 1 to 255 ASCII characters without spaces.", headerIdempotencyKey)
	}
	by.Key = keys[0]
	hash := sha256.New()
	_, _ = hash.Write([]byte(c.r.Header.Get("Content-Type") + "\n"))
	_, _ = hash.Write(body)
	by.Body = hex.EncodeToString(hash.Sum(nil)[:16])
	return by, nil
}
