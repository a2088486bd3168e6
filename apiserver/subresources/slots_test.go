package subresources

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/apiserver/shares"
)

// taken takes all slots with different callers; leave releases one.
func taken(t *testing.T, slots *shares.Limiter) (leave func()) {
	t.Helper()
	for i := 0; ; i++ {
		left, err := slots.Enter(fmt.Sprint("caller-", i), fmt.Sprint("namespace-", i))
		if err != nil {
			return leave
		}
		leave = left
	}
}

// follows takes slots for a caller until one is refused, and returns their number and the error.
func follows(t *testing.T, slots slots, caller, namespace string) (n int, refused error) {
	t.Helper()
	ctx := apirequest.WithUser(t.Context(), &user.DefaultInfo{Name: caller})
	for n < 1000 && refused == nil {
		if _, refused = slots.enter(ctx, namespace, true); refused == nil {
			n++
		}
	}
	return n, refused
}

//security:attack tenant | Follows of one tenant occupy all slots of logs and results. | The tenant gets 429 with Retry-After and the name of the limit; another tenant can follow.
func TestFollowsOfOneTenantLeaveRoomForOthers(t *testing.T) {
	log := NewLog(t.Context(), theRun(3), &play{scenes: []scene{{}}}, clock.RealClock{})
	results := NewResults(t.Context(), theRun(3), these(), clock.RealClock{})
	for name, slots := range map[string]slots{"log": log.slots, "results": results.slots} {
		t.Run(name, func(t *testing.T) {
			total := 0
			var refused error
			for i := range 100 {
				n, err := follows(t, slots, fmt.Sprint("account-", i), "tenant")
				total, refused = total+n, err
			}
			if total != followLimits.Namespace || !apierrors.IsTooManyRequests(refused) || !strings.Contains(refused.Error(), "the namespace tenant") {
				t.Errorf("%d follows, then %v", total, refused)
			}
			if seconds, ok := apierrors.SuggestsClientDelay(refused); !ok || seconds < 1 {
				t.Errorf("the refusal has no Retry-After")
			}
			if n, _ := follows(t, slots, "bob", "another"); n == 0 {
				t.Error("another tenant cannot follow")
			}
		})
	}
	// Requests that do not follow succeed while all slots of follows are taken.
	ctx := apirequest.WithUser(apirequest.WithNamespace(t.Context(), "tenant"), &user.DefaultInfo{Name: "account-0"})
	handler, err := results.Connect(ctx, "run", nil, responder{&said{}})
	if err != nil {
		t.Fatal(err)
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
	if recorder.Code != http.StatusOK {
		t.Errorf("status %d", recorder.Code)
	}
}
