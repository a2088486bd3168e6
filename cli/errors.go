package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Exit codes, for scripts.
const (
	ExitOK = 0
	// ExitFailed: the command worked, and inputs of a run or a check failed.
	ExitFailed = 1
	// ExitUsage: the command line, or a file that it names, is not valid. Nothing was changed.
	ExitUsage = 2
	// ExitCluster: the cluster cannot be reached, or refused the request.
	ExitCluster = 3
	// ExitTimeout: --timeout expired. The run continues in the cluster.
	ExitTimeout = 4
	// ExitInterrupted: Ctrl-C.
	ExitInterrupted = 130
)

const exitCodesHelp = `Exit codes:
  0    success
  1    the run or some of its inputs failed (run, rerun and results with --wait or --follow, test), or a check failed (doctor)
  2    invalid usage or inputs; nothing was created
  3    the cluster cannot be reached or refused the request (for example, the function or run does not exist)
  4    --timeout expired; the run continues
  130  interrupted by Ctrl-C; the run continues`

// codedError is an error with an exit code. An empty message is not printed.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

func usageError(format string, args ...any) error {
	return &codedError{ExitUsage, fmt.Errorf(format, args...)}
}

func clusterError(format string, args ...any) error {
	return &codedError{ExitCluster, fmt.Errorf(format, args...)}
}

// errReported ends a command with an exit code after it has printed why.
var errReported = errors.New("")

func failed() error { return &codedError{ExitFailed, errReported} }

// exitCode is the exit code for an error. ran reports whether the command itself returned it; other errors come from cobra and are
// about usage.
func exitCode(err error, ran bool) int {
	var coded *codedError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &coded):
		return coded.code
	case !ran:
		return ExitUsage
	case errors.Is(err, context.DeadlineExceeded):
		return ExitTimeout
	case apierrors.IsBadRequest(err), apierrors.IsInvalid(err), apierrors.IsAlreadyExists(err), apierrors.IsRequestEntityTooLargeError(err):
		return ExitUsage
	}
	return ExitCluster
}

// userMessage is the message of an error, with a hint where one helps.
func userMessage(err error) string {
	var unreachable *url.Error
	var dns *net.DNSError
	var unknownAuthority x509.UnknownAuthorityError
	var status apierrors.APIStatus
	switch {
	case errors.As(err, &status):
		return statusMessage(err, status)
	case errors.As(err, &dns):
		return fmt.Sprintf("the server's host name %s cannot be resolved: check --context and the server's address in the kubeconfig", dns.Name)
	case errors.As(err, &unreachable) && errors.As(err, &unknownAuthority):
		return fmt.Sprintf("the server %s presents a certificate signed by an unknown authority: pass its CA with --certificate-authority, or with --functions-server-ca for --functions-server", hostOf(unreachable.URL))
	case errors.As(err, &unreachable):
		return fmt.Sprintf("the server %s cannot be reached: %v: check that the cluster is running, and --context", hostOf(unreachable.URL), rootCause(unreachable.Err))
	}
	return err.Error()
}

func statusMessage(err error, status apierrors.APIStatus) string {
	text := err.Error()
	switch {
	case apierrors.IsForbidden(err):
		return text + ": ask for the ClusterRole edit (to run functions) or view (to read) in that namespace"
	case apierrors.IsUnauthorized(err):
		return "the cluster does not accept your credentials: " + text + ": sign in again, or check the user of the kubeconfig's context"
	case apierrors.IsAlreadyExists(err):
		if details := status.Status().Details; details != nil && details.Kind == "functionruns" {
			return fmt.Sprintf("the run %q already exists, and nothing was created: choose another --name", details.Name)
		}
	case apierrors.IsNotFound(err):
		if details := status.Status().Details; details != nil && details.Name != "" {
			if noun, list := resourceNouns(details.Kind); noun != "" {
				return fmt.Sprintf("there is no %s %q in this namespace: `kubectl function list %s` lists them, and -n selects another namespace", noun, details.Name, list)
			}
			return text
		}
		return "the cluster does not have this kind of object: the operator's CustomResourceDefinitions are not installed; `kubectl function doctor` shows what is missing"
	}
	return text
}

// resourceNouns are the noun for a resource, and the argument of `kubectl function list` for it.
func resourceNouns(resource string) (noun, list string) {
	switch resource {
	case "functions":
		return "function", "functions"
	case "functionruns":
		return "run", "runs"
	}
	return "", ""
}

func hostOf(address string) string {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		return u.Scheme + "://" + u.Host
	}
	return address
}

func rootCause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
