package outcomes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/apiserver/outcomes/postgrestest"
)

func TestServersThatStartAtTheSameTimeMigrateOnce(t *testing.T) {
	where := postgrestest.URL(t)
	var wait sync.WaitGroup
	for range 5 {
		wait.Go(func() {
			store := NewPostgres(func() (string, error) { return where, nil })
			if err := store.Open(ctx); err != nil {
				t.Errorf("opening: %v", err)
			}
			if err := store.Close(); err != nil {
				t.Errorf("closing: %v", err)
			}
		})
	}
	wait.Wait()
	addRun(t, openPostgres(t, where), "uid")
}

// TestTransactionsOnOneRunDoNotOverlapOnDifferentServers reads a number and writes it incremented.
func TestTransactionsOnOneRunDoNotOverlapOnDifferentServers(t *testing.T) {
	where := postgrestest.URL(t)
	stores := []*Postgres{openPostgres(t, where), openPostgres(t, where), openPostgres(t, where)}
	var wait sync.WaitGroup
	for _, store := range stores {
		for range 4 {
			wait.Go(func() {
				for range 50 {
					err := store.Update(ctx, "uid", func(tx *Tx) error {
						run, err := tx.Run("uid")
						if err != nil {
							return err
						}
						if run == nil {
							return tx.InsertRun(&Run{UID: "uid", UnsuccessfulCut: -1, Total: 1})
						}
						after := *run
						after.Total, after.Next = run.Total, run.Next+1
						return tx.UpdateRun(run, &after)
					})
					if err != nil {
						t.Errorf("writing: %v", err)
					}
				}
			})
		}
	}
	wait.Wait()
	var run *Run
	if err := stores[0].View(ctx, func(tx *Tx) (err error) {
		run, err = tx.Run("uid")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if want := 3*4*50 - 1; run.Next != want {
		t.Errorf("%d of %d additions are stored", run.Next, want)
	}
}

func TestTransactionsOnOtherRunsDoNotWait(t *testing.T) {
	where := postgrestest.URL(t)
	first, second := openPostgres(t, where), openPostgres(t, where)
	inside, release := make(chan struct{}), make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		_ = first.Update(ctx, "slow", func(*Tx) error {
			close(inside)
			<-release
			return nil
		})
	})
	<-inside
	addRun(t, second, "other")
	write(t, first, func(tx *Tx) error { return tx.InsertRun(&Run{UID: "third", UnsuccessfulCut: -1}) })
	close(release)
	wait.Wait()
}

func TestAViewSeesOneStateThroughout(t *testing.T) {
	store := newPostgres(t)
	addRun(t, store, "uid")
	err := store.View(ctx, func(tx *Tx) error {
		before, err := tx.RunUIDs()
		if err != nil {
			return err
		}
		addRun(t, store, "later")
		after, err := tx.RunUIDs()
		if len(before) != 1 || len(after) != 1 {
			t.Errorf("the view sees %v and then %v", before, after)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestADatabaseIsUsedAgainAfterAnOutage(t *testing.T) {
	server, err := postgrestest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	store := openPostgres(t, server.SocketURL())
	run := addRun(t, store, "uid")
	server.Halt()
	err = store.Update(ctx, "uid", func(tx *Tx) error { return tx.InsertOutcomes(run.ID, []Outcome{{Index: 1, Status: Succeeded}}) })
	if !errors.Is(err, ErrNotReady) || !strings.Contains(err.Error(), "the database does not answer") {
		t.Errorf("writing without a database got %v", err)
	}
	if err := store.View(ctx, func(tx *Tx) error { _, err := tx.Run("uid"); return err }); !errors.Is(err, ErrNotReady) {
		t.Errorf("reading without a database got %v", err)
	}
	if err := store.Ready(); !errors.Is(err, ErrNotReady) {
		t.Errorf("Ready returned %v", err)
	}
	if err := server.Launch(); err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); store.Ready() != nil; <-time.After(10 * time.Millisecond) {
		if time.Since(begun) > time.Minute {
			t.Fatalf("it did not recover: %v", store.Ready())
		}
	}
	add(t, store, run, Outcome{Index: 1, Status: Succeeded})
	// The next transaction does not fail because of connections that were lost while idle.
	server.Exec(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sharedcloud-apiserver'`)
	add(t, store, run, Outcome{Index: 2, Status: Succeeded})
	if got := len(outcomesOf(t, store, "uid", 0, 0)); got != 2 {
		t.Errorf("%d outcomes are stored; want 2", got)
	}
}

func TestATransactionIsRetriedAfterALostConnectionButACommitIsNot(t *testing.T) {
	where := postgrestest.URL(t)
	proxy := newProxy(t, postgrestest.Shared(t))
	tcp, err := url.Parse(where)
	if err != nil {
		t.Fatal(err)
	}
	query := tcp.Query()
	query.Set("host", "127.0.0.1")
	query.Set("port", strconv.Itoa(proxy.port))
	tcp.RawQuery = query.Encode()
	store := openPostgres(t, tcp.String())
	run := addRun(t, store, "uid")
	tries := 0
	write(t, store, func(tx *Tx) error {
		if tries++; tries == 1 {
			proxy.cut()
		}
		return tx.InsertOutcomes(run.ID, []Outcome{{Index: 1, Status: Succeeded}})
	})
	if tries != 2 {
		t.Errorf("a transaction whose connection was lost ran %d times; want 2", tries)
	}
	tries = 0
	err = store.Update(ctx, "", func(tx *Tx) error {
		tries++
		defer proxy.dropResponses() // the commit arrives, its response does not
		return tx.InsertOutcomes(run.ID, []Outcome{{Index: 2, Status: Succeeded}})
	})
	if !errors.Is(err, errCommitUnknown) || tries != 1 {
		t.Errorf("a commit without a response got %v after %d tries", err, tries)
	}
	if got := len(outcomesOf(t, store, "uid", 0, 0)); got != 2 {
		t.Errorf("%d outcomes are stored; want 2", got)
	}
}

// proxy is between a store and its database.
type proxy struct {
	port  int
	mu    sync.Mutex
	conns map[net.Conn]*atomic.Bool
}

func newProxy(t *testing.T, server *postgrestest.Server) *proxy {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	p := &proxy{port: listener.Addr().(*net.TCPAddr).Port, conns: map[net.Conn]*atomic.Bool{}} //nolint:forcetypeassert // a TCP listener
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			backend, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", server.Port))
			if err != nil {
				_ = client.Close()
				continue
			}
			dropping := &atomic.Bool{}
			p.mu.Lock()
			p.conns[client] = dropping
			p.mu.Unlock()
			go func() {
				_, _ = io.Copy(backend, client)
				_ = backend.Close()
			}()
			go func() {
				buffer := make([]byte, 1<<16)
				for {
					n, err := backend.Read(buffer)
					if err != nil || dropping.Load() {
						break
					}
					_, _ = client.Write(buffer[:n])
				}
				_ = client.Close()
			}()
		}
	}()
	return p
}

// cut closes all connections; dropResponses closes each when the database answers.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close()
		delete(p.conns, conn)
	}
}

