package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sample = `package sample

import "testing"

// TestForgedToken shows it.
//
//security:attack anonymous | shows a forged token | the answer is 401
func TestForgedToken(t *testing.T) {
	for name, tc := range map[string]struct{ body string }{
		//security:attack tenant | sends a gzip bomb | the answer is 415
		"a bomb": {body: "x"},
		"a plain body": {},
	} {
		t.Run(name, func(*testing.T) { _ = tc })
	}
}

var _ = Describe("doors", func() {
	It("keep workers apart", func() {
		//security:attack worker | asks for another's input | the answer is 403
		ask()
	})
	DescribeTable("hostile bodies", func(string) {},
		//security:attack tenant | sends 1e999 | the answer is 400
		//security:attack worker | sends 1e999 | the answer is 400
		Entry("an infinite number", "1e999"))
})
`

func TestDirectivesAreReadWithTheTestBelowThem(t *testing.T) {
	got, err := inFile("x/sample_test.go", []byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	want := []attack{
		{"anonymous", "shows a forged token", "the answer is 401", "TestForgedToken", "x/sample_test.go"},
		{"tenant", "sends a gzip bomb", "the answer is 415", "TestForgedToken: a bomb", "x/sample_test.go"},
		{"worker", "asks for another's input", "the answer is 403", "doors: keep workers apart", "x/sample_test.go"},
		{"tenant", "sends 1e999", "the answer is 400", "doors: hostile bodies: an infinite number", "x/sample_test.go"},
		{"worker", "sends 1e999", "the answer is 400", "doors: hostile bodies: an infinite number", "x/sample_test.go"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(attack{})); diff != "" {
		t.Errorf("attacks (-want +got):\n%s", diff)
	}
}

func TestDirectivesThatSayNothingAreErrors(t *testing.T) {
	for name, tc := range map[string]struct{ source, want string }{
		"two parts":           {"//security:attack tenant | tries\nfunc TestA() {}\n", "three parts"},
		"an empty part":       {"//security:attack tenant | | holds\nfunc TestA() {}\n", "part 2 of the directive is empty"},
		"an unknown attacker": {"//security:attack someone | tries | holds\nfunc TestA() {}\n", `"someone" is not one of`},
		"no test below":       {"//security:attack tenant | tries | holds\nfunc helper() {}\n", "neither directly above a test nor in one"},
		"a gap below":         {"//security:attack tenant | tries | holds\n\nfunc TestA() {}\n", "neither directly above a test nor in one"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := inFile("sample_test.go", []byte("package sample\n\n"+tc.source))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("the error is %v, it should say %q", err, tc.want)
			}
		})
	}
}

func TestTheTableReplacesTheOneBefore(t *testing.T) {
	page := "intro\n" + beginning + "| old |\n" + end + "outro\n"
	got, err := replaceTable([]byte(page), table([]attack{{"tenant", "sends a|b", "holds <b>", "a_test", "x_test.go"}}))
	if err != nil {
		t.Fatal(err)
	}
	want := "intro\n" + beginning + "| attacker | what is tried | what holds | test |\n| --- | --- | --- | --- |\n" +
		"| tenant | sends a\\|b | holds &lt;b&gt; | [a\\_test](../x_test.go) |\n" + end + "outro\n"
	if string(got) != want {
		t.Errorf("the page is\n%s\nit should be\n%s", got, want)
	}
	if _, err := replaceTable([]byte("no table here"), ""); err == nil {
		t.Error("a page without the two lines is no error")
	}
}
