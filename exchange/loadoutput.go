package exchange

import "strings"

// Bytes is the size of both streams.
func (l *LoadOutput) Bytes() int {
	if l == nil {
		return 0
	}
	return len(l.Stdout) + len(l.Stderr)
}

// AddTo returns the error of a module that could not be loaded, with what the module printed before. The text follows the traceback, or
// the message if there is no traceback. Text that the error contains already is not repeated.
func (l *LoadOutput) AddTo(e ErrorText) ErrorText {
	if l.Bytes() == 0 {
		return e
	}
	reason := strings.TrimSpace(e.Traceback)
	if reason == "" {
		reason = strings.TrimSuffix(e.Type+": "+e.Message, ": ")
	}
	text := reason
	for _, stream := range []struct{ name, printed string }{{"stdout", l.Stdout}, {"stderr", l.Stderr}} {
		printed := strings.TrimSpace(strings.Replace(stream.printed, reason, "", 1))
		if printed != "" && !strings.Contains(reason, printed) {
			text += "\n\nThe module printed this to " + stream.name + " while it was loaded:\n" + printed
		}
	}
	if text != reason {
		e.Traceback = text + "\n"
	}
	return e
}
