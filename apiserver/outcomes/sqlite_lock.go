package outcomes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// lockRetryInterval is how often a waiting server retries.
const lockRetryInterval = 200 * time.Millisecond

// acquireLock waits for the lock that excludes other servers. The lock is on a file beside the database, because locks on the
// database itself belong to the engine. The kernel releases it when the process ends.
func (s *SQLite) acquireLock(ctx context.Context) (*os.File, error) {
	path := s.path + ".lock"
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock of the outcome store: %w", err)
	}
	ticker := time.NewTicker(lockRetryInterval)
	defer ticker.Stop()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return file, nil
		case errors.Is(err, syscall.EINTR):
			continue
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), file.Close())
		}
		s.waitFor(fmt.Errorf("%w: another server uses it; this server continues when the other one has stopped (lock %s)", ErrNotReady, path))
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), file.Close())
		}
	}
}
