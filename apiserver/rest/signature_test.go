package rest

import (
	"strings"
	"testing"
	"time"
)

func TestSignaturesOfPythonHandlers(t *testing.T) {
	const signature = "def handler(event): return 42"
	for code, want := range map[string]bool{
		signature: true,
		"import os\n\ndef  handler ( event ) :\n  pass":               true,
		"def handler(event, context=None): pass":                      true,
		"def handler(event: input) -> str: pass":                      true,
		"def handler(event=()): pass":                                 true,
		"async def handler(event): pass":                              true,
		"try:\n    import x\nexcept E:\n    def handler(event): pass": true,
		"def handler(\n    event, # the input\n):\n    pass":          true,
		"def handler( # comment\n  # event\n  event): pass":           true,
		"def \\\n  handler(event): pass":                              true,
		"async \\\ndef \\\nhandler \\\n(event): pass":                 true,
		"\\\ndef handler(event): pass":                                true,
		"import os\r\ndef handler(event):\r\n    pass":                true,
		"import os\rdef handler(event):\r    pass":                    true,
		"\ufeffdef handler(event): pass":                              true,
		"\fdef handler(event): pass":                                  true,
		"@decorator\ndef handler(event): pass":                        true,

		// What precedes it.
		"\"\"\"Doc.\n\"\"\"\n" + signature:          true,
		"'''it's'''\n" + signature:                  true,
		"x = r'\\'\n" + signature:                   true,
		"x = r'\\\\'\n" + signature:                 true,
		"x = '\\\\'\n" + signature:                  true,
		"x = b\"\"\"a\\\"\"\"b\"\"\"\n" + signature: true,
		"x = '''a''' '''b'''\n" + signature:         true,
		"x = ''\n" + signature:                      true,
		"# it's\n" + signature:                      true,
		"x = {'a': [1, (2,\n3)]} # )\n" + signature: true,
		"x = 1; y = 2\n" + signature:                true,
		"x = 1 + \\\n  2\n" + signature:             true,
		"x = f\"{d[\"k\"]}\"\n" + signature:         true,
		"s = '#'\n" + signature:                     true,
		"s = 'a\\\nb'\n" + signature:                true,
		"ü = 'ü'\n" + signature:                     true,

		// The syntax is not judged.
		"print 'hello'\n" + signature:           true,
		"exec 'x' in d\n" + signature:           true,
		"print 'not closed\n" + signature:       true,
		"x = (1, 2\n" + signature:               true,
		"x = )\n" + signature:                   true,
		"def handler(event:\n  pass":            true,
		"def handler(event)\n  return 1":        true,
		"raise E, 'x'\n`1`\n0777\n" + signature: true,

		// Comments, strings and continued lines are no code.
		"# " + signature:                        false,
		"x = 1 # \\\n#" + signature:             false,
		"'''\n" + signature + "\n'''":           false,
		"x = \"\"\"\n" + signature + "\n\"\"\"": false,
		"x = rb'''\n" + signature + "\n'''":     false,
		"f\"\"\"{x}\n" + signature + "\n\"\"\"": false,
		"x = '''it''s\n" + signature + "\n'''":  false,
		"x = '''\\'''\n" + signature + "\n'''":  false,
		"x = '\\\n" + signature + "'":           false,
		"x = 1 + \\\n" + signature:              false,
		"x = (\n" + signature + "\n)":           false,
		"x = 1; " + signature:                   false,
		"if x: " + signature:                    false,
		"x = '" + signature + "'":               false,
		"'''\n" + signature:                     false,
		"def handler(events): pass":             false,
		"def handler(event_, x): pass":          false,
		"def handler(eventü): pass":             false,
		"def handler(self, event): pass":        false,
		"def handler(*event): pass":             false,
		"def handler(): pass":                   false,
		"def handle(event): pass":               false,
		"def handlers(event): pass":             false,
		"defhandler(event): pass":               false,
		"asyncdef handler(event): pass":         false,
		"Def handler(event): pass":              false,
		"def handler\n(event): pass":            false,
		"def handler(event":                     false,
		"function handler(event) { return 1 }":  false,
		"handler = lambda event: 1":             false,
		"x.def handler(event)":                  false,
		"":                                      false,
		"\\":                                    false,
		"'\\":                                   false,
	} {
		if got := signatureProblem("python", code) == ""; got != want {
			t.Errorf("%q: %v", code, got)
		}
	}
}

