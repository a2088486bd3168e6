package runtimes_test
import "testing"
func TestSmoke(t *testing.T) {
	eachNode(t, func(t *testing.T, in language) {
		e := newExchange(t, 7)
		run(t, in, e, "function handler(event) { console.log('hi', event[0]); console.error('e'+event[0]); return event[0] * 2 }", asProcessOne)
		for i := range 7 { o := e.outcome(t, i); t.Logf("%+v %s %s %s", o, o.Result, o.Stdout, o.Stderr) }
	})
}
