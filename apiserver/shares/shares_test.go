package shares

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// fill enters until it is refused, and returns the number of places and the refusal.
func fill(t *testing.T, p *Limiter, caller, namespace string) (int, *Error) {
	t.Helper()
	for n := 0; n < 10000; n++ {
		if _, err := p.Enter(caller, namespace); err != nil {
			refusal := new(Error)
			if !errors.As(err, &refusal) {
				t.Fatalf("refused with %v", err)
			}
			return n, refusal
		}
	}
	t.Fatal("nothing bounds the places")
	return 0, nil
}

//security:attack tenant | One caller takes all places of a kind. | It gets its share, the refusal names the limit, and others get in.
func TestACallerTakesItsShareAndNoMore(t *testing.T) {
	for _, limits := range []Limits{{16, 4, 8}, {64, 8, 24}, {32, 8, 16}, {512, 64, 128}, {1, 1, 1}, {2, 1, 2}} {
		t.Run(fmt.Sprint(limits), func(t *testing.T) {
			p := NewLimiter("log streams", limits)
			n, refusal := fill(t, p, "alice", "a")
			if n != limits.Caller || refusal.Limit != OfCaller || refusal.Seconds() < 1 ||
				!strings.Contains(refusal.Message, fmt.Sprintf("at most %d", limits.Caller)) {
				t.Errorf("%d places, then %s: %s", n, refusal.Limit, refusal.Message)
			}
			if limits.Total == limits.Caller {
				return
			}
			if _, err := p.Enter("bob", "b"); err != nil {
				t.Errorf("another caller: %v", err)
			}
		})
	}
}

//security:attack tenant | Many accounts of one namespace take all places. | The namespace gets its share, and others get in.
func TestANamespaceTakesItsShareAndNoMore(t *testing.T) {
	p := NewLimiter("log streams", Limits{Total: 64, Caller: 8, Namespace: 24})
	total, last := 0, (*Error)(nil)
	for i := range 100 {
		n, refusal := fill(t, p, fmt.Sprint("account-", i), "a")
		total, last = total+n, refusal
	}
	if total != 24 || last.Limit != OfNamespace || !strings.Contains(last.Message, "the namespace a") {
		t.Errorf("%d places, then %s: %s", total, last.Limit, last.Message)
	}
	if n, _ := fill(t, p, "bob", "b"); n == 0 {
		t.Error("another namespace gets nothing")
	}
}

//security:attack tenant | Several tenants take as many places as they can, one after the other. | A place is left for the next.
func TestRoomIsLeftForNewCallers(t *testing.T) {
	p := NewLimiter("uploads", Limits{Total: 64, Caller: 8, Namespace: 24})
	for i := range 7 {
		got := 0
		for account := range 10 {
			n, _ := fill(t, p, fmt.Sprint(i, "-", account), fmt.Sprint("namespace-", i))
			got += n
		}
		if got == 0 {
			t.Fatalf("namespace %d finds no place beside the %d before it: %d are taken", i, i, p.Used())
		}
	}
}

func TestReleasedPlacesAreFreeAndLeaveNoState(t *testing.T) {
	p := NewLimiter("uploads", Limits{Total: 16, Caller: 16, Namespace: 16})
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for range 1000 {
				leave, err := p.Enter(fmt.Sprint(i), "a")
				if err == nil {
					leave()
					leave() // the second does nothing
				}
			}
		})
	}
	group.Wait()
	if p.Used() != 0 || len(p.callers) != 0 || len(p.namespaces) != 0 {
		t.Errorf("%d used, %d callers and %d namespaces remembered", p.Used(), len(p.callers), len(p.namespaces))
	}
}

//security:attack tenant | Far more requests a second than a caller may make, also through many accounts. | 429 that names the limit; another tenant is not affected.
func TestRates(t *testing.T) {
	r := NewRates("writes", 5)
	granted := func(take func(i int) error) (n int, last *Error) {
		begun := time.Now()
		for i := range 10000 {
			err := take(i)
			if err == nil {
				n++
				continue
			}
			if !errors.As(err, &last) {
				t.Fatal(err)
			}
		}
		return n - int(4*5*time.Since(begun).Seconds()+1), last
	}
	n, last := granted(func(int) error { return r.Take("alice", "a") })
	if n > 10 || last.Limit != OfCaller || !strings.Contains(last.Message, "5 writes a second") {
		t.Errorf("%d at once, then %s: %s", n, last.Limit, last.Message)
	}
	n, last = granted(func(i int) error { return r.Take(fmt.Sprint("account-", i), "a") })
	if n > 40 || last.Limit != OfNamespace || !strings.Contains(last.Message, "in a namespace: 20 writes") {
		t.Errorf("%d at once, then %s: %s", n, last.Limit, last.Message)
	}
	if err := r.Take("bob", "b"); err != nil {
		t.Errorf("another tenant: %v", err)
	}
	if got := (&Error{RetryAfter: 1500 * time.Millisecond}).Seconds(); got != 2 {
		t.Errorf("1.5 s is Retry-After %d", got)
	}
}
