package work

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/outcomes/postgrestest"
	"sharedcloud.io/function-operator/exchange"
	"sharedcloud.io/function-operator/exchange/indexset"
)

// The chaos test runs three servers as processes on one database, with workers that call any of them over HTTP, and kills a server every
// two seconds. The outcomes must be those that the workers reported, one for each input.
//
// WORK_CHAOS_INPUTS is the number of inputs, by default 100,000.

const (
	chaosServers = 3
	chaosWorkers = 12
	chaosKill    = 2 * time.Second
	// chaosInput is the duration of an input: long enough that several servers are killed, with batches of a usual size.
	chaosInput = 2 * time.Millisecond
)

func chaosInputs() int {
	if n, err := strconv.Atoi(os.Getenv("WORK_CHAOS_INPUTS")); err == nil {
		return n
	}
	return 100_000
}

// chaosWorld implements the interfaces that a server needs.
type chaosWorld struct{}

func (chaosWorld) Run(context.Context, string, string) (Run, error) {
	return Run{
		UID: "chaos", Namespace: "ns", Name: "run", Total: chaosInputs(), Workers: chaosWorkers, TimeoutSeconds: 60, GPUs: 1, JobUID: "job-1",
	}, nil
}

func (chaosWorld) Inputs(_ context.Context, _ Run, first, last int) (inputs []Input, _ error) {
	for index := first; index <= last; index++ {
		inputs = append(inputs, Input{JSON: json.RawMessage("[" + strconv.Itoa(index) + "]")})
	}
	return inputs, nil
}

func (chaosWorld) PodExit(context.Context, string, string, types.UID) PodExit {
	return PodExit{State: PodExitRunning}
}

func (chaosWorld) Ending(string, string, types.UID) bool { return false }

// Worker implements Authenticator: the token is the worker's number.
func (chaosWorld) Worker(r *http.Request, namespace, run string) (Worker, error) {
	number, err := strconv.Atoi(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	if err != nil {
		return Worker{}, ErrUnauthenticated
	}
	return Worker{
		Namespace: namespace, Run: run, RunUID: "chaos", PodName: fmt.Sprintf("pod-%d", number), PodUID: types.UID(fmt.Sprintf("pod-%d", number)),
		JobUID: "job-1", CompletionIndex: number,
	}, nil
}

// serveChaos is the process of a server. It ends when it is killed, or with the test.
func serveChaos(address, url string) {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fatal := func(err error) {
		fmt.Fprintln(os.Stderr, "a server of the chaos test:", err)
		os.Exit(1)
	}
	store := outcomes.NewPostgres(outcomes.FixedURL(url))
	listener, err := net.Listen("tcp", address)
	if err != nil {
		fatal(err)
	}
	for err := store.Open(context.Background()); err != nil; err = store.Open(context.Background()) {
		fmt.Fprintln(os.Stderr, "a server of the chaos test cannot open its store; trying again:", err)
	}
	world := chaosWorld{}
	exchange := NewExchange(store, world, world, world, Options{})
	go exchange.Run(context.Background())
	fatal(http.Serve(listener, Handler(exchange, world))) //nolint:gosec // a test on loopback
}

// chaos has the servers and what the workers executed.
type chaos struct {
	t         *testing.T
	url       string
	addresses []string
	client    *http.Client

	mu        sync.Mutex
	processes []*exec.Cmd
	pipes     []io.Closer
	executed  []string
	twice     []int
	refused   atomic.Int64
}

func (c *chaos) start(server int) {
	command := exec.Command(os.Args[0]) //nolint:gosec // this binary
	command.Env = append(os.Environ(), "WORK_CHAOS_ADDRESS="+c.addresses[server], "WORK_CHAOS_URL="+c.url)
	command.Stderr = os.Stderr
	stdin, err := command.StdinPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		c.t.Errorf("starting a server: %v", err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.processes[server], c.pipes[server] = command, stdin
}

func (c *chaos) kill(server int) {
	c.mu.Lock()
	command, pipe := c.processes[server], c.pipes[server]
	c.mu.Unlock()
	_ = command.Process.Kill()
	_ = command.Wait()
	_ = pipe.Close()
}

// post makes a call of a worker until some server answers it.
func (c *chaos) post(ctx context.Context, worker int, random *rand.Rand, body []byte) (*exchange.Answer, error) {
	for {
		address := "http://" + c.addresses[random.IntN(len(c.addresses))] + "/work/v1/namespaces/ns/runs/run/exchange"
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer "+strconv.Itoa(worker))
		response, err := c.client.Do(request)
		if err == nil {
			text, reading := io.ReadAll(response.Body)
			_ = response.Body.Close()
			switch {
			case reading == nil && response.StatusCode == http.StatusOK:
				answer := &exchange.Answer{}
				return answer, json.Unmarshal(text, answer)
			// Another program that took the port of a killed server may answer with 404.
			case reading == nil && response.StatusCode < 500 && response.StatusCode != http.StatusNotFound:
				return nil, fmt.Errorf("%d %s", response.StatusCode, text)
			}
		}
		c.refused.Add(1)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Duration(20+random.IntN(100)) * time.Millisecond):
		}
	}
}

