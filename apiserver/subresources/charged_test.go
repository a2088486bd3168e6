package subresources

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
)

// arriving is an upload whose body the test sends step by step.
type arriving struct {
	t      *testing.T
	body   *io.PipeWriter
	answer chan said
}

func arrive(t *testing.T, run *Run, caller, namespace, format string) *arriving {
	t.Helper()
	reader, writer := io.Pipe()
	a := &arriving{t, writer, make(chan said, 1)}
	var answer said
	ctx := apirequest.WithUser(apirequest.WithNamespace(t.Context(), namespace), &user.DefaultInfo{Name: caller})
	handler, err := run.Connect(ctx, "hello", nil, responder{&answer})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		recorder := httptest.NewRecorder()
		request := httptest.NewRequestWithContext(ctx, http.MethodPost, "/?format="+format, reader)
		request.Header.Set("Expect", "100-continue") // a rejected body is not read to its end
		handler.ServeHTTP(recorder, request)
		_ = reader.CloseWithError(io.ErrClosedPipe)
		answer.status = recorder.Code
		a.answer <- answer
	}()
	return a
}

// send returns when the server has read the text, or has rejected the body.
func (a *arriving) send(text string) *arriving {
	_, _ = io.WriteString(a.body, text)
	return a
}

func (a *arriving) refused() error {
	a.t.Helper()
	select {
	case answer := <-a.answer:
		a.answer <- answer
		return answer.refused
	case <-time.After(20 * time.Second):
		a.t.Fatal("the upload is not answered")
		return nil
	}
}

func (a *arriving) waits() bool { return len(a.answer) == 0 }

func (a *arriving) end(text string) error {
	a.send(text)
	_ = a.body.Close()
	return a.refused()
}

//security:attack tenant | Uploads that each send most of an input of maximum size, in any format, and then wait. | The bytes in memory are charged to the caller and the namespace. An upload above the limit immediately gets 429 with Retry-After and releases its share; others are served.
func TestStalledUploadsLeaveMemoryForOthers(t *testing.T) {
	for format, parts := range map[string][3]string{
		"json": {`[["`, "x", `"]]`}, "ndjson": {`["`, "x", "\"]\n"}, "csv": {`"`, "x", "\"\n"}, "python": {"(('", "x", "',),)"},
	} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			run := NewRun(sink{}, &starter{}, 1<<30, clocktesting.NewFakePassiveClock(time.Now()))
			large := parts[0] + strings.Repeat(parts[1], 7<<20)
			first, second := arrive(t, run, "alice", "space", format).send(large), arrive(t, run, "alice", "space", format).send(large)
			third := arrive(t, run, "alice", "space", format).send(large)
			err := third.refused()
			if seconds, wait := apierrors.SuggestsClientDelay(err); !apierrors.IsTooManyRequests(err) || !wait || seconds < 1 {
				t.Errorf("the caller's third: %v", err)
			}
			if !first.waits() || !second.waits() {
				t.Error("the others are answered although they have not ended")
			}
			if used := run.budget.Used(); used < 14<<20 || used > 15<<20 {
				t.Errorf("%d bytes are charged", used)
			}
			waiting := []*arriving{first, second}
			for _, caller := range []string{"bob", "bob", "dave"} {
				waiting = append(waiting, arrive(t, run, caller, "space", format).send(large))
			}
			if err := arrive(t, run, "dave", "space", format).send(large).refused(); !apierrors.IsTooManyRequests(err) {
				t.Errorf("more of a namespace than it may have: %v", err)
			}
			if err := arrive(t, run, "carol", "other", format).end(large + parts[2]); err != nil {
				t.Errorf("another namespace: %v", err)
			}
			for _, one := range waiting {
				if err := one.end(parts[2]); err != nil {
					t.Errorf("one that had room: %v", err)
				}
			}
			if used := run.budget.Used(); used != 0 {
				t.Errorf("%d bytes are charged at the end", used)
			}
		})
	}
}

//security:attack tenant | An upload of many megabytes of small inputs. | It is charged for one chunk, regardless of its size.
func TestALongUploadIsChargedForTheBytesInMemory(t *testing.T) {
	text := strings.Repeat("x", 1000)
	for format, parts := range map[string][3]string{"json": {"[", `["` + text + `"],`, "[1]]"}, "ndjson": {"", `["` + text + "\"]\n", ""}, "csv": {"", text + ",2\n", ""}} {
		t.Run(format, func(t *testing.T) {
			run := NewRun(sink{}, &starter{}, 1<<30, clock.RealClock{})
			a := arrive(t, run, "alice", "space", format).send(parts[0])
			most := int64(0)
			for range 16 {
				a.send(strings.Repeat(parts[1], (1<<20)/len(parts[1])))
				most = max(most, run.budget.Used())
			}
			if err := a.end(parts[2]); err != nil {
				t.Error(err)
			}
			if most < 1<<20 || most > 2<<20 {
				t.Errorf("%d bytes were charged", most)
			}
		})
	}
}
