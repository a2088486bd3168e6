// Command testcount counts what `go test -json` reported: tests that have no subtests, and the specs of Ginkgo suites.
//
//	testcount [--stage-failed] FILE…
//
// It prints "PASSED FAILED SKIPPED". A package that failed without a failing test (it does not build, TestMain failed,
// the process died) is one failure, and so is a stage that failed without a failing package: --stage-failed says so.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
)

func main() {
	stageFailed := flag.Bool("stage-failed", false, "the command that wrote the files failed")
	flag.Parse()
	counts := newCounter()
	for _, name := range flag.Args() {
		if err := counts.readFile(name); err != nil {
			fmt.Fprintf(os.Stderr, "testcount: %s: %v\n", name, err)
			os.Exit(1)
		}
	}
	total := counts.totals()
	if *stageFailed && total.failed == 0 {
		total.failed = 1
	}
	fmt.Println(total.passed, total.failed, total.skipped)
}

// event is one line of `go test -json`; see `go doc test2json`.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

type testID struct{ pkg, test string }

type totals struct{ passed, failed, skipped int }

type counter struct {
	// outcome is the last action of each test: pass, fail, skip, or "run" when it has not ended.
	outcome map[testID]string
	// parents have subtests.
	parents map[testID]bool
	// specs are the totals in the summary line of a Ginkgo suite.
	specs map[testID]totals
	// failedPackages are the packages whose own action is fail.
	failedPackages map[string]bool
}

func newCounter() *counter {
	return &counter{
		outcome:        map[testID]string{},
		parents:        map[testID]bool{},
		specs:          map[testID]totals{},
		failedPackages: map[string]bool{},
	}
}

func (c *counter) readFile(name string) error {
	file, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil // the stage failed before its first test
	}
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	return c.read(file)
}

func (c *counter) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		var e event
		// A line that is not JSON is output of the go command itself; a package that did not build has its own event.
		if len(line) > 0 && json.Unmarshal(line, &e) == nil {
			c.add(e)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (c *counter) add(e event) {
	if e.Test == "" {
		if e.Action == "fail" {
			c.failedPackages[e.Package] = true
		}
		return
	}
	id := testID{e.Package, e.Test}
	switch e.Action {
	case "run":
		c.outcome[id] = "run"
		for i, r := range e.Test {
			if r == '/' {
				c.parents[testID{e.Package, e.Test[:i]}] = true
			}
		}
	case "pass", "fail", "skip":
		c.outcome[id] = e.Action
	case "output":
		if found, ok := suiteSummary(e.Output); ok {
			c.specs[id] = found
		}
	}
}

var (
	colour  = regexp.MustCompile("\x1b\\[[0-9;]*m")
	summary = regexp.MustCompile(`-- (\d+) Passed \| (\d+) Failed \| (?:\d+ Flaked \| )?(\d+) Pending \| (\d+) Skipped`)
)

// suiteSummary reads Ginkgo's last line: "SUCCESS! -- 12 Passed | 0 Failed | 0 Pending | 1 Skipped".
func suiteSummary(line string) (totals, bool) {
	if !strings.Contains(line, "Passed") {
		return totals{}, false
	}
	m := summary.FindStringSubmatch(colour.ReplaceAllString(line, ""))
	if m == nil {
		return totals{}, false
	}
	var n [4]int
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+1])
	}
	return totals{passed: n[0], failed: n[1], skipped: n[2] + n[3]}, true
}

func (c *counter) totals() totals {
	var sum totals
	failedChild := map[testID]bool{}
	failedTest := map[string]bool{}
	for id, outcome := range c.outcome {
		if outcome != "fail" && outcome != "run" {
			continue
		}
		failedTest[id.pkg] = true
		for i, r := range id.test {
			if r == '/' {
				failedChild[testID{id.pkg, id.test[:i]}] = true
			}
		}
	}
	for id, outcome := range c.outcome {
		bad := outcome == "fail" || outcome == "run" // "run": the process died in it
		specs, suite := c.specs[id]
		switch {
		case suite:
			sum.passed += specs.passed
			sum.failed += specs.failed
			sum.skipped += specs.skipped
			if bad && specs.failed == 0 { // a suite can fail without a failing spec: a focused spec, BeforeSuite
				sum.failed++
			}
		case c.parents[id]:
			if bad && !failedChild[id] {
				sum.failed++
			}
		case bad:
			sum.failed++
		case outcome == "skip":
			sum.skipped++
		default:
			sum.passed++
		}
	}
	for pkg := range c.failedPackages {
		if !failedTest[pkg] {
			sum.failed++
		}
	}
	return sum
}
