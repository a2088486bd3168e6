package bodies

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/component-base/metrics/testutil"
	clocktesting "k8s.io/utils/clock/testing"
)

func caps() map[Kind]int64 { return map[Kind]int64{Caller: 256 << 10, Namespace: 512 << 10} }

func key(kind Kind, name string) Key { return Key{kind, name} }

//security:attack worker | Eight requests announce 32 MiB each, send one byte and wait. | Only bytes that arrived are charged, so the calls of all other workers are read.
func TestOnlyBytesThatArrivedAreCharged(t *testing.T) {
	budget := NewBudget("test", 1<<20, nil)
	for range 100 {
		if _, err := budget.Open(); err != nil {
			t.Fatal(err)
		}
	}
	if got := budget.Used(); got != 100*minCharge {
		t.Errorf("%d bytes are charged", got)
	}
}

//security:attack tenant | Many concurrent bodies have more bytes in total than the budget. | A body that exceeds the budget is refused immediately and releases its share, so the others complete.
func TestABodyThatExceedsTheBudgetReleasesItsShare(t *testing.T) {
	budget := NewBudget("test", 1<<20, nil)
	var first, second *Charge
	for _, c := range []**Charge{&first, &second} {
		charge, err := budget.Open()
		if err != nil {
			t.Fatal(err)
		}
		*c = charge
	}
	if err := errors.Join(first.Arrived(400<<10), second.Arrived(400<<10)); err != nil {
		t.Fatal(err)
	}
	refused := New(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(strings.Repeat("x", 200<<10))),
		Limits{Bytes: 1 << 20, Timeout: time.Minute}, first, clocktesting.NewFakePassiveClock(time.Now()))
	if _, err := refused.ReadAll(200 << 10); !errors.Is(err, ErrFull) {
		t.Fatalf("%v", err)
	}
	if got := budget.Used(); got != 400<<10 {
		t.Errorf("%d bytes are charged after a refusal", got)
	}
	if err := second.Arrived(400 << 10); err != nil {
		t.Errorf("the other body is refused: %v", err)
	}
	second.Close()
	second.Close()
	if got := budget.Used(); got != 0 || len(budget.keys) != 0 {
		t.Errorf("%d bytes are charged after the end", got)
	}
}

//security:attack tenant | One caller, or one namespace, sends as many bodies as it can. | It can use a part of the budget; the rest is left for others.
func TestOneKeyLeavesRoomForOthers(t *testing.T) {
	budget := NewBudget("test", 1<<20, caps())
	fill := func(keys ...Key) (bytes int64) {
		charge, err := budget.Open(keys...)
		if err != nil {
			return 0
		}
		for charge.Arrived(minCharge) == nil {
			continue
		}
		return charge.charged
	}
	alice, bob, carol := key(Caller, "alice"), key(Caller, "bob"), key(Caller, "carol")
	first, second := key(Namespace, "first"), key(Namespace, "second")
	if got := fill(alice, first); got != 256<<10 {
		t.Errorf("alice has %d bytes", got)
	}
	if got := fill(alice, second); got != 0 {
		t.Errorf("alice has %d more in another namespace", got)
	}
	if got := fill(bob, first); got != 256<<10 {
		t.Errorf("bob has %d bytes", got)
	}
	if got := fill(carol, first); got != 0 {
		t.Errorf("carol has %d bytes in a full namespace", got)
	}
	if got := fill(carol, second); got == 0 {
		t.Error("carol has no room in another namespace")
	}
}

func TestLargeBodiesLeaveRoomForSmallOnes(t *testing.T) {
	budget := NewBudget("test", 1<<20, nil)
	large, err := budget.Open()
	if err != nil {
		t.Fatal(err)
	}
	for large.Arrived(minCharge) == nil {
		continue
	}
	if got := budget.Used(); got != 7<<17 {
		t.Errorf("a large body took %d bytes", got)
	}
	smallBody, err := budget.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := smallBody.Arrived(60 << 10); err != nil {
		t.Errorf("a small body is refused: %v", err)
	}
}

func TestAnExclusiveKeySendsOneBodyAtATime(t *testing.T) {
	budget := NewBudget("test", 1<<20, nil)
	pod := key(Pod, "a")
	first, err := budget.OpenExclusive(pod)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := budget.OpenExclusive(pod); !errors.Is(err, ErrBusy) {
		t.Errorf("a second body: %v", err)
	}
	if _, err := budget.OpenExclusive(key(Pod, "b")); err != nil {
		t.Errorf("another pod's: %v", err)
	}
	first.Read()
	second, err := budget.OpenExclusive(pod)
	if err != nil {
		t.Fatalf("after the first was read: %v", err)
	}
	first.Close() // the first is answered while the second is being read
	if _, err := budget.OpenExclusive(pod); !errors.Is(err, ErrBusy) {
		t.Errorf("a third body: %v", err)
	}
	second.Close()
	if third, err := budget.OpenExclusive(pod); err != nil {
		t.Error(err)
	} else {
		third.Close()
	}
}

