package e2e

import (
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

// hostileCode performs the act that the input names.
const hostileCode = `
import ctypes, os, signal, subprocess, sys, time

def handler(event):
    what = event[0]
    if what == "fine":
        return "fine"
    return globals()[what]()

def exits():
    os._exit(1)

def dies():
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(10)

def allocates():
    hoard = []
    while True:
        hoard.append(bytearray(16 * 1024 * 1024))

def closes():
    os.close(1)
    os.close(2)
    sys.stdout = sys.stderr = None
    return "closed"

def raises():
    raise ValueError("no such luck")

def returns_object():
    return complex(1, 2)

def sleeps():
    ctypes.CDLL(None).sleep(3600)

def forks():
    if os.fork() == 0:
        os.setsid()
        time.sleep(3600)
        os._exit(0)
    return "forked"

def signals():
    for name in ("SIGINT", "SIGHUP", "SIGTERM", "SIGKILL"):
        os.kill(os.getppid(), getattr(signal, name))
    return "signalled"

def kills_group():
    os.killpg(os.getpgrp(), signal.SIGTERM)
    time.sleep(10)

def stops():
    os.kill(os.getpid(), signal.SIGSTOP)
    return "continued"

def prints():
    line = b"x" * 1023 + b"\n"
    for _ in range(50 * 1024):
        os.write(1, line)
    return "printed"
`

var _ = Describe("Hostile handlers", func() {
	It("each get their own correct outcome, and all others succeed", func(ctx SpecContext) {
		type want struct {
			status, result, errorType, message string
		}
		cases := map[string]want{
			"exits":          {status: "Failed", message: "exited with status 1"},
			"dies":           {status: "Failed", message: "SIGSEGV"},
			"allocates":      {status: "Failed", message: "memory"},
			"closes":         {status: "Succeeded", result: `"closed"`},
			"raises":         {status: "Failed", errorType: "ValueError", message: "no such luck"},
			"returns_object": {status: "Succeeded", result: `"(1+2j)"`},
			"sleeps":         {status: "TimedOut", message: "15 s"},
			"forks":          {status: "Succeeded", result: `"forked"`},
			"signals":        {status: "Succeeded", result: `"signalled"`},
			"kills_group":    {status: "Failed", message: "SIGTERM"},
			"stops":          {},
			"prints":         {status: "Succeeded", result: `"printed"`},
		}
		names := []string{}
		for name := range cases {
			names = append(names, name, "fine", "fine", "fine", "fine")
		}
		function := makeFunction(ctx, newNamespace(ctx), "hostile", hostileCode, func(f *v1alpha1.Function) {
			f.Spec.TimeoutSeconds = ptr.To[int32](15)
			f.Spec.Pod = &v1alpha1.PodSettings{Resources: &v1alpha1.Resources{
				Limits: v1alpha1.ResourceList{corev1.ResourceMemory: v1alpha1.MustParseQuantity("256Mi")}}}
		})
		run := waitFinished(ctx, startRun(ctx, function, builders.Inputs(len(names), func(i int) any { return names[i] }), withWorkers(4)), 3*time.Minute)
		Expect(meta.IsStatusConditionTrue(run.Status.Conditions, v1alpha1.ConditionFailed)).To(BeTrue())
		for i, o := range results(ctx, run) {
			name := names[i]
			wanted, hostile := cases[name]
			said := fmt.Sprintf("%d %s: %s %s %+v", i, name, o.Status, o.Result, o.Error)
			switch {
			case !hostile:
				Expect(o.Status).To(Equal("Succeeded"), said)
				Expect(o.Attempts).To(Equal(1), said)
			case name == "stops":
				// Continued, or ended at its time limit: both are correct; a hang is not.
				Expect(o.Status).To(BeElementOf("Succeeded", "TimedOut", "Failed"), said)
			default:
				Expect(o.Status).To(Equal(wanted.status), said)
				if wanted.result != "" {
					Expect(string(o.Result)).To(Equal(wanted.result), said)
				}
				if wanted.status != "Succeeded" {
					Expect(o.Error).NotTo(BeNil(), said)
					Expect(o.Error.Type).To(ContainSubstring(wanted.errorType), said)
					Expect(strings.ToLower(o.Error.Message)).To(ContainSubstring(strings.ToLower(wanted.message)), said)
				}
			}
		}
	}, SpecTimeout(4*time.Minute))
})
