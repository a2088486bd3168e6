package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestArguments(t *testing.T) {
	tests := map[string]struct {
		args  string
		want  command
		wrong string // part of what is said
	}{
		"up":                        {args: "up", want: command{verb: "up", name: "default", gpus: 8}},
		"up of another":             {args: "up --name e2e --gpus=2", want: command{verb: "up", name: "e2e", gpus: 2}},
		"exec keeps its arguments":  {args: "exec --name x -- ctr -n k8s.io images ls", want: command{verb: "exec", name: "x", rest: []string{"ctr", "-n", "k8s.io", "images", "ls"}}},
		"the operator's image":      {args: "image operator a b", want: command{verb: "image operator", name: "default", ref: operatorRef, rest: []string{"a", "b"}}},
		"help":                      {args: "--help", want: command{verb: "help"}},
		"nothing":                   {args: "", wrong: "say what to do"},
		"an unknown command":        {args: "start", wrong: `there is no command "start"`},
		"an unknown image command":  {args: "image push", wrong: `there is no command "image push"`},
		"an unknown flag":           {args: "down --force", wrong: "-force"},
		"a flag of another command": {args: "env --gpus 2", wrong: "-gpus"},
		"too much":                  {args: "status please", wrong: `what is "please"?`},
		"too little":                {args: "exec --name x", wrong: "something is missing"},
		"too many GPUs":             {args: "up --gpus 100", wrong: "0 to 64"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var said bytes.Buffer
			got, err := parse(strings.Fields(tc.args), &said)
			if tc.wrong != "" {
				if !errors.Is(err, errUsage) || !strings.Contains(said.String(), tc.wrong) {
					t.Errorf("got %v, said %q", err, said.String())
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(got.rest) == 0 {
				got.rest = nil
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(command{})); diff != "" {
				t.Errorf("command (-want +got):\n%s", diff)
			}
		})
	}
}
