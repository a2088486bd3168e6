// Command cluster makes, uses and removes local clusters: real Kubernetes on
// this machine, without Docker or a registry. See the README beside go.mod.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"sharedcloud.io/function-operator/hack/cluster/internal/driver"
	"sharedcloud.io/function-operator/hack/cluster/internal/layout"
	"sharedcloud.io/function-operator/hack/cluster/internal/say"
)

const usage = `Local Kubernetes clusters with simulated GPUs.

  cluster build                        make the programs (once, 10 to 20 minutes; then cached)
  cluster up      [--name N] [--gpus 8]  start a cluster; run again, it continues or does nothing
  cluster down    [--name N]           remove it and all that it left
  cluster status                       list the clusters of this checkout
  cluster env     [--name N]           print shell exports: eval "$(cluster env)"
  cluster exec    [--name N] -- CMD…   run a command inside its namespaces (ctr, kubectl, pkill, ip …)
  cluster image load     [--name N] FILE.tar
                                       import images from an archive
  cluster image operator [--name N] [--ref REF] PROGRAM…
                                       pack static programs into an image and import it

N is "default" unless given.
`

// operatorRef is the image that the operator's manifests name for development.
const operatorRef = "docker.io/sharedcloud/function-operator:dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.Is(err, errUsage):
		os.Exit(2)
	case errors.As(err, &exit) && len(os.Args) > 1 && os.Args[1] == "exec":
		os.Exit(exit.ExitCode()) // the command's own, which has said why
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "cluster: interrupted; the same command continues from here")
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage")

func run(ctx context.Context, args []string) error {
	c, err := parse(args, os.Stderr)
	if err != nil {
		return err
	}
	if c.verb == "help" {
		fmt.Print(usage)
		return nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	repo, err := layout.Find(dir)
	if err != nil {
		return err
	}
	cluster, err := repo.Cluster(c.name)
	if err != nil {
		return err
	}
	d := &driver.Driver{Repo: repo, Report: say.New(os.Stderr), Out: os.Stdout}
	switch c.verb {
	case "build":
		return d.Build(ctx)
	case "up":
		return d.Up(ctx, cluster, c.gpus)
	case "down":
		return d.Down(ctx, cluster)
	case "status":
		return d.Status(ctx)
	case "env":
		return d.Env(ctx, cluster)
	case "exec":
		return d.Exec(ctx, cluster, c.rest)
	case "image load":
		return d.LoadImage(ctx, cluster, c.rest[0])
	default:
		return d.OperatorImage(ctx, cluster, c.ref, c.rest)
	}
}

// command is what the arguments ask for.
type command struct {
	verb string
	name string
	ref  string
	gpus int
	rest []string
}

// operands says how many arguments a verb takes beside its flags.
var operands = map[string]struct{ least, most int }{
	"build": {0, 0}, "up": {0, 0}, "down": {0, 0}, "status": {0, 0}, "env": {0, 0},
	"exec": {1, 1 << 20}, "image load": {1, 1}, "image operator": {1, 1 << 20},
}

func parse(args []string, errors io.Writer) (command, error) {
	wrong := func(format string, a ...any) (command, error) {
		fmt.Fprintf(errors, "cluster: "+format+"\n\n%s", append(a, usage)...)
		return command{}, errUsage
	}
	if len(args) == 0 {
		return wrong("say what to do")
	}
	c := command{verb: args[0]}
	args = args[1:]
	switch c.verb {
	case "help", "-h", "--help":
		return command{verb: "help"}, nil
	case "image":
		if len(args) == 0 {
			return wrong("say what to do with images: load or operator")
		}
		c.verb += " " + args[0]
		args = args[1:]
	}
	takes, known := operands[c.verb]
	if !known {
		return wrong("there is no command %q", c.verb)
	}
	flags := flag.NewFlagSet(c.verb, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&c.name, "name", driver.DefaultName, "")
	if c.verb == "up" {
		flags.IntVar(&c.gpus, "gpus", 8, "")
	}
	if c.verb == "image operator" {
		flags.StringVar(&c.ref, "ref", operatorRef, "")
	}
	if err := flags.Parse(args); err != nil {
		return wrong("%s: %v", c.verb, err)
	}
	c.rest = flags.Args()
	switch n := len(c.rest); {
	case n < takes.least:
		return wrong("%s: something is missing", c.verb)
	case n > takes.most:
		return wrong("%s: what is %q?", c.verb, c.rest[takes.most])
	case c.gpus < 0 || c.gpus > 64:
		return wrong("up: --gpus takes 0 to 64")
	}
	return c, nil
}
