package work

import (
	"fmt"

	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/quotas"
)

// ErrorStorageQuotaExceeded is the type of the error of an input whose result and output are not stored, because the quota of
// the namespace is used up.
const ErrorStorageQuotaExceeded = "StorageQuotaExceeded"

// smallError is how long the error of an outcome may be that is stored in any case, where it has neither result nor output:
// about as long as what would be there instead.
const smallError = 1 << 10

// measureRoom asks how much the namespace may store, where the call brings something.
func (c *call) measureRoom(tx *outcomes.Tx, q *quotas.Quotas) (err error) {
	want := int64(0)
	for i := range c.request.Outcomes {
		o := &c.request.Outcomes[i]
		if c.have.Contains(o.Index) {
			continue
		}
		want += outcomes.OutcomeBytes + int64(len(o.Result)+len(o.Stdout)+len(o.Stderr))
		if o.ResultText != nil {
			want += int64(len(*o.ResultText))
		}
		if o.Error != nil {
			want += int64(len(o.Error.Type) + len(o.Error.Message) + len(o.Error.Traceback))
		}
	}
	if live := c.request.Live; live != nil {
		want += int64(len(live.Stdout) + len(live.Stderr))
	}
	if want > 0 {
		c.room, err = q.Room(tx, quotas.Results, c.run.Namespace, want)
	}
	if c.before != nil && c.before.LiveBytes > 0 && c.reported.Contains(c.before.LiveIndex) {
		c.room.Used -= c.before.LiveBytes // it makes room for the outcome
	}
	return err
}

// fit makes an outcome one that the namespace has room for, and counts it. The input has its outcome either way: a worker that
// is refused would report it for ever, and executing the input once more would change nothing.
func (l *ledger) fit(o outcomes.Outcome) outcomes.Outcome {
	if o.Bytes() > l.room.Left() && !small(&o) {
		l.unkept++
		l.unkeptBytes += o.PayloadBytes()
		o = unkept(o, &l.room)
	}
	l.room.Used += o.Bytes()
	l.row.StoredBytes += o.Bytes()
	return o
}

// small says whether an outcome takes no more than the one that would be there instead.
func small(o *outcomes.Outcome) bool {
	if len(o.Result)+len(o.ResultText)+len(o.Stdout)+len(o.Stderr) > 0 {
		return false
	}
	return o.PayloadBytes() <= smallError
}

// unkept is an outcome without what it brought.
func unkept(o outcomes.Outcome, room *quotas.Room) outcomes.Outcome {
	happened := "the input succeeded"
	switch {
	case o.Error != nil && o.Error.Type != "":
		happened = "the input ended with " + cutText(o.Error.Type, 256)
	case o.Status != outcomes.Succeeded:
		happened = "the input did not succeed"
	}
	o.Error = &outcomes.ErrorText{
		Type: ErrorStorageQuotaExceeded,
		Message: fmt.Sprintf("%s; the %s that it returned, raised and printed are not stored: %s. %s",
			happened, quotas.Size(o.PayloadBytes()), room.Usage(), room.Remedy()),
	}
	o.Status = outcomes.Failed
	o.StdoutDropped += int64(len(o.Stdout))
	o.StderrDropped += int64(len(o.Stderr))
	o.Result, o.ResultText, o.Stdout, o.Stderr = nil, nil, nil, nil
	return o
}

// countRow counts the run's own row, as far as that has changed.
func (l *ledger) countRow(before *outcomes.Run) {
	if l.row.ID == 0 {
		l.row.StoredBytes += outcomes.RunBytes
	}
	l.row.StoredBytes += l.row.TextBytes() - before.TextBytes()
}
