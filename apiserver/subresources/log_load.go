package subresources

import (
	"bytes"
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/apiserver/outcomes"
)

// loadSteps is the number of steps of a follower after which it looks for workers that printed something while they loaded the module and
// have not executed an input.
const loadSteps = 20

// loads writes what the modules of a run's workers printed while they were loaded: before the first output of an input of that worker, or at
// the end.
type loads struct {
	l   *Log
	out *logWriter
	run types.UID
	// off: the output of one input was requested, which does not include that of its worker.
	off bool
	// written has the workers whose output was written, or that have none.
	written map[int64]bool
	// unknown: an input was written that no worker executed.
	unknown bool
	err     error
}

func (l *Log) loads(out *logWriter, run types.UID, q logQuery) *loads {
	return &loads{l: l, out: out, run: run, off: q.index >= 0, written: map[int64]bool{}}
}

// before writes the output of a worker's load before that of its input.
func (s *loads) before(ctx context.Context, worker int64) {
	switch {
	case worker == 0:
		s.unknown = true
	case s.err == nil && !s.off && !s.written[worker]:
		s.written[worker] = true
		s.err = s.write(ctx, worker)
	}
}

// outcome returns a function that writes the output of an input, and before it that of its worker's load.
func (s *loads) outcome(ctx context.Context) func(*outcomes.Outcome) bool {
	return func(o *outcomes.Outcome) bool {
		s.before(ctx, o.WorkerID)
		return s.out.outcome(o) && s.err == nil
	}
}

// others writes the output of the workers that were not written before.
func (s *loads) others(ctx context.Context) error {
	if s.off || s.err != nil {
		return s.err
	}
	ids, err := s.l.reader.LoadWorkers(ctx, s.run)
	for _, id := range ids {
		if err != nil || s.out.broken != nil {
			break
		}
		if !s.written[id] {
			s.written[id] = true
			err = s.write(ctx, id)
		}
	}
	return err
}

func (s *loads) write(ctx context.Context, worker int64) error {
	found, err := s.l.reader.LoadOutput(ctx, s.run, worker)
	if err == nil && found != nil {
		s.out.load(found)
	}
	return err
}

// load writes what a module printed while it was loaded.
func (w *logWriter) load(l *outcomes.LoadOutput) {
	for _, stream := range []struct {
		wanted bool
		suffix string
		text   []byte
	}{{w.q.stdout, "", l.Stdout}, {w.q.stderr, " err", l.Stderr}} {
		if !stream.wanted || len(stream.text) == 0 {
			continue
		}
		head := ""
		if w.q.prefix {
			head = fmt.Sprintf("[load %s%s] ", l.PodName, stream.suffix)
		}
		write := func(line []byte) {
			w.put([]byte(head))
			w.put(line)
			w.put([]byte{'\n'})
		}
		if !w.q.prefix {
			write(bytes.TrimSuffix(stream.text, []byte("\n")))
			continue
		}
		if rest := eachLine(stream.text, write); len(rest) > 0 {
			write(rest)
		}
	}
}
