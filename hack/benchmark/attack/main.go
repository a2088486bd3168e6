// Command attack measures, on the local cluster with the operator deployed, the latency of a good client's requests alone and
// during attacks by another tenant, a worker and clients without a token, and prints a table. The aim is the same for all:
// during an attack, p99 is at most the larger of 50 ms and twice the p99 alone.
//
// With -self it runs the attacks that need no cluster against a small server in this process, with the same listener and the
// same shares: that checks this program rather than the operator.
//
// All traffic is bounded in count and time, and goes only to the address of the API server.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"time"
)

// bench is the input of the attacks and of the good client. The process of an attack reads it as JSON.
type bench struct {
	// Address of the API server, HOST:PORT. Authority is the PEM certificate that signed the server's certificate.
	Address   string
	Authority []byte
	// GoodPath is the path that the good client reads, with its own token.
	GoodPath, GoodToken string
	Tenant              tenant
	Duration            time.Duration
	Requests            int
}

// tenant is the attacker.
type tenant struct {
	Namespace, Token string
	// Function is the uuid of a function whose runs never start. Run is a run that a worker executes with WorkerToken.
	Function, Run, WorkerToken string
}

func main() {
	duration := flag.Duration("duration", 8*time.Second, "maximum duration of each attack")
	requests := flag.Int("requests", 400, "number of requests of the good client to measure")
	self := flag.Bool("self", false, "attack a small server in this process, without a cluster")
	name := flag.String("attack", "", "run one attack, configured on standard input (internal use)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *name != "" {
		if err := become(ctx, *name); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(ctx, *self, *duration, *requests); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, self bool, duration time.Duration, requests int) error {
	prepare, chosen := prepareCluster, attacks
	if self {
		prepare, chosen = prepareSelf, slices.DeleteFunc(slices.Clone(attacks), func(a attack) bool { return a.needsCluster })
	}
	b, clean, err := prepare(ctx)
	if err != nil {
		return err
	}
	defer clean()
	b.Duration, b.Requests = duration, requests
	fmt.Printf("%-44s %12s %12s %12s %12s %7s\n", "attack", "p50 alone", "p99 alone", "p50 attacked", "p99 attacked", "ratio")
	for _, a := range chosen {
		if err := b.measure(ctx, a); err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
	}
	return nil
}

// measure measures one attack and prints its line of the table.
func (b *bench) measure(ctx context.Context, a attack) error {
	alone, err := b.good(ctx)
	if err != nil {
		return fmt.Errorf("the good client alone: %w", err)
	}
	end, err := b.start(ctx, a)
	if err != nil {
		return err
	}
	time.Sleep(min(time.Second, b.Duration/4)) // until the attack has started
	beside, err := b.good(ctx)
	if err := errors.Join(err, end()); err != nil {
		return fmt.Errorf("the good client during the attack: %w", err)
	}
	aim, verdict := max(2*alone.p99, 50*time.Millisecond), "met"
	if beside.p99 > aim {
		verdict = "MISSED"
	}
	round := func(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
	fmt.Printf("%-44s %12v %12v %12v %12v %7.2f  %s (aim ≤ %v)\n", a.name, round(alone.p50), round(alone.p99), round(beside.p50), round(beside.p99),
		beside.p99.Seconds()/alone.p99.Seconds(), verdict, round(aim))
	return nil
}

// start starts the attack as a separate process with the lowest priority: a real attacker has its own machine, and the benchmark
// measures the server, not the contention for the cores of one machine.
func (b *bench) start(ctx context.Context, a attack) (end func() error, err error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, "nice", "-n", "19", program, "-attack", a.name)
	command.Stdin, command.Stderr = bytes.NewReader(data), os.Stderr
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("starting the attack: %w", err)
	}
	return func() error {
		_ = command.Process.Signal(os.Interrupt)
		return command.Wait()
	}, nil
}

// become runs one attack in this process.
func become(ctx context.Context, name string) error {
	b := &bench{}
	if err := json.NewDecoder(os.Stdin).Decode(b); err != nil {
		return err
	}
	i := slices.IndexFunc(attacks, func(a attack) bool { return a.name == name })
	if i < 0 {
		return fmt.Errorf("there is no attack %q", name)
	}
	ctx, stop := context.WithTimeout(ctx, b.Duration)
	defer stop()
	attacks[i].run(ctx, b)
	return nil
}

type quantiles struct{ p50, p99 time.Duration }

// good is a client that sends one request after the other over one connection.
func (b *bench) good(ctx context.Context) (quantiles, error) {
	client := b.client()
	defer client.CloseIdleConnections()
	var took []time.Duration
	for range b.Requests {
		began := time.Now()
		status, err := send(ctx, client, http.MethodGet, b.url(b.GoodPath), b.GoodToken, "")
		if err != nil {
			return quantiles{}, err
		}
		if status != http.StatusOK {
			return quantiles{}, fmt.Errorf("status %d", status)
		}
		took = append(took, time.Since(began))
		time.Sleep(2 * time.Millisecond) // a normal client, not a flood
	}
	slices.Sort(took)
	return quantiles{took[len(took)/2], took[len(took)*99/100]}, nil
}

func (b *bench) url(path string) string {
	u := url.URL{Scheme: "https", Host: b.Address}
	return u.String() + path
}

func (b *bench) tls(protocols ...string) *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(b.Authority)
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, NextProtos: protocols}
}

func (b *bench) client() *http.Client {
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: b.tls(), MaxIdleConnsPerHost: 64, DisableCompression: true}}
}
