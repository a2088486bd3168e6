package rest

import (
	"bytes"
	"errors"
	"flag"
	"net/http"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/klog/v2"
)

//security:attack tenant | A request whose content the Kubernetes API repeats in an error of a megabyte. | The answer and the log have at most 2,000 bytes of it.
func TestErrorsOfTheKubernetesAPIAreCut(t *testing.T) {
	long := strings.Repeat("é", 1<<20)
	flags := flag.NewFlagSet("klog", flag.PanicOnError)
	klog.InitFlags(flags)
	for _, value := range [][2]string{{"logtostderr", "false"}, {"alsologtostderr", "false"}, {"stderrthreshold", "FATAL"}} {
		before := flags.Lookup(value[0]).Value.String()
		if err := flags.Set(value[0], value[1]); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = flags.Set(value[0], before) })
	}
	for name, tc := range map[string]struct {
		err    error
		status int
		logs   string
	}{
		"an error of the server": {apierrors.NewInternalError(errors.New(long)), http.StatusServiceUnavailable, "The Kubernetes API refused a request"},
		"no error of the API":    {errors.New(long), http.StatusInternalServerError, "A request of REST failed"},
		"what is refused":        {apierrors.NewBadRequest(long), http.StatusBadRequest, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			klog.SetOutput(&log)
			got := refusalOf(tc.err)
			klog.Flush()
			body, err := encodeJSON(got.body)
			if err != nil || got.status != tc.status || len(body) > maxMessage+200 {
				t.Errorf("%d with %d bytes, %v", got.status, len(body), err)
			}
			// A log line has the text quoted, and each severity is written to the log of those below it, too.
			if log.Len() > 4*(maxMessage+200) || !strings.Contains(log.String(), tc.logs) {
				t.Errorf("%d bytes are logged: %.200s", log.Len(), log.String())
			}
		})
	}
}
