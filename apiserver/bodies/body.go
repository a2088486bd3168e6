package bodies

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"k8s.io/utils/clock"
)

// ErrSlow: the body did not arrive in time. 408, and the connection ends.
var ErrSlow = errors.New("the body did not arrive in time: send it faster, or in several requests")

const (
	// Grace is how long a body may lag behind the minimum rate: so long may nothing come.
	Grace = 20 * time.Second
	// Rate is how many bytes a second must come on average.
	Rate = 4 << 10
)

// Limits are what one body may take.
type Limits struct {
	// Bytes is how many bytes it may have.
	Bytes int64
	// Timeout is how long it may take in all.
	Timeout time.Duration
}

// Body is the body of a request, read under limits. A read fails with *http.MaxBytesError, ErrSlow, ErrFull, or the error of
// the connection.
type Body struct {
	body     io.Reader
	control  *http.ResponseController
	clock    clock.PassiveClock
	charge   *Charge
	limits   Limits
	read     int64
	deadline time.Time
	// due is when the next bytes must have come, last when the last came. The time between two reads is not the sender's.
	due, last time.Time
	err       error
}

// New reads the body of r. charge may be nil: then no budget is asked. Done must be called before the request is answered.
func New(w http.ResponseWriter, r *http.Request, limits Limits, charge *Charge, clk clock.PassiveClock) *Body {
	now := clk.Now()
	return &Body{
		body: r.Body, control: http.NewResponseController(w), clock: clk, charge: charge, limits: limits,
		deadline: now.Add(limits.Timeout), due: now.Add(Grace), last: now,
	}
}

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if room := b.limits.Bytes - b.read + 1; int64(len(p)) > room {
		p = p[:max(room, 1)]
	}
	before := b.clock.Now()
	b.due = b.due.Add(before.Sub(b.last))
	limit := b.due
	if b.deadline.Before(limit) {
		limit = b.deadline
	}
	if !limit.After(before) {
		return 0, b.fail(ErrSlow)
	}
	// What cannot set deadlines, such as a recorder of a test, is asked for the time only. The deadline of the connection is in
	// real time, whatever clock the limits go by.
	_ = b.control.SetReadDeadline(time.Now().Add(limit.Sub(before)))
	n, err := b.body.Read(p)
	b.read += int64(n)
	b.earn(n)
	switch {
	case b.read > b.limits.Bytes:
		return 0, b.fail(&http.MaxBytesError{Limit: b.limits.Bytes})
	case b.charge != nil && n > 0:
		if full := b.charge.Arrived(n); full != nil {
			return 0, b.fail(full)
		}
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, b.fail(ErrSlow)
	case err != nil:
		b.err = err
	}
	return n, err
}

// earn puts off when the next bytes are due. What comes fast earns no more than the grace.
func (b *Body) earn(n int) {
	b.due = b.due.Add(time.Duration(n) * time.Second / Rate)
	b.last = b.clock.Now()
	if latest := b.last.Add(Grace); b.due.After(latest) {
		b.due = latest
	}
}

func (b *Body) fail(err error) error {
	b.err = err
	if b.charge != nil {
		b.charge.Close()
	}
	return err
}

// Done ends the reading. It takes the deadline back: a connection that meets it while an answer is being written would be taken
// for one whose caller has gone.
func (b *Body) Done() {
	_ = b.control.SetReadDeadline(time.Time{})
	if b.charge != nil {
		b.charge.Read()
	}
}

// ReadAll reads all of it into memory, which grows with what arrives and not with what is announced.
func (b *Body) ReadAll(announced int64) ([]byte, error) {
	defer b.Done()
	if announced > b.limits.Bytes {
		return nil, b.fail(&http.MaxBytesError{Limit: b.limits.Bytes})
	}
	text := make([]byte, 0, 512)
	for {
		if len(text) == cap(text) {
			size := 4 * cap(text)
			if size > small {
				size = 2 * cap(text)
			}
			if announced > int64(len(text)) {
				size = min(size, int(announced)+1) // one more, to see the end
			}
			text = append(make([]byte, 0, size), text...)
		}
		n, err := b.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		switch {
		case errors.Is(err, io.EOF):
			return text, nil
		case err != nil:
			return nil, err
		}
	}
}

// Discard reads the body of a request that needs none.
func (b *Body) Discard() error {
	defer b.Done()
	_, err := io.Copy(io.Discard, b)
	return err
}
