package work

import (
	"fmt"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/quotas"
)

// ErrorStorageQuotaExceeded is the type of the error of an input whose result and output are not stored because the quota of the namespace
// is exhausted.
const ErrorStorageQuotaExceeded = "StorageQuotaExceeded"

// maxSmallError is the maximum length of an error that is always stored if its outcome has neither result nor output: about the length of
// the error that would replace it.
const maxSmallError = 1 << 10

// measureRoom reads how much the namespace may store, if the call has anything to store.
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
	want += int64(c.request.LoadOutput.Bytes())
	if want > 0 {
		c.room, err = q.Room(tx, quotas.Results, c.run.Namespace, want)
	}
	if c.before != nil && c.before.LiveBytes > 0 && c.reported.Contains(c.before.LiveIndex) {
		c.room.Used -= c.before.LiveBytes // the outcome replaces the live output
	}
	return err
}

// fit returns the outcome that is stored, and counts its bytes. The input gets an outcome even if there is no room: a worker whose report is
// rejected would repeat it forever, and executing the input again would change nothing.
func (s *runState) fit(o outcomes.Outcome) outcomes.Outcome {
	if o.Bytes() > s.room.Left() && !small(&o) {
		s.discarded++
		s.discardedBytes += o.PayloadBytes()
		o = withoutPayload(o, &s.room)
	}
	s.room.Used += o.Bytes()
	s.row.StoredBytes += o.Bytes()
	return o
}

// small reports whether an outcome takes no more space than the one that would replace it.
func small(o *outcomes.Outcome) bool {
	if len(o.Result)+len(o.ResultText)+len(o.Stdout)+len(o.Stderr) > 0 {
		return false
	}
	return o.PayloadBytes() <= maxSmallError
}

// withoutPayload returns the outcome without its result, output and error.
func withoutPayload(o outcomes.Outcome, room *quotas.Room) outcomes.Outcome {
	happened := "the input succeeded"
	switch {
	case o.Error != nil && o.Error.Type != "":
		happened = "the input ended with " + printable.Cut(o.Error.Type, 256)
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

// countRow counts the run's own row, as far as it has changed.
func (s *runState) countRow(before *outcomes.Run) {
	if s.row.ID == 0 {
		s.row.StoredBytes += outcomes.RunBytes
	}
	s.row.StoredBytes += s.row.TextBytes() - before.TextBytes()
}
