package main

import (
	"context"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"

	"sharedcloud.io/function-operator/apiserver/connections"
	"sharedcloud.io/function-operator/apiserver/identity"
	"sharedcloud.io/function-operator/apiserver/shares"
)

// prepareSelf serves the listener and the shares of the API server in this process.
func prepareSelf(context.Context) (*bench, func(), error) {
	const good, greedy = "good", "greedy"
	places := shares.NewLimiter("requests", shares.Limits{Total: 128, Caller: 16, Namespace: 32})
	known := authenticator.TokenFunc(func(_ context.Context, token string) (*authenticator.Response, bool, error) {
		return &authenticator.Response{User: &user.DefaultInfo{Name: "system:serviceaccount:a:" + token}}, token == good || token == greedy, nil
	})
	tokens := identity.NewPodTokensOf(known)
	var conns *connections.Listener
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		done := conns.Serving(r.RemoteAddr)
		defer func() { done(r.Context().Err() != nil) }()
		caller := r.Header.Get("Authorization")
		if _, err := tokens.Authenticate(r); err != identity.ErrNotAPod { //nolint:errorlint // a good token here is no pod's
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if err := conns.Authenticated(r.RemoteAddr, caller, ""); err != nil {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		leave, err := places.Enter(caller, caller)
		if err != nil {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		defer leave()
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(30 * time.Second))
		_, _ = io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 6<<20))
		_, _ = io.WriteString(w, "{}")
	}))
	conns = connections.Limit(server.Listener, connections.Defaults(16384), nil)
	server.Listener = conns
	server.Config.ReadHeaderTimeout = 32 * time.Second
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})

	return &bench{Address: server.Listener.Addr().String(), Authority: authority, GoodPath: "/", GoodToken: good, Tenant: tenant{Token: greedy}}, server.Close, nil
}
