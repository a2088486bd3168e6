package outcomes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// lockRetry is how often a server that waits tries again.
const lockRetry = 200 * time.Millisecond

// takeLock waits for the lock that keeps a second server out. It is a lock of the file beside the database (a lock of the
// database itself would be the engine's), and ends with the process, however that ends.
func (s *SQLite) takeLock(ctx context.Context) (*os.File, error) {
	path := s.path + ".lock"
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock of the outcome store: %w", err)
	}
	ticker := time.NewTicker(lockRetry)
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
		s.waitFor(fmt.Errorf("%w: another server has it; this one goes on when that one has ended (lock %s)", ErrNotReady, path))
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), file.Close())
		}
	}
}
