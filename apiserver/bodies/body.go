package bodies

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"k8s.io/utils/clock"
)

// ErrSlow: the body did not arrive in time. The answer is 408, and the connection is closed.
var ErrSlow = errors.New("the body did not arrive in time: send it faster, or in several requests")

const (
	// Grace is how far a body may be behind the minimum rate, and so how long nothing may arrive.
	Grace = 20 * time.Second
	// Rate is the minimum rate in bytes per second, on average.
	Rate = 4 << 10
)

// Limits are the limits of one body.
type Limits struct {
	// Bytes is its maximum size.
	Bytes int64
	// Timeout is how long reading it may take.
	Timeout time.Duration
}

// Body is the body of a request with limits. Read fails with *http.MaxBytesError, ErrSlow, ErrFull, or the error of the
// connection.
type Body struct {
	body     io.Reader
	control  *http.ResponseController
	clock    clock.PassiveClock
	charge   *Charge
	limits   Limits
	read     int64
	deadline time.Time
	// due is when the next bytes must have arrived, last when the latest arrived. The time between two calls of Read does not
	// count against the sender.
	due, last time.Time
	err       error
}

// New returns the body of r. charge may be nil: then no budget is charged. Call Done before the request is answered.
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
	// An http.ResponseWriter without deadlines, such as a recorder in a test, is limited by the clock only. The deadline of
	// the connection is in real time, even with a fake clock.
	_ = b.control.SetReadDeadline(time.Now().Add(limit.Sub(before)))
	n, err := b.body.Read(p)
	b.read += int64(n)
	b.extendDue(n)
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

// extendDue extends the deadline of the next bytes. A fast sender gains at most the grace period.
func (b *Body) extendDue(n int) {
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

// Done ends the reading. It removes the deadline: if the deadline expired while the answer is written, the request would be
// treated as cancelled by the client.
func (b *Body) Done() {
	_ = b.control.SetReadDeadline(time.Time{})
	if b.charge != nil {
		b.charge.Read()
	}
}

// ReadAll reads all of it into memory, which grows with the bytes that arrive and not with the announced length.
func (b *Body) ReadAll(announced int64) ([]byte, error) {
	defer b.Done()
	if announced > b.limits.Bytes {
		return nil, b.fail(&http.MaxBytesError{Limit: b.limits.Bytes})
	}
	text := make([]byte, 0, 512)
	for {
		if len(text) == cap(text) {
			size := 4 * cap(text)
			if size > maxSmallBody {
				size = 2 * cap(text)
			}
			if announced > int64(len(text)) {
				size = min(size, int(announced)+1) // one more, to read EOF
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
