package outcomes

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// PageOutcomes is how many outcomes a page of Read has at most: so many that the transactions cost little beside the rows.
	PageOutcomes = 2048
	// aheadBytes is how large a page of results may be for the next one to be read while it is yielded. Larger ones take
	// memory, and not the time of rows.
	aheadBytes = 1 << 20
)

// Read yields the outcomes of a run that are selected, in the order of their indexes, at most limit of them (0: all).
// It reads page by page, each in a transaction of its own: a caller who takes his time holds nothing up, and sees what
// came in meanwhile, but for the page that is read ahead. It returns the error of the store or ctx, or a ResultsDeletedError; a
// yield that returns false ends it with nil.
func Read(ctx context.Context, store Store, run types.UID, selected Selection, limit int, yield func(*Outcome) bool) error {
	r := pages{store: store, run: run, selected: selected, left: limit, limited: limit > 0, crew: crew{}}
	ctx, cancel := context.WithCancel(ctx)
	next := r.start(ctx)
	defer func() {
		cancel()
		if next != nil {
			<-next // the store may be closed when this has returned
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

// manySmall says whether a page has as many outcomes as a page may have, all of them small: then many more will follow.
func manySmall(page []Outcome) bool {
	size := 0
	for i := range page {
		size += len(page[i].Result) + len(page[i].ResultText) + len(page[i].Stdout) + len(page[i].Stderr)
	}
	return len(page) == PageOutcomes && size <= aheadBytes
}

// pages is the progress of a Read. One page is read at a time.
type pages struct {
	store    Store
	run      types.UID
	selected Selection
	left     int
	limited  bool
	crew     crew
}

// page is some outcomes, or why there are none.
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
				p.outcomes, err = tx.selected(row, selected, size, r.crew)
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

// advance takes note of a page, and says whether another may follow.
func (r *pages) advance(page []Outcome) bool {
	if len(page) == 0 {
		return false
	}
	r.selected.First = page[len(page)-1].Index + 1
	r.left -= len(page)
	return !r.limited || r.left > 0
}
