package platform

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"stoker.dev/stoker/cmd/stoker/spending"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/scale/cost"
	"stoker.dev/stoker/scale/price"
)

// startSpending begins to keep the books, once the ledger knows the devices: what was held while
// nobody looked is booked on them.
func (p *Platform) startSpending(ctx context.Context) error {
	prices, err := p.prices()
	if err != nil {
		return err
	}
	meter, err := events.OpenStore[json.RawMessage](ctx, p.bus, events.BucketCost)
	if err != nil {
		return err
	}
	hours, err := events.OpenStore[cost.Row](ctx, p.bus, events.BucketCost)
	if err != nil {
		return err
	}
	minutes, err := events.OpenStore[cost.Row](ctx, p.bus, events.BucketMinutes)
	if err != nil {
		return err
	}
	p.spending, err = spending.Open(ctx, spending.Options{
		Pool: p.Config.Pool, Meter: meter, Hours: hours, Minutes: minutes, Prices: prices, Log: p.Log.With("part", "spending"), Now: p.steady.Now,
	}, p.ledger.Snapshot())
	if err != nil {
		return err
	}
	p.ledger.Watch(p.spending.Advance)
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() { defer close(ended); p.spending.Run(inner, p.ledger.Snapshot) }()
	p.onClose(func(context.Context) error { cancel(); <-ended; return nil })
	return nil
}

// prices reads the file that the operator gave.
func (p *Platform) prices() (price.Catalogue, error) {
	file := p.Config.Prices
	if file == "" {
		return price.Catalogue{}, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return price.Catalogue{}, fmt.Errorf("read the prices of --prices (STOKER_PRICES): %w", err)
	}
	return price.Parse(file, data)
}
