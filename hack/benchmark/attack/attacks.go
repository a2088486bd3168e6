package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sharedcloud.io/function-operator/exchange"
)

const (
	// senders is the number of goroutines that send concurrently in a flood.
	senders = 8
	// submits is the maximum number of submissions, connectionsAtOnce the number of connections that an attack holds open.
	submits, connectionsAtOnce = 100_000, 1000
	logPath                    = "/apis/subresources.sharedcloud.io/v1alpha1/namespaces/%s/functionruns/%s/log?follow=true"
)

// attack is load that must not slow the good client down. run returns when ctx ends.
type attack struct {
	name         string
	needsCluster bool
	run          func(ctx context.Context, b *bench)
}

var attacks = []attack{
	{"bodies announced and not sent", true, func(ctx context.Context, b *bench) {
		b.hold(ctx, 64, func(int) string {
			return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n{",
				exchange.PathOf(b.Tenant.Namespace, b.Tenant.Run), b.Tenant.WorkerToken, 32<<20)
		}, "")
	}},
	{"a million empty outcomes, by a worker", true, func(ctx context.Context, b *bench) {
		body := `{"protocol":1,"sequence":1,"held":"","want":true,"outcomes":[` + strings.Repeat("{},", 1_000_000) + "{}]}"
		b.flood(ctx, 2, func(client *http.Client, _ int64) {
			_, _ = send(ctx, client, http.MethodPost, b.url(exchange.PathOf(b.Tenant.Namespace, b.Tenant.Run)), b.Tenant.WorkerToken, body)
		})
	}},
	{"200 follows of one tenant", true, func(ctx context.Context, b *bench) {
		var group sync.WaitGroup
		client := b.client()
		defer client.CloseIdleConnections()
		for range 200 {
			group.Go(func() {
				_, _ = send(ctx, client, http.MethodGet, b.url(fmt.Sprintf(logPath, b.Tenant.Namespace, b.Tenant.Run)), b.Tenant.Token, "")
			})
		}
		group.Wait()
	}},
	{"lists without end, by one tenant", true, func(ctx context.Context, b *bench) {
		b.flood(ctx, senders, func(client *http.Client, _ int64) {
			_, _ = send(ctx, client, http.MethodGet, b.url("/api/v1/jobs"), b.Tenant.Token, "")
		})
	}},
	{"made up worker tokens", false, func(ctx context.Context, b *bench) {
		b.flood(ctx, senders, func(client *http.Client, n int64) {
			_, _ = send(ctx, client, http.MethodPost, b.url(exchange.PathOf("bogus", "bogus")), fmt.Sprint("bogus-", n), "{}")
		})
	}},
	{"1,000 connections with slow headers", false, func(ctx context.Context, b *bench) {
		b.hold(ctx, connectionsAtOnce, func(int) string { return "GET /api/v1/functions HTTP/1.1\r\nHost: x\r\nX-Slow: " }, "x")
	}},
	{"slow bodies, by one tenant", false, func(ctx context.Context, b *bench) {
		b.hold(ctx, 64, func(int) string {
			return "POST /api/v1/functions HTTP/1.1\r\nHost: x\r\nAuthorization: Token " + b.Tenant.Token +
				"\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
		}, "1\r\n{\r\n")
	}},
	{"large bodies without a token", false, func(ctx context.Context, b *bench) {
		body := `{"username":"x","password":"` + strings.Repeat("x", 5<<20) + `"}`
		b.flood(ctx, senders, func(client *http.Client, _ int64) {
			_, _ = send(ctx, client, http.MethodPost, b.url("/api/v1/api-token-auth"), "", body)
		})
	}},
	{"100,000 submissions of one tenant", true, func(ctx context.Context, b *bench) {
		body := fmt.Sprintf(`{"function":%q,"parameters":"((1,),)"}`, b.Tenant.Function)
		b.flood(ctx, senders, func(client *http.Client, n int64) {
			if n <= submits {
				_, _ = send(ctx, client, http.MethodPost, b.url("/api/v1/runs"), b.Tenant.Token, body)
			}
		})
	}},
}

// flood calls one as often as it can, in the given number of goroutines, until ctx ends.
func (b *bench) flood(ctx context.Context, goroutines int, one func(client *http.Client, n int64)) {
	client := b.client()
	defer client.CloseIdleConnections()
	var group sync.WaitGroup
	var count atomic.Int64
	for range goroutines {
		group.Go(func() {
			for ctx.Err() == nil && count.Load() < 10*submits {
				one(client, count.Add(1))
			}
		})
	}
	group.Wait()
}

// hold opens connections, sends the start of a request over each and then single pieces at intervals, until ctx ends.
func (b *bench) hold(ctx context.Context, connections int, beginning func(i int) string, bit string) {
	var conns []*tls.Conn
	defer func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}()
	dialer := &tls.Dialer{Config: b.tls("http/1.1")}
	for i := 0; i < connections && ctx.Err() == nil; i++ {
		conn, err := dialer.DialContext(ctx, "tcp", b.Address)
		if err != nil {
			continue // the server refuses further connections
		}
		encrypted, ok := conn.(*tls.Conn)
		if !ok {
			continue
		}
		conns = append(conns, encrypted)
		_, _ = io.WriteString(conn, beginning(i))
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			for _, conn := range conns {
				_ = conn.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
				_, _ = io.WriteString(conn, bit)
			}
		}
	}
}

// send sends a request and reads the whole response.
func send(ctx context.Context, client *http.Client, method, address, token, body string) (status int, err error) {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	request, err := http.NewRequestWithContext(ctx, method, address, reader)
	if err != nil {
		return 0, err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, errors.Join(err, response.Body.Close())
}
