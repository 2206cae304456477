package spending

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/cost"
	"stoker.dev/stoker/scale/price"
)

const (
	// FlushEvery is how often the meter is stored, and so how much of it a kill may cost: a small
	// write, and rarer than heartbeats.
	FlushEvery = 10 * time.Second
	// flushTimeout bounds one flush; the broker's client waits by itself while it is away.
	flushTimeout = 30 * time.Second
	// maxUnsaved bounds the rows that wait for a broker that is away: a day of minutes, which is
	// how long they are kept at all.
	maxUnsaved = 1500
	// fewRows is up to how many rows are read one by one; above, the whole bucket is.
	fewRows = 120
)

// Store keeps values by key, as [events.Store] does.
type Store[T any] interface {
	Get(ctx context.Context, key string) (T, uint64, error)
	Put(ctx context.Context, key string, v T, revision uint64) (uint64, error)
	List(ctx context.Context) ([]events.Entry[T], error)
}

// Options are what a keeper works with.
type Options struct {
	Pool    string
	Meter   Store[json.RawMessage] // of the meter
	Hours   Store[cost.Row]        // in the same bucket
	Minutes Store[cost.Row]
	Prices  price.Catalogue
	Log     *slog.Logger
	Now     func() time.Time // should not jump
}

// Keeper keeps the books of one pool. Its methods are safe for concurrent use.
type Keeper struct {
	Options

	mu      sync.Mutex
	meter   cost.Meter
	devices []scale.Device
	unsaved struct{ minutes, hours []cost.Row } // sealed, oldest first
	budgets map[functions.Key]remembered
	passed  time.Time // when everything was booked for the sake of budgets
	rev     uint64    // of the stored meter; of the flushing goroutine alone

	away bool // the last flush failed; of the flushing goroutine alone
}

// Open takes up what is stored, for devices that are held as the ledger says now.
func Open(ctx context.Context, o Options, l scale.Ledger) (*Keeper, error) {
	k := &Keeper{Options: o, budgets: map[functions.Key]remembered{}, devices: l.Devices}
	data, rev, err := o.Meter.Get(ctx, k.meterKey())
	if err != nil && !errors.Is(err, events.ErrNotFound) {
		return nil, fmt.Errorf("read the meter of pool %s: %w", o.Pool, err)
	}
	if err == nil {
		if err := json.Unmarshal(data, &k.meter); err != nil {
			return nil, fmt.Errorf("the meter of pool %s: %w; to begin afresh, delete the key %s of bucket %s", o.Pool, err, k.meterKey(), events.BucketCost)
		}
	}
	k.rev = rev
	now := o.Now()
	if err := k.meter.Resume(l, FlushEvery, now); err != nil {
		return nil, fmt.Errorf("the meter of pool %s: %w", o.Pool, err)
	}
	rows, err := k.rows(ctx, cost.MonthStart(now))
	if err != nil {
		return nil, fmt.Errorf("read what pool %s cost this month: %w", o.Pool, err)
	}
	k.meter.Recall(rows, now)
	if err := k.flush(ctx, l); err != nil { // from here on a kill costs no more than FlushEvery
		return nil, fmt.Errorf("store the meter of pool %s: %w", o.Pool, err)
	}
	return k, nil
}

func (k *Keeper) meterKey() string { return k.Pool + ".meter" }

func (k *Keeper) rowKey(start time.Time) string {
	return k.Pool + "." + strconv.FormatInt(start.Unix(), 10)
}

// Advance books the time up to now, and takes over who holds the devices from now on.
func (k *Keeper) Advance(l scale.Ledger, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.meter.Advance(l, now)
	k.devices = l.Devices
}

// Tell takes what an agent says of its replica.
func (k *Keeper) Tell(h events.Heartbeat) {
	t := h.Totals
	told := cost.Told{
		Useful: t.UsefulSec, Cold: t.ColdSec, Idle: t.IdleSec, Draining: t.DrainingSec,
		Served: t.Served, Failed: t.Failed, TokensIn: t.TokensIn, TokensOut: t.TokensOut,
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.meter.Explain(h.Replica, told, h.Phase == events.PhaseExited, k.Now())
}

// Lend says how many GPUs each owner of leases has on loan from now on.
func (k *Keeper) Lend(gpus map[string]int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.meter.Lend(gpus, k.Now())
}

// Run stores the meter every FlushEvery, and once more when ctx ends.
func (k *Keeper) Run(ctx context.Context, ledger func() scale.Ledger) {
	tick := time.NewTicker(FlushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			k.Flush(ctx, ledger())
		case <-ctx.Done():
			k.Flush(context.WithoutCancel(ctx), ledger())
			return
		}
	}
}

// Flush stores what was booked. What cannot be stored waits for the next time.
func (k *Keeper) Flush(ctx context.Context, l scale.Ledger) {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	err := k.flush(ctx, l)
	switch {
	case err != nil && !k.away:
		k.Log.Warn("GPU time not stored, trying again", "error", err)
	case err == nil && k.away:
		k.Log.Info("GPU time is stored again")
	}
	k.away = err != nil
}

func (k *Keeper) flush(ctx context.Context, l scale.Ledger) error {
	minutes, hours, data, err := k.seal(l)
	if err != nil {
		return err
	}
	if err := storeAll(ctx, k, k.Minutes, minutes); err != nil {
		return err
	}
	if err := storeAll(ctx, k, k.Hours, hours); err != nil {
		return err
	}
	if k.rev, err = events.Replace(ctx, k.Meter, k.meterKey(), data, k.rev); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.unsaved.minutes, k.unsaved.hours = k.unsaved.minutes[len(minutes):], k.unsaved.hours[len(hours):]
	return nil
}

// seal books up to now, and returns copies of what is to be stored.
func (k *Keeper) seal(l scale.Ledger) (minutes, hours []cost.Row, meter []byte, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.Now()
	k.meter.Advance(l, now)
	m, h := k.meter.Seal(now)
	k.unsaved.minutes = newest(append(k.unsaved.minutes, m...))
	k.unsaved.hours = newest(append(k.unsaved.hours, h...))
	data, err := json.Marshal(&k.meter)
	return k.unsaved.minutes, k.unsaved.hours, data, err
}

func newest(rows []cost.Row) []cost.Row { return rows[max(0, len(rows)-maxUnsaved):] }

// storeAll writes rows; sealed ones do not change any more.
func storeAll(ctx context.Context, k *Keeper, s Store[cost.Row], rows []cost.Row) error {
	for _, r := range rows {
		if _, err := events.Replace(ctx, s, k.rowKey(r.Start), r, 0); err != nil {
			return fmt.Errorf("store the row of %s: %w", r.Start.Format(time.RFC3339), err)
		}
	}
	return nil
}
