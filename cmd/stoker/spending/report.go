package spending

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/scale/cost"
	"stoker.dev/stoker/scale/price"
)

// Report says where the GPU time since a moment went; see chooses the namespaces whose functions
// are named, nil all. Moments are rounded down to the minute, those of more than a day ago to the
// hour.
func (k *Keeper) Report(ctx context.Context, since time.Time, by cost.By, see func(namespace string) bool) (cost.Report, error) {
	now := k.Now()
	from := since.UTC().Truncate(cost.RowLength)
	if from.Before(cost.Exact(now)) {
		from = from.Truncate(time.Hour)
	}
	k.mu.Lock()
	k.meter.Pass(now)
	k.mu.Unlock()
	rows, err := k.rows(ctx, from)
	if err != nil {
		return cost.Report{}, fmt.Errorf("read what pool %s cost: %w", k.Pool, err)
	}
	r := cost.Summarize(rows, cost.Options{Pool: k.Pool, By: by, See: see, Price: k.PerHour})
	if began := k.began(); began.After(r.From) {
		r.From = began
	}
	if r.To.After(now) {
		r.To = now.UTC()
	}
	return r, nil
}

func (k *Keeper) began() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.meter.Began
}

// PerHour is what a GPU of a product costs in this pool, in USD per hour; false if that is not known.
func (k *Keeper) PerHour(product string) (float64, bool) { return k.Prices.PerHour(k.Pool, product) }

// Spot tells whether the pool's machines are spot: their owner may take them back.
func (k *Keeper) Spot() bool { return k.Prices.Pools[k.Pool].Plan == price.Spot }

// rows are all rows since a moment. What is in memory is copied first: what is sealed and stored
// meanwhile is then there twice, and the copy counts.
func (k *Keeper) rows(ctx context.Context, from time.Time) ([]cost.Row, error) {
	now := k.Now()
	k.mu.Lock()
	waiting := k.unsaved
	open := k.meter.Copy()
	k.mu.Unlock()
	minutes, err := k.stored(ctx, k.Minutes, later(from, cost.Exact(now)), now, cost.RowLength)
	if err != nil {
		return nil, err
	}
	var hours []cost.Row
	if from.Before(cost.Exact(now)) {
		if hours, err = k.stored(ctx, k.Hours, from, cost.Exact(now), time.Hour); err != nil {
			return nil, err
		}
	}
	return open.History(without(minutes, waiting.minutes), without(hours, waiting.hours), from, now), nil
}

// without joins stored rows and those that wait to be stored, each moment once.
func without(stored, waiting []cost.Row) []cost.Row {
	mine := map[time.Time]bool{}
	out := append([]cost.Row{}, waiting...)
	for _, r := range waiting {
		mine[r.Start] = true
	}
	for _, r := range stored {
		if !mine[r.Start] {
			out = append(out, r)
		}
	}
	return out
}

// stored reads the rows of one bucket.
func (k *Keeper) stored(ctx context.Context, s Store[cost.Row], from, to time.Time, step time.Duration) ([]cost.Row, error) {
	var out []cost.Row
	if int(to.Sub(from)/step) > fewRows {
		all, err := s.List(ctx)
		for _, e := range all {
			if strings.HasPrefix(e.Key, k.Pool+".") && e.Key != k.meterKey() {
				out = append(out, e.Value)
			}
		}
		return out, err
	}
	for at := from.Truncate(step); at.Before(to); at = at.Add(step) {
		r, _, err := s.Get(ctx, k.rowKey(at))
		switch {
		case errors.Is(err, events.ErrNotFound): // nothing was booked then, or it is not sealed
		case err != nil:
			return nil, err
		default:
			out = append(out, r)
		}
	}
	return out, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
