package main

import (
	"bytes"
	"testing"

	"sharedcloud.io/function-operator/cmd/internal/buildinfo"
)

func TestVersionIsPrintedWithoutACluster(t *testing.T) {
	command := newCommand(t.Context())
	var out bytes.Buffer
	command.SetOut(&out)
	command.SetArgs([]string{"--version"})
	if err := command.Execute(); err != nil {
		t.Fatal(err)
	}
	if want := "apiserver " + buildinfo.Text() + "\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
