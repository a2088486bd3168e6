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

//security:attack tenant | A request whose content the Kubernetes API repeats in an error of a megabyte. | The response and the log contain at most 2,000 bytes of it.
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
		"an internal error":         {apierrors.NewInternalError(errors.New(long)), http.StatusServiceUnavailable, "The Kubernetes API refused a REST request"},
		"an error without a status": {errors.New(long), http.StatusInternalServerError, "REST request failed"},
		"a refused request":         {apierrors.NewBadRequest(long), http.StatusBadRequest, ""},
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
			// A log line quotes the text, and klog writes each severity to the logs of the lower ones too.
			if log.Len() > 4*(maxMessage+200) || !strings.Contains(log.String(), tc.logs) {
				t.Errorf("%d bytes are logged: %.200s", log.Len(), log.String())
			}
		})
	}
}
