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
	// ExitFailed: everything could be asked, and the answer is that something failed: inputs of a run, a check.
	ExitFailed = 1
	// ExitUsage: the command line, or what it names on this machine, cannot be used. Nothing was changed.
	ExitUsage = 2
	// ExitCluster: the cluster cannot be reached, or said no.
	ExitCluster = 3
	// ExitTimeout: --timeout is over. What was begun in the cluster goes on.
	ExitTimeout = 4
	// ExitInterrupted: Ctrl-C.
	ExitInterrupted = 130
)

const exitCodesHelp = `Exit codes:
  0    done
  1    the run failed or some of its inputs did (run, rerun and results with --wait or --follow, test), or a check did (doctor)
  2    wrong usage, or inputs that cannot be read; nothing was made
  3    the cluster cannot be reached or said no (also: no such function or run)
  4    --timeout is over; the run goes on
  130  interrupted by Ctrl-C; the run goes on`

// codedError carries the exit code with the sentence. An empty sentence prints nothing: all was said already.
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

// errSaid ends a command with a code when everything was said already.
var errSaid = errors.New("")

func failed() error { return &codedError{ExitFailed, errSaid} }

// exitCode is the code for an error that a command returned; ran says whether the command itself did, or cobra, which
// knows nothing but wrong usage.
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

// sentence is an error as a person reads it.
func sentence(err error) string {
	var unreachable *url.Error
	var dns *net.DNSError
	var stranger x509.UnknownAuthorityError
	var status apierrors.APIStatus
	switch {
	case errors.As(err, &status):
		return statusSentence(err, status)
	case errors.As(err, &dns):
		return fmt.Sprintf("the name %s of the server is not known here. Check --context and the server's address in the kubeconfig.", dns.Name)
	case errors.As(err, &unreachable) && errors.As(err, &stranger):
		return fmt.Sprintf("nobody that this machine trusts vouches for the server %s: name the file of its authority, by --facade-ca for the facade, else in the kubeconfig.", hostOf(unreachable.URL))
	case errors.As(err, &unreachable):
		return fmt.Sprintf("the server %s cannot be reached: %v. Check that the cluster is up, and --context.", hostOf(unreachable.URL), rootCause(unreachable.Err))
	}
	return err.Error()
}

func statusSentence(err error, status apierrors.APIStatus) string {
	text := err.Error()
	switch {
	case apierrors.IsForbidden(err):
		return text + ". Ask for the role edit (to run functions) or view (to read) in that namespace."
	case apierrors.IsUnauthorized(err):
		return "the cluster does not know who you are: " + text + ". Sign in again, or check the user of the kubeconfig's context."
	case apierrors.IsAlreadyExists(err):
		if details := status.Status().Details; details != nil && details.Kind == "functionruns" {
			return fmt.Sprintf("there is a run %q already, and nothing was made: choose another --name.", details.Name)
		}
	case apierrors.IsNotFound(err):
		if details := status.Status().Details; details != nil && details.Name != "" {
			if noun, list := nouns(details.Kind); noun != "" {
				return fmt.Sprintf("there is no %s %q in this namespace: `kubectl function list %s` shows which there are, -n chooses another namespace.", noun, details.Name, list)
			}
			return text
		}
		return "the cluster does not know this kind of object: the operator's CustomResourceDefinitions are not installed. `kubectl function doctor` says what is missing."
	}
	return text
}

// nouns are what people call a resource, and the word by which it is listed.
func nouns(resource string) (noun, list string) {
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
