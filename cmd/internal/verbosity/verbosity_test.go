package verbosity

import (
	"testing"

	logsapi "k8s.io/component-base/logs/api/v1"
)

func TestLevelsAtWhichBodiesAreLoggedAreOutOfReach(t *testing.T) {
	for given, want := range map[int]int{-1: -1, 0: 0, 7: 7, 8: 7, 10: 7, 1 << 30: 7} {
		if got := Clamp(given); got != want {
			t.Errorf("level %d becomes %d, want %d", given, got, want)
		}
	}
	c := &logsapi.LoggingConfiguration{Verbosity: 10, VModule: logsapi.VModuleConfiguration{
		{FilePattern: "request", Verbosity: 9}, {FilePattern: "round_trippers", Verbosity: 10}, {FilePattern: "table", Verbosity: 2},
	}}
	ClampConfiguration(c)
	if c.Verbosity != 7 || c.VModule[0].Verbosity != 7 || c.VModule[1].Verbosity != 7 || c.VModule[2].Verbosity != 2 {
		t.Errorf("%+v", c)
	}
}