func (p *proxy) dropResponses() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, dropping := range p.conns {
		dropping.Store(true)
	}
	p.conns = map[net.Conn]*atomic.Bool{}
}

func TestTLSAndAPasswordFromAFile(t *testing.T) {
	server := postgrestest.Shared(t)
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte(server.TLSURL(t)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	source := func() (string, error) {
		text, err := os.ReadFile(file)
		return strings.TrimSpace(string(text)), err
	}
	store := NewPostgres(source)
	if err := store.Open(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	addRun(t, store, "uid")
	var encrypted bool
	err := store.View(ctx, func(tx *Tx) error {
		return tx.query("", func(row func(...any) error) error { return row(&encrypted) },
			`SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()`)
	})
	if err != nil || !encrypted {
		t.Errorf("the connection is encrypted: %v, %v", encrypted, err)
	}
	right, err := source()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ url, words string }{
		"a wrong password":               {strings.Replace(right, url.QueryEscape("s3cret"), "wr0ngSecret", 1), "check the name, the password"},
		"another certificate authority":  {strings.Replace(right, "sslrootcert="+url.QueryEscape(server.CAFile), "", 1), "the database does not answer"},
		"no TLS":                         {strings.Replace(right, "verify-full", "disable", 1), "the database rejects this user"},
		"a database that does not exist": {strings.Replace(right, "/postgres?", "/nosuch?", 1), "the database does not exist"},
		"a malformed URL":                {"postgres://user:wr0ngSecret@host:port/db", "not a valid PostgreSQL URL"},
		"an invalid option":              {right + "&sslmode=perhaps", "not a valid PostgreSQL URL"},
		"a missing file":                 {strings.Replace(right, url.QueryEscape(server.CAFile), "nosuch.crt", 1), "not a valid PostgreSQL URL"},
		"a closed port":                  {strings.Replace(right, ":"+strconv.Itoa(server.Port), ":1", 1), "the database does not answer"},
		"a URL with a broken escape":     {"postgres://user:wr0ng%zzSecret@host/db", "not a valid PostgreSQL URL"},
	} {
		t.Run(name, func(t *testing.T) {
			store := NewPostgres(func() (string, error) { return tc.url, nil })
			within, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			err := store.Open(within)
			if err == nil || !strings.Contains(err.Error(), tc.words) {
				t.Errorf("opening got %v; want words like %q", err, tc.words)
			}
			for _, text := range []string{fmt.Sprint(err), fmt.Sprint(store.Ready()), fmt.Sprintf("%+v %#v", err, err)} {
				for _, secret := range []string{postgrestest.Password, url.QueryEscape(postgrestest.Password), url.PathEscape(postgrestest.Password), "s3cret", "wr0ng", "Secret"} {
					if strings.Contains(text, secret) {
						t.Errorf("the password is in %q", text)
					}
				}
			}
		})
	}
	t.Run("a changed password is read again", func(t *testing.T) {
		server.Exec(t, "ALTER ROLE "+postgrestest.TLSUser+" PASSWORD 'another'",
			`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '`+postgrestest.TLSUser+`'`)
		t.Cleanup(func() { server.Exec(t, "ALTER ROLE "+postgrestest.TLSUser+" PASSWORD '"+postgrestest.Password+"'") })
		u, err := url.Parse(right)
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword(postgrestest.TLSUser, "another")
		if err := os.WriteFile(file, []byte(u.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		addRun(t, store, "another")
	})
}

func TestAnUnsuitableDatabaseIsRejectedWithAReason(t *testing.T) {
	server := postgrestest.Shared(t)
	server.Exec(t, `DROP DATABASE IF EXISTS latin`, `CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0`)
	newer := postgrestest.URL(t)
	if err := openPostgres(t, newer).Close(); err != nil {
		t.Fatal(err)
	}
	schema := newer[strings.LastIndex(newer, "=")+1:]
	server.Exec(t, `INSERT INTO `+schema+`.goose_db_version (version_id, is_applied) VALUES (99, true)`)
	for name, tc := range map[string]struct{ url, words string }{
		"another encoding":            {strings.Replace(server.SocketURL(), "/postgres?", "/latin?", 1), "the encoding LATIN1"},
		"commits that are not synced": {postgrestest.URL(t) + "&synchronous_commit=off", "synchronous_commit is off"},
		"a store of a newer server":   {newer, "its version is 99 and this server supports"},
		"a missing schema":            {server.SocketURL() + "&search_path=nosuch", "schema"},
	} {
		t.Run(name, func(t *testing.T) {
			store := NewPostgres(func() (string, error) { return tc.url, nil })
			if err := store.Open(ctx); err == nil || !strings.Contains(err.Error(), tc.words) {
				t.Errorf("opening got %v; want words like %q", err, tc.words)
			}
			if err := store.Ready(); !errors.Is(err, ErrNotReady) || !strings.Contains(err.Error(), tc.words) {
				t.Errorf("Ready returned %v", err)
			}
		})
	}
}

func TestErrorsOfPostgreSQLAreTranslated(t *testing.T) {
	store := newPostgres(t)
	for code, want := range map[string]error{
		"53100": ErrFull, "58030": ErrDisk, "XX001": ErrDamaged, "40001": errRolledBack, "40P01": errRolledBack, "57P01": ErrNotReady,
		"53300": ErrNotReady, "25006": ErrNotReady, "57014": ErrNotReady,
	} {
		tries := 0
		err := store.Update(ctx, "", func(tx *Tx) error {
			tries++
			_, err := tx.exec("trying", `DO $$ BEGIN RAISE EXCEPTION 'as a test' USING ERRCODE = '`+code+`'; END $$`)
			return err
		})
		wantTries := 1
		if errors.Is(want, errRolledBack) || code == "57P01" || code == "25006" {
			wantTries = 1 + 1 + maxRetries
		}
		if !errors.Is(err, want) || tries != wantTries {
			t.Errorf("%s became %v after %d tries; want %v after %d", code, err, tries, want, wantTries)
		}
	}
	if err := store.View(ctx, func(*Tx) error { return nil }); err != nil {
		t.Errorf("after the errors: %v", err)
	}
}

func TestManyRunsUseNoMoreThanTheMaximumOfConnections(t *testing.T) {
	where := postgrestest.URL(t) + "&application_name=bounded"
	store := openPostgres(t, where)
	var wait sync.WaitGroup
	for i := range 60 {
		wait.Go(func() {
			uid := types.UID(strconv.Itoa(i))
			if err := store.Update(ctx, uid, func(tx *Tx) error { return tx.InsertRun(&Run{UID: uid, UnsuccessfulCut: -1}) }); err != nil {
				t.Errorf("writing: %v", err)
			}
			if err := store.View(ctx, func(tx *Tx) error { _, err := tx.Run(uid); return err }); err != nil {
				t.Errorf("reading: %v", err)
			}
		})
	}
	wait.Wait()
	var count int
	if err := store.View(ctx, func(tx *Tx) error {
		return tx.query("", func(row func(...any) error) error { return row(&count) },
			`SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bounded'`)
	}); err != nil {
		t.Fatal(err)
	}
	if count < 2 || count > postgresWriters+postgresReaders {
		t.Errorf("the server has %d connections; want at most %d", count, postgresWriters+postgresReaders)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if len(store.queues) != 0 {
		t.Errorf("%d queues are left", len(store.queues))
	}
}