func TestSignaturesOfNodeHandlers(t *testing.T) {
	const signature = "function handler(event) { return 42 }"
	for code, want := range map[string]bool{
		signature: true,
		"var x = 1; function handler(event){return event[0]}":        true,
		"async function handler(event) {}":                           true,
		"function handler(event, x) {}":                              true,
		"function handler(event = []) {}":                            true,
		"function\nhandler // the handler\n( /* one */ event\n) { }": true,
		"#!/usr/bin/env node it's\n" + signature:                     true,
		"export default " + signature:                                true,
		"\ufeff" + signature:                                         true,

		// What precedes it.
		"const s = 'it\\'s';" + signature:                           true,
		"const s = \"//\";" + signature:                             true,
		"const s = `a ${ b ? `c ${d}` : {e: '}'} } f`;" + signature: true,
		"const r = /[/'\"`]/g;" + signature:                         true,
		"const r = s.replace(/'/g, '\"');" + signature:              true,
		"const q = a / b; const s = '/';" + signature:               true,
		"const q = (a) / 2 / b[0] / 3;" + signature:                 true,
		"if (x) { return /`/ }\n" + signature:                       true,
		"// it's\n" + signature:                                     true,
		"/* it's */" + signature:                                    true,
		"const s = 'not closed\n" + signature:                       true,
		"let = = 3 (\n" + signature:                                 true,
		"x = `${ (() => { " + signature + " })() }`":                true,

		// Comments, strings, templates and regular expressions are no code.
		"// " + signature:                     false,
		"/* " + signature + " */":             false,
		"/*\n" + signature:                    false,
		"'" + signature + "'":                 false,
		"\"\\\"" + signature + "\"":           false,
		"`\n" + signature + "\n`":             false,
		"`${x} " + signature + "`":            false,
		"`${ {} } " + signature + "`":         false,
		"const r = /function handler(event)/": false,
		"'a\\\n" + signature + "'":            false,
		"const handler = (event) => 1":        false,
		"function handlers(event) {}":         false,
		"function handler(events) {}":         false,
		"function handler() {}":               false,
		"myfunction handler(event)":           false,
		"def handler(event): return 42":       false,
		"my.function handler(event)":          false,
		"$function handler(event)":            false,
		"":                                    false,
		"'\\":                                 false,
		"`\\":                                 false,
		"/*/":                                 false,
		"function handler(event":              false,
	} {
		if got := signatureProblem("node", code) == ""; got != want {
			t.Errorf("%q: %v", code, got)
		}
	}
}

//security:attack tenant | Code of the maximum size repeats what the check of its signature has to look at twice. | The check takes time in proportion to the length.
func TestSignaturesAreFoundInLinearTime(t *testing.T) {
	begun := time.Now()
	for _, part := range []string{"'", "\"\"\"", "def handler(\n", "(", "\\\n", "#\n", "/", "`${", "/*", "function handler(", "function /**/", "/a", "/[", "\ufeff"} {
		code := strings.Repeat(part, 1<<20/len(part))
		signatureProblem("python", code)
		signatureProblem("node", code)
	}
	if took := time.Since(begun); took > time.Minute { // a quadratic algorithm takes hours
		t.Errorf("it takes %v", took)
	}
}

func FuzzSignature(f *testing.F) {
	for _, seed := range []string{"def handler(event): pass", "x = '''\n", "function handler(event) {}", "`${/[/]/}`", "\\", "'\\"} {
		f.Add(seed)
	}
	f.Fuzz(func(_ *testing.T, code string) {
		signatureProblem("python", code)
		signatureProblem("node", code)
	})
}
