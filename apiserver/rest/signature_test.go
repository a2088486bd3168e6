package rest

import "testing"

func TestSignaturesOfHandlers(t *testing.T) {
	for code, want := range map[string]bool{
		"def handler(event): return 42":                               true,
		"import os\n\ndef  handler ( event ) :\n  pass":               true,
		"def handler(event, context=None): pass":                      true,
		"def handler(event: input) -> str: pass":                      true,
		"async def handler(event): pass":                              true,
		"try:\n    import x\nexcept E:\n    def handler(event): pass": true,
		"def handler(events): pass":                                   false,
		"def handler(): pass":                                         false,
		"def handle(event): pass":                                     false,
		"# def handler(event): pass":                                  false,
		"function handler(event) { return 1 }":                        false,
	} {
		if got := signatureProblem("python", code) == ""; got != want {
			t.Errorf("python %q: %v", code, got)
		}
	}
	for code, want := range map[string]bool{
		"function handler(event) { return 42 }":               true,
		"var x = 1; function handler(event){return event[0]}": true,
		"async function handler(event) {}":                    true,
		"function handler(event, x) {}":                       true,
		"const handler = (event) => 1":                        false,
		"function handlers(event) {}":                         false,
		"def handler(event): return 42":                       false,
		"my.function handler(event)":                          false,
	} {
		if got := signatureProblem("node", code) == ""; got != want {
			t.Errorf("node %q: %v", code, got)
		}
	}
}