func TestConcurrentChargesAreReleased(t *testing.T) {
	budget := NewBudget("test", 8<<20, caps())
	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() {
			for range 200 {
				charge, err := budget.OpenExclusive(key(Pod, string(rune('a'+i))), key(Caller, string(rune('a'+i%3))))
				if err != nil {
					continue
				}
				for range 10 {
					if charge.Arrived(10_000) != nil {
						break
					}
				}
				charge.Close()
			}
		})
	}
	group.Wait()
	if got := budget.Used(); got != 0 || len(budget.keys) != 0 || len(budget.busy) != 0 {
		t.Errorf("%d bytes are left, %v, %v", got, budget.keys, budget.busy)
	}
}

// steps is a sender: before each step it waits, then it sends bytes.
type steps struct {
	clock *clocktesting.FakePassiveClock
	wait  time.Duration
	bytes int
	count int // -1: endless
}

func (s *steps) Read(p []byte) (int, error) {
	if s.count == 0 {
		return 0, io.EOF
	}
	s.count--
	s.clock.SetTime(s.clock.Now().Add(s.wait))
	return min(s.bytes, len(p)), nil
}

//security:attack anonymous | An endless body at one byte a second, or a fast one that stalls. | It is aborted within 30 seconds, regardless of what arrived before.
func TestSlowBodiesAreAborted(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	for name, tc := range map[string]struct {
		sender    steps
		limits    Limits
		announced int64
		want      error
		// within is the time in which reading must have ended.
		within time.Duration
	}{
		"one byte a second":                        {steps{wait: time.Second, bytes: 1, count: -1}, Limits{1 << 20, time.Hour}, -1, ErrSlow, 30 * time.Second},
		"nothing for half a minute":                {steps{wait: 30 * time.Second, bytes: 1000, count: -1}, Limits{1 << 20, time.Hour}, -1, ErrSlow, 61 * time.Second},
		"350 kB a second":                          {steps{wait: 100 * time.Millisecond, bytes: 35_000, count: 2000}, Limits{1 << 30, time.Hour}, -1, nil, time.Hour},
		"6 kB a second":                            {steps{wait: time.Second, bytes: 6_000, count: 1000}, Limits{1 << 30, time.Hour}, -1, nil, time.Hour},
		"fast enough, but longer than the timeout": {steps{wait: time.Second, bytes: 10_000, count: -1}, Limits{1 << 40, time.Hour}, -1, ErrSlow, time.Hour + time.Minute},
		"one byte above the limit":                 {steps{bytes: 1000, count: -1}, Limits{10_000, time.Hour}, -1, new(http.MaxBytesError), time.Second},
		"one byte above the limit is announced":    {steps{bytes: 1000, count: -1}, Limits{10_000, time.Hour}, 10_001, new(http.MaxBytesError), time.Second},
		"exactly the limit":                        {steps{bytes: 1000, count: 10}, Limits{10_000, time.Hour}, 10_000, nil, time.Second},
		"less than announced":                      {steps{bytes: 1000, count: 2}, Limits{1 << 30, time.Hour}, 1 << 30, nil, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			clock := clocktesting.NewFakePassiveClock(start)
			tc.sender.clock = clock
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", &tc.sender)
			charge, err := NewBudget("test", 1<<40, nil).Open()
			if err != nil {
				t.Fatal(err)
			}
			body := New(httptest.NewRecorder(), r, tc.limits, charge, clock)
			if tc.announced < 0 { // read and dropped: some are long
				err = body.Discard()
			} else {
				var text []byte
				text, err = body.ReadAll(tc.announced)
				if cap(text) > 4*len(text)+minCharge {
					t.Errorf("%d bytes of memory for %d that arrived", cap(text), len(text))
				}
			}
			if errors.As(tc.want, new(*http.MaxBytesError)) {
				if !errors.As(err, new(*http.MaxBytesError)) {
					t.Errorf("%v", err)
				}
			} else if !errors.Is(err, tc.want) {
				t.Errorf("%v, want %v", err, tc.want)
			}
			if took := clock.Now().Sub(start); took > tc.within {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestTheTimeBetweenReadsIsNotCharged(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Unix(1_700_000_000, 0))
	sender := &steps{clock: clock, wait: time.Second, bytes: 100_000, count: 20}
	body := New(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", sender), Limits{1 << 30, time.Hour}, nil, clock)
	for {
		_, err := body.Read(make([]byte, 1<<20))
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		clock.SetTime(clock.Now().Add(time.Minute)) // a store that is busy
	}
}

func TestTheDeadlineAppliesToTheConnection(t *testing.T) {
	failed := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := New(w, r, Limits{1 << 20, 50 * time.Millisecond}, nil, clocktesting.NewFakePassiveClock(time.Now())).ReadAll(r.ContentLength)
		failed <- err
	}))
	defer server.Close()
	reader, writer := io.Pipe()
	defer writer.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, reader)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if response, err := server.Client().Do(request); err == nil {
			_ = response.Body.Close()
		}
	}()
	if err := <-failed; !errors.Is(err, ErrSlow) {
		t.Errorf("%v", err)
	}
}

