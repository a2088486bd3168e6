// Package postgrestest starts a real PostgreSQL for tests, one for each test binary, in a temporary folder. It uses the
// installation of the machine, or the one that hack/postgresql.sh has fetched into bin/. Without either, tests fail and name
// what to install. It also runs a package's table of tests on PostgreSQL (engines.go).
//
// What must not be here: the outcome store. Its tests and those of the exchange import this package.
package postgrestest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a running PostgreSQL.
type Server struct {
	// Folder contains its socket, log and data.
	Folder string
	// Port is the port on 127.0.0.1 on which it listens too.
	Port int
	// CAFile is the certificate authority of its certificate, which is valid for localhost.
	CAFile string

	installation Installation
	settings     []string
	credential   *syscall.Credential
	process      *exec.Cmd
	ended        chan struct{}
	schemas      atomic.Int64
}

// The superuser of the server, without a password, and a user who needs TLS and a password.
const (
	User     = "sharedcloud"
	TLSUser  = "remote"
	Password = "s3cret of/the:database@"
)

var shared = sync.OnceValues(func() (*Server, error) { return Start() })

var started atomic.Pointer[Server]

// Main runs the tests of a package and stops the shared server. Call it from TestMain.
func Main(m *testing.M) {
	code := m.Run()
	if server := started.Load(); server != nil {
		server.Stop()
	}
	os.Exit(code)
}

// Shared returns the server that all tests of a binary share.
func Shared(t testing.TB) *Server {
	t.Helper()
	server, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	started.Store(server)
	return server
}

// URL creates an empty schema in the shared server and returns its URL.
func URL(t testing.TB) string {
	t.Helper()
	return Shared(t).Schema(t)
}

// Schema creates an empty schema, which is dropped at the end of the test, and returns its URL.
func (s *Server) Schema(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d_%d", os.Getpid(), s.schemas.Add(1))
	s.Exec(t, "CREATE SCHEMA "+name)
	t.Cleanup(func() { s.Exec(t, "DROP SCHEMA IF EXISTS "+name+" CASCADE") })
	return s.SocketURL() + "&search_path=" + name
}

// SocketURL returns the URL of the server's socket, for the superuser.
func (s *Server) SocketURL() string {
	return fmt.Sprintf("postgres:///postgres?host=%s&port=%d&user=%s&sslmode=disable", url.QueryEscape(s.Folder), s.Port, User)
}

// Exec runs statements as the superuser.
func (s *Server) Exec(t testing.TB, statements ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.SocketURL())
	if err != nil {
		t.Fatalf("connecting to the test's PostgreSQL: %v", err)
	}
	defer conn.Close(ctx)
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// Start starts a server; the settings take precedence over those for tests. Stop stops it; it also stops when this process
// ends.
func Start(settings ...string) (*Server, error) {
	installation, err := Find()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "pg")
	if err != nil {
		return nil, err
	}
	s := &Server{Folder: folder, installation: installation, settings: settings}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	// Another process may take the port before the server does.
	err = errEnded
	for try := 0; try < 5 && errors.Is(err, errEnded); try++ {
		if err = s.choosePort(); err == nil {
			err = s.Launch()
		}
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return s, nil
}

var errEnded = errors.New("PostgreSQL ended immediately")

func (s *Server) prepare() error {
	if os.Geteuid() == 0 {
		account, err := Account()
		if err != nil {
			return err
		}
		uid, _ := strconv.ParseUint(account.Uid, 10, 32)
		gid, _ := strconv.ParseUint(account.Gid, 10, 32)
		s.credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if s.installation, err = s.installation.reachable(filepath.Join(s.Folder, "postgresql")); err != nil {
			return err
		}
	}
	if err := s.certificates(); err != nil {
		return err
	}
	if err := s.own(s.Folder); err != nil {
		return err
	}
	data := filepath.Join(s.Folder, "data")
	if err := s.run("initdb", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "--auth=trust", "--username="+User, "--pgdata="+data); err != nil {
		return err
	}
	hba := "local all all trust\nhostnossl all " + TLSUser + " all reject\nhostssl all " + TLSUser + " all scram-sha-256\nhost all all 127.0.0.1/32 trust\n"
	return os.WriteFile(filepath.Join(data, "pg_hba.conf"), []byte(hba), 0o600)
}

func (s *Server) choosePort() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.Port = listener.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // a TCP listener
	return listener.Close()
}

