package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/coredns/caddy"
	_ "github.com/coredns/coredns/core/dnsserver" // registers the server type "dns" with caddy
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/ready"
)

// coreDNS serves the Corefile that -conf names, with the plug-ins imported
// above: those that a cluster's own names need. CoreDNS's coremain is not used,
// since it claims short flag names of the whole process (-p, -version) which
// the other programs here may want.
func coreDNS() {
	flags := flag.NewFlagSet("coredns", flag.ExitOnError)
	conf := flags.String("conf", "Corefile", "the Corefile to serve")
	_ = flags.Parse(os.Args[1:])

	text, err := os.ReadFile(*conf)
	if err != nil {
		fail("coredns", err)
	}
	caddy.Quiet = true
	caddy.AppName = "CoreDNS"
	caddy.TrapSignals()
	instance, err := caddy.Start(caddy.CaddyfileInput{Filepath: *conf, Contents: text, ServerTypeName: "dns"})
	if err != nil {
		fail("coredns", err)
	}
	instance.Wait()
}

func fail(program string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", program, err)
	os.Exit(1)
}
