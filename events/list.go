package events

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// listed reads the values a watch begins with.
func listed[T any](ctx context.Context, changes <-chan Change[T]) ([]Entry[T], error) {
	last := map[string]Entry[T]{}
	for c := range changes {
		switch {
		case c.Current:
			return sorted(last), nil
		case c.Err != nil:
			return nil, c.Err
		case c.Deleted:
			delete(last, c.Key)
		default:
			last[c.Key] = c.Entry
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%w: the list ended early", ErrNotConnected)
}

func sorted[T any](m map[string]Entry[T]) []Entry[T] {
	out := make([]Entry[T], 0, len(m))
	for _, e := range m {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b Entry[T]) int { return cmp.Compare(a.Key, b.Key) })
	return out
}
