package cli

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"sharedcloud.io/function-operator/parameters"
)

// spooled is a complete spool with lines.
func spooled(lines ...string) *spool {
	s := newSpool(1000)
	for _, line := range lines {
		s.add(parameters.Input{JSON: []byte(line)}, nil)
	}
	s.add(parameters.Input{}, io.EOF)
	return s
}

func TestRequestBodyHasWholeInputs(t *testing.T) {
	for most, want := range map[int]string{0: "", 1: "[1]\n", 4: "[1]\n", 5: "[1]\n[22]\n", 100: "[1]\n[22]\n[3]\n"} {
		body := spooled("[1]", "[22]", "[3]").begin(most, time.Hour)
		text, err := io.ReadAll(iotest.OneByteReader(body))
		if string(text) != want || err != nil {
			t.Errorf("at most %d bytes: got %q, %v", most, text, err)
		}
	}
	body := spooled("[1]", "[22]").begin(100, time.Hour)
	first := make([]byte, 2)
	if n, err := body.Read(first); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	body.timer.Reset(0)
	rest, err := io.ReadAll(iotest.OneByteReader(body))
	if text := string(first) + string(rest); err != nil || !strings.HasPrefix("[1]\n[22]\n", text) || !strings.HasSuffix(text, "\n") {
		t.Errorf("after the timeout: %q, %v", text, err)
	}
}

func TestSupersededBodyReadsNothing(t *testing.T) {
	s := spooled("[1]", "[2]", "[3]")
	body := s.begin(100, time.Hour)
	if n, err := body.Read(make([]byte, 5)); n != 5 || err != nil {
		t.Fatal(n, err)
	}
	if err := s.acknowledge(1); err != nil {
		t.Fatal(err)
	}
	if n, err := body.Read(make([]byte, 5)); n != 0 || !errors.Is(err, errSuperseded) {
		t.Errorf("it read %d more bytes, %v", n, err)
	}
	if text, err := io.ReadAll(s.begin(100, time.Hour)); string(text) != "[2]\n[3]\n" || err != nil {
		t.Errorf("the next call reads %q, %v", text, err)
	}
	if err := s.acknowledge(3); err == nil {
		t.Error("acknowledging more inputs than were sent succeeded")
	}
}
