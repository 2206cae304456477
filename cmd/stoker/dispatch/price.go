package dispatch

import (
	"errors"
	"fmt"
	"time"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// maxUSD is what a job may cost in all: the lower of its goal's bound and its budget's.
func maxUSD(spec functions.JobSpec) (most float64, bounded bool) {
	for _, bound := range []functions.Quantity{spec.Goal.MaxCost, spec.Budget.MaxCost} {
		if bound != "" && (!bounded || bound.Float() < most) {
			most, bounded = bound.Float(), true
		}
	}
	return most, bounded
}

// affords is for how many rank-seconds the job may still be charged; negative: for any number.
func (d *Dispatcher) affords(e *entry, now time.Time) float64 {
	most, bounded := maxUSD(e.rec.Job.Spec)
	if !bounded || e.perNode() == 0 {
		return -1
	}
	perHour, err := d.dearest(e.rec.Job.Spec)
	if g := e.Life.Gang; g != nil && !g.Placed.IsZero() {
		if known := e.attempt(e.Life.Generation).PerHour; known > 0 {
			perHour, err = known, nil
		}
	}
	if err != nil { // it was known when the job was taken in; what cannot be told is not spent
		return 0
	}
	return max(0, most-e.time(now).USD) / perHour * time.Hour.Seconds() / float64(e.perNode())
}

// unpriced is why a job may not be let in: nobody could hold its bound against what it costs. It was taken in by a
// platform that knew prices.
func (d *Dispatcher) unpriced(spec functions.JobSpec) error {
	if _, bounded := maxUSD(spec); !bounded || spec.Resources.GPUsPerNode == 0 {
		return nil
	}
	if _, err := d.dearest(spec); err != nil {
		return fmt.Errorf("it is not started: maxCost: %w", err)
	}
	return nil
}

// dearest is the highest price of the GPUs that a job may get here, in USD per GPU-hour.
func (d *Dispatcher) dearest(spec functions.JobSpec) (float64, error) {
	ask := scale.Ask{GPUs: spec.Resources.GPUsPerNode, Products: spec.Resources.Products, Memory: spec.Resources.GPUMem.Bytes()}
	most := 0.0
	for _, dev := range d.Ledger.Newest().Devices {
		if !ask.Accepts(dev) {
			continue
		}
		usd, priced := d.Spending.PerHour(dev.Product)
		if !priced {
			return 0, fmt.Errorf("no price is known of %s; give one with stoker up --prices, or leave the bound out", dev.Product)
		}
		most = max(most, usd)
	}
	if most == 0 {
		return 0, errors.New("no price is known of any GPU that it may get; give prices with stoker up --prices, or leave the bound out")
	}
	return most, nil
}

// charge notes on the receipt of a gang what its GPUs are and cost.
func (d *Dispatcher) charge(e *entry) {
	g := e.Life.Gang
	if g == nil || g.Placed.IsZero() {
		return
	}
	a := e.attempt(e.Life.Generation)
	if a.Product != "" {
		return
	}
	first := e.gang(e.Life.Generation, g.Nodes).RankID(0) // all are of one product
	d.Ledger.Newest().Each(func(dev scale.Device, x *scale.Lease, _ bool) {
		if x != nil && x.Holder == first {
			a.Product = dev.Product
			a.PerHour, _ = d.Spending.PerHour(a.Product)
		}
	})
}
