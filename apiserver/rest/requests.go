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

// What requests say beyond the contract: which part of a list, and that they are a repetition.

// span is a part of a list.
type span struct{ offset, limit int } // limit 0: all

// page reads limit and offset.
func (c *call) page() (span, error) {
	wrong := problems{}
	s := span{offset: c.whole("offset", 0, wrong), limit: c.whole("limit", 1, wrong)}
	return s, wrong.orNil()
}

func (c *call) whole(name string, least int, wrong problems) int {
	text, given := c.query(name, wrong)
	if !given {
		return 0
	}
	number, err := strconv.ParseUint(text, 10, 31)
	if err != nil || int(number) < least {
		wrong.add(name, "A valid integer is required.")
		return 0
	}
	return int(number)
}

// query is a parameter of the query, given once.
func (c *call) query(name string, wrong problems) (string, bool) {
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		wrong.add("non_field_errors", "The query is not urlencoded.")
		return "", false
	}
	given, ok := values[name]
	if !ok {
		return "", false
	}
	if len(given) > 1 {
		wrong.add(name, "This parameter is given more than once.")
		return "", false
	}
	return given[0], true
}

// queryUUID is a parameter that names an object; "" where it is not given.
func (c *call) queryUUID(name string, wrong problems) (id string, given bool) {
	text, given := c.query(name, wrong)
	if !given {
		return "", false
	}
	id, ok := uuids.Canonical(text)
	if !ok {
		wrong.add(name, wire.SentenceNotUUID(strings.ToValidUTF8(text, "?")))
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

// requester is on whose behalf a POST writes, and whether it may come again. The dialect belongs to the request as well as
// its body, and where it goes.
func (c *call) requester(body []byte) (writes.Requester, error) {
	by := writes.Requester{User: c.caller.GetName()}
	keys := c.r.Header.Values(headerIdempotencyKey)
	if len(keys) == 0 {
		return by, nil
	}
	if len(keys) > 1 || !idempotencyKey.MatchString(keys[0]) {
		return by, refuse(http.StatusBadRequest, "The header %s must be given once, with 1 to 255 characters of ASCII without spaces.", headerIdempotencyKey)
	}
	by.Key = keys[0]
	hash := sha256.New()
	_, _ = hash.Write([]byte(c.r.Header.Get("Content-Type") + "\n"))
	_, _ = hash.Write(body)
	by.Body = hex.EncodeToString(hash.Sum(nil)[:16])
	return by, nil
}