// own makes the account of the server the owner of a file.
func (s *Server) own(path string) error {
	if s.credential == nil {
		return nil
	}
	return os.Chown(path, int(s.credential.Uid), int(s.credential.Gid))
}

func (s *Server) command(name string, arguments ...string) *exec.Cmd {
	command := exec.Command(filepath.Join(s.installation.Bin, name), arguments...) //nolint:gosec // of the package
	command.Dir = s.Folder
	command.Env = append([]string{"PATH=" + s.installation.Bin + ":/usr/bin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC"}, s.installation.Env()...)
	command.SysProcAttr = &syscall.SysProcAttr{Credential: s.credential, Setpgid: true}
	return command
}

func (s *Server) run(name string, arguments ...string) error {
	var output bytes.Buffer
	command := s.command(name, arguments...)
	command.Stdout, command.Stderr = &output, &output
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, output.String())
	}
	return nil
}

// Launch starts the server's process; after Halt it starts it again with the same data.
func (s *Server) Launch() error {
	log, err := os.OpenFile(filepath.Join(s.Folder, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644) //nolint:gosec // in a folder of a test
	if err != nil {
		return err
	}
	defer log.Close()
	arguments := []string{"-D", filepath.Join(s.Folder, "data")}
	for _, setting := range append([]string{
		"port=" + strconv.Itoa(s.Port), "listen_addresses=127.0.0.1", "unix_socket_directories=" + s.Folder,
		// The data is deleted after the tests, so it needs no fsync. synchronous_commit stays on, because the store checks
		// it.
		"fsync=off", "full_page_writes=off", "autovacuum=on",
		"max_connections=200", "shared_buffers=64MB", "ssl=on", "ssl_cert_file=" + filepath.Join(s.Folder, "tls.crt"),
		"ssl_key_file=" + filepath.Join(s.Folder, "tls.key"), "password_encryption=scram-sha-256",
	}, s.settings...) {
		arguments = append(arguments, "-c", setting)
	}
	command := s.command("postgres", arguments...)
	command.Stdout, command.Stderr = log, log
	// The signal stops the server when this process ends, in any way. It is sent when the thread that started the server
	// ends, so that thread is locked.
	command.SysProcAttr.Pdeathsig = syscall.SIGQUIT
	failed, ended := make(chan error, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(ended)
		if err := command.Start(); err != nil {
			failed <- err
			return
		}
		failed <- nil
		_ = command.Wait()
	}()
	if err := <-failed; err != nil {
		return fmt.Errorf("starting PostgreSQL: %w", err)
	}
	s.process, s.ended = command, ended
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.SocketURL())
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ended:
			text, _ := os.ReadFile(filepath.Join(s.Folder, "log"))
			return fmt.Errorf("%w:\n%s", errEnded, text)
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Halt stops the server's process immediately (SIGQUIT). Launch starts it again.
func (s *Server) Halt() {
	_ = s.process.Process.Signal(syscall.SIGQUIT)
	<-s.ended
}

// Stop stops the server and deletes its data.
func (s *Server) Stop() {
	s.Halt()
	_ = os.RemoveAll(s.Folder)
}

// certificates creates a certificate authority and the server's certificate.
func (s *Server) certificates() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	s.CAFile = filepath.Join(s.Folder, "tls.crt")
	keyFile := filepath.Join(s.Folder, "tls.key")
	return errors.Join(
		os.WriteFile(s.CAFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600), s.own(s.CAFile),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600), s.own(keyFile))
}

// TLSURL creates a schema and returns its URL for the user who needs TLS and a password.
func (s *Server) TLSURL(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("remote_%d_%d", os.Getpid(), s.schemas.Add(1))
	s.Exec(t, fmt.Sprintf(`DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '%s') THEN CREATE ROLE %s LOGIN PASSWORD '%s'; END IF; END $$`,
		TLSUser, TLSUser, Password), "CREATE SCHEMA "+name+" AUTHORIZATION "+TLSUser)
	t.Cleanup(func() { s.Exec(t, "DROP SCHEMA IF EXISTS "+name+" CASCADE") })
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(TLSUser, Password), Host: net.JoinHostPort("localhost", strconv.Itoa(s.Port)), Path: "/postgres",
		RawQuery: url.Values{"sslmode": {"verify-full"}, "sslrootcert": {s.CAFile}, "search_path": {name}}.Encode(),
	}
	return u.String()
}