// work is a worker: it works until it is released.
func (c *chaos) work(ctx context.Context, worker int) error {
	random := rand.New(rand.NewPCG(uint64(worker), 7))
	var done []exchange.Outcome
	for sequence := int64(1); ; sequence++ {
		body, err := json.Marshal(&exchange.Request{Protocol: exchange.Protocol, Sequence: sequence, Want: true, WaitSeconds: 5, Outcomes: done})
		if err != nil {
			return err
		}
		answer, err := c.post(ctx, worker, random, body)
		if err != nil {
			return err
		}
		switch answer.Action {
		case exchange.ActionFinished:
			return nil
		case exchange.ActionStop:
			return errors.New("it got the action stop")
		}
		done = nil
		for _, input := range answer.Inputs {
			result := fmt.Sprintf(`"%d of %d, number %d"`, input.Index, worker, random.IntN(1<<30))
			done = append(done, exchange.Outcome{
				Index: input.Index, Status: v1alpha1.OutcomeSucceeded, Result: json.RawMessage(result), StartTime: time.Now().UnixMicro(),
				DurationMicros: chaosInput.Microseconds(),
			})
			c.mu.Lock()
			if c.executed[input.Index] != "" {
				c.twice = append(c.twice, input.Index)
			} else {
				c.executed[input.Index] = result
			}
			c.mu.Unlock()
		}
		<-time.After(time.Duration(len(done)) * chaosInput)
	}
}

func TestOutcomesAreStoredOnceWhileServersAreKilled(t *testing.T) {
	inputs := chaosInputs()
	c := &chaos{
		t: t, url: postgrestest.URL(t), executed: make([]string, inputs), processes: make([]*exec.Cmd, chaosServers), pipes: make([]io.Closer, chaosServers),
		client: &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: chaosWorkers}},
	}
	for range chaosServers {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		c.addresses = append(c.addresses, listener.Addr().String())
		_ = listener.Close()
	}
	for server := range chaosServers {
		c.start(server)
		t.Cleanup(func() { c.kill(server) })
	}
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Minute)
	defer cancel()
	start := time.Now()
	var workers sync.WaitGroup
	for worker := range chaosWorkers {
		workers.Go(func() {
			if err := c.work(ctx, worker); err != nil {
				t.Errorf("worker %d: %v", worker, err)
			}
		})
	}
	finished := make(chan struct{})
	go func() {
		workers.Wait()
		close(finished)
	}()
	kills := 0
	for ticker, running := time.NewTicker(chaosKill), true; running; {
		select {
		case <-finished:
			running = false
			ticker.Stop()
		case <-ticker.C:
			server := rand.IntN(chaosServers)
			c.kill(server)
			c.start(server)
			kills++
		}
	}
	t.Logf("%d inputs in %v; %d servers were killed, %d calls had to be repeated", inputs, time.Since(start).Round(time.Millisecond), kills, c.refused.Load())
	if kills < inputs/25_000 {
		t.Errorf("only %d servers were killed", kills)
	}
	if len(c.twice) > 0 {
		t.Errorf("%s were executed twice", indexset.Of(c.twice...))
	}
	c.verify()
}

// verify compares the store with what the workers executed.
func (c *chaos) verify() {
	run, _ := chaosWorld{}.Run(context.Background(), "", "")
	world := &cluster{t: c.t, url: c.url, run: run}
	world.store = world.openStore()
	defer world.store.Close()
	if err := world.check(); err != nil {
		c.t.Errorf("the invariant: %v", err)
	}
	if row := world.row(); !row.Closed || row.Succeeded != run.Total || row.Busy != 0 {
		c.t.Errorf("the run has closed %v, %d of %d succeeded, %d workers with leased inputs", row.Closed, row.Succeeded, run.Total, row.Busy)
	}
	all := world.outcomes()
	if len(all) != run.Total {
		c.t.Errorf("there are %d outcomes of %d", len(all), run.Total)
	}
	for index, o := range all {
		var of, by int
		if _, err := fmt.Sscanf(string(o.Result), `"%d of %d,`, &of, &by); err != nil || of != index || string(o.Result) != c.executed[index] ||
			o.Attempts != 1 || o.Status != outcomes.Succeeded || o.PodName != fmt.Sprintf("pod-%d", by) {
			c.t.Fatalf("the outcome of %d is %+v; %s was reported", index, o, c.executed[index])
		}
	}
}
