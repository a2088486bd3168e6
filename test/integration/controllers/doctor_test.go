package controllers

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"sharedcloud.io/function-operator/cli"
)

var _ = Describe("kubectl function doctor", func() {
	It("finds the admission policies of this version, with the defaults of the API server", func(ctx SpecContext) {
		kubeconfig := filepath.Join(GinkgoT().TempDir(), "kubeconfig")
		Expect(os.WriteFile(kubeconfig, environment.KubeConfig, 0o600)).To(Succeed())
		var stdout, stderr bytes.Buffer
		cli.Main(ctx, []string{"doctor", "--kubeconfig", kubeconfig, "-n", newNamespace(ctx)},
			genericiooptions.IOStreams{In: strings.NewReader(""), Out: &stdout, ErrOut: &stderr})
		Expect(stdout.String()).To(ContainSubstring("✓ the 9 admission policies are installed and enforced\n"), stderr.String())
	}, SpecTimeout(time.Minute))
})
