package work

import (
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/exchange"
)

// takeLoad stores what the worker's module printed while it was loaded, in place of the output of an earlier load. No decision depends on
// it, so it is also stored after the run was closed, until its results are deleted. If the namespace has no room, the stored output stays
// unchanged.
func (c *call) takeLoad(tx *outcomes.Tx) error {
	reported := c.request.LoadOutput
	if reported.Bytes() == 0 || c.repeated() || c.row.ResultsDeletedMicros != 0 {
		return nil
	}
	before := int64(0)
	if c.self.ID != 0 {
		var err error
		if before, err = tx.LoadOutputBytes(c.self.ID); err != nil {
			return err
		}
	}
	stored := &outcomes.LoadOutput{Stdout: []byte(reported.Stdout), Stderr: []byte(reported.Stderr)}
	if c.takeRoom(stored.Bytes() - before) {
		c.load = stored
	}
	return nil
}

// writeLoad writes the output of the load, once the worker's row has an ID.
func (c *call) writeLoad(tx *outcomes.Tx) error {
	if c.load == nil {
		return nil
	}
	c.load.WorkerID = c.self.ID
	return tx.PutLoadOutput(c.row.ID, c.load)
}

// loadFailed handles the report of a worker that cannot load the module. Its inputs stay leased: none was executed.
func (s *runState) loadFailed(text *exchange.ErrorText, printed *exchange.LoadOutput) {
	s.row.Deaths++
	s.row.DeathsWithoutProgress++
	stored := storedError(text)
	stored = outcomes.ErrorText(printed.AddTo(exchange.ErrorText(stored)))
	s.trouble(stored, true)
	s.endWithoutProgress()
}
