package outcomes

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// PageOutcomes is the maximum number of outcomes in a page of Read: enough that the cost of a transaction is small
	// compared to that of its rows.
	PageOutcomes = 2048
	// maxReadAheadBytes is the size of a page up to which the next page is read while this one is yielded. For larger pages,
	// reading ahead costs memory and saves little time.
	maxReadAheadBytes = 1 << 20
)

// Read yields the selected outcomes of a run in the order of their indexes, at most limit of them (0: all). It reads page by
// page, each in its own transaction: a slow caller delays no writer, and sees outcomes that are added meanwhile, except in
// the page that is read ahead. It returns the error of the store or of ctx, or a ResultsDeletedError; if yield returns false,
// it returns nil.
func Read(ctx context.Context, store Store, run types.UID, selected Selection, limit int, yield func(*Outcome) bool) error {
	r := pages{store: store, run: run, selected: selected, left: limit, limited: limit > 0, workersByID: workersByID{}}
	ctx, cancel := context.WithCancel(ctx)
	next := r.start(ctx)
	defer func() {
		cancel()
		if next != nil {
			<-next // the store may be closed after Read has returned
		}
	}()
	for {
		got := <-next
		next = nil
		if got.err != nil {
			return got.err
		}
		more := r.advance(got.outcomes)
		if more && manySmall(got.outcomes) {
			next = r.start(ctx)
		}
		for i := range got.outcomes {
			if err := ctx.Err(); err != nil {
				return err
			}
			if !yield(&got.outcomes[i]) {
				return nil
			}
		}
		if !more {
			return nil
		}
		if next == nil {
			next = r.start(ctx)
		}
	}
}

// manySmall reports whether a page has the maximum number of outcomes, all of them small: more pages like it are likely.
func manySmall(page []Outcome) bool {
	size := 0
	for i := range page {
		size += len(page[i].Result) + len(page[i].ResultText) + len(page[i].Stdout) + len(page[i].Stderr)
	}
	return len(page) == PageOutcomes && size <= maxReadAheadBytes
}

// pages is the progress of a Read. One page is read at a time.
type pages struct {
	store       Store
	run         types.UID
	selected    Selection
	left        int
	limited     bool
	workersByID workersByID
}

// page is a page of outcomes, or an error.
type page struct {
	outcomes []Outcome
	err      error
}

// start reads the next page.
func (r *pages) start(ctx context.Context) <-chan page {
	done := make(chan page, 1)
	selected, size := r.selected, PageOutcomes
	if r.limited {
		size = min(size, r.left)
	}
	go func() {
		var p page
		var deleted error
		p.err = r.store.View(ctx, func(tx *Tx) error {
			row, err := tx.Run(r.run)
			p.outcomes, deleted = nil, nil
			if err != nil || row == nil {
				return err
			}
			if deleted = row.ResultsDeleted(); deleted == nil {
				p.outcomes, err = tx.selected(row, selected, size, r.workersByID)
			}
			return err
		})
		if p.err == nil {
			p.err = deleted
		}
		done <- p
	}()
	return done
}

// advance records a page as read, and reports whether another may follow.
func (r *pages) advance(page []Outcome) bool {
	if len(page) == 0 {
		return false
	}
	r.selected.First = page[len(page)-1].Index + 1
	r.left -= len(page)
	return !r.limited || r.left > 0
}