func TestContentCodingAndUpgrades(t *testing.T) {
	for coding, want := range map[string]string{"": "", "identity": "", "Identity, ": "", "gzip": "gzip", "identity, br": "br", "x": "x"} {
		if got := ContentCoding(http.Header{"Content-Encoding": {coding}}); got != want {
			t.Errorf("%q is encoded as %q, want %q", coding, got, want)
		}
	}
	if !Upgrades(&http.Request{Header: http.Header{"Upgrade": {"websocket"}}}) || Upgrades(&http.Request{Header: http.Header{}}) {
		t.Error("an upgrade")
	}
}

//security:attack tenant | Paths with dot segments, empty segments, escaped slashes, NULs or double escapes. | Every frontend rejects them.
func TestAmbiguousPaths(t *testing.T) {
	for path, want := range map[string]bool{
		"/api/v1/functions/": false, "/api/v1/functions": false, "/apis/x/namespaces/a/functionruns/b.c-d/log": false, "/a%20b": false,
		"/a/../b": true, "/a/./b": true, "/a/%2e%2e/b": true, "/a%2fb": true, "/a%2Fb": true, "/a%5cb": true, "/a%252fb": true, "/a//b": true, "//a": true,
		"/a%00": true, "/a%0d%0a": true, "/a/..": true, "/a%ff": true,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://x"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := AmbiguousPath(r); got != want {
			t.Errorf("%s is ambiguous: %v, want %v", path, got, want)
		}
	}
}

func TestMetricsShowChargesAndRefusals(t *testing.T) {
	const class = Class("metrics")
	budget := NewBudget(class, 1<<20, caps())
	value := func(get func() (float64, error)) float64 {
		got, err := get()
		if err != nil {
			t.Error(err)
		}
		return got
	}
	held := func() float64 {
		return value(func() (float64, error) { return testutil.GetGaugeMetricValue(bodyBytes.WithLabelValues(string(class))) })
	}
	refused := func(reason string) float64 {
		return value(func() (float64, error) {
			return testutil.GetCounterMetricValue(bodyRefusals.WithLabelValues(string(class), reason))
		})
	}
	if limit := value(func() (float64, error) { return testutil.GetGaugeMetricValue(bodyLimit.WithLabelValues(string(class))) }); limit != 1<<20 {
		t.Errorf("the limit is %v", limit)
	}
	open := func(keys ...Key) *Charge {
		charge, err := budget.Open(keys...)
		if err != nil {
			t.Fatal(err)
		}
		return charge
	}
	alice, bob := open(key(Caller, "alice"), key(Namespace, "first")), open(key(Caller, "bob"), key(Namespace, "first"))
	carol, dave := open(key(Caller, "carol"), key(Namespace, "first")), open()
	for _, arrived := range []struct {
		charge *Charge
		bytes  int
		reason string
	}{{alice, 256 << 10, ""}, {alice, 1, "caller"}, {bob, 200 << 10, ""}, {carol, 100 << 10, "namespace"}, {dave, 600 << 10, "server"}} {
		before := refused(arrived.reason)
		err := arrived.charge.Arrived(arrived.bytes)
		if full := arrived.reason != ""; errors.Is(err, ErrFull) != full || full && refused(arrived.reason) != before+1 {
			t.Errorf("%+v: %v, and %v refusals", arrived, err, refused(arrived.reason)-before)
		}
	}
	if got := held(); got != float64(budget.Used()) || got < 456<<10 {
		t.Errorf("%v bytes are held; the budget says %d", got, budget.Used())
	}
	for _, charge := range []*Charge{alice, bob, carol, dave} {
		charge.Close()
	}
	if got := held(); got != 0 {
		t.Errorf("%v bytes are held at the end", got)
	}
	if exclusive, err := budget.OpenExclusive(key(Pod, "a")); err != nil {
		t.Error(err)
	} else {
		defer exclusive.Close()
	}
	if _, err := budget.OpenExclusive(key(Pod, "a")); !errors.Is(err, ErrBusy) || refused("busy") != 1 {
		t.Errorf("a second body: %v, %v refusals", err, refused("busy"))
	}
}
