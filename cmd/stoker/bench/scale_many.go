package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/procfs"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// requestsEach is how many requests a function gets for each replica it shall have: one that runs,
// and one that waits. A slot may begin one request behind the one that it runs, so with fewer it
// would depend on the moment whether the last replica is wanted.
const requestsEach = 2

// One slot, and a wait that is shorter than any service: a waiting request wants a replica.
const manyManifest = `{"apiVersion":"stoker.dev/v1","kind":"Function","metadata":{"name":%q},"spec":{
"runtime":{"image":%q},"resources":{"gpus":1},"placement":{"pool":%q},
"scaling":{"max":%d,"slots":1,"keepAlive":"1ms","waitSLO":{"p95":"100ms"}}}}
---
`

// many wakes functions by more requests than one replica each could take, holds the answers until
// all replicas run, and lets them go.
func (w *scaleWorld) many(ctx context.Context) (rep ManyReport, err error) {
	rep.Functions, rep.Each = w.o.Functions, w.o.Each
	keys, err := w.deployMany(ctx)
	if err != nil || len(keys) == 0 {
		return rep, err
	}
	hold := w.record.holdAnswers()
	defer hold.release()
	if rep.RSS.Before, err = rss(); err != nil {
		return rep, err
	}
	want := w.o.Functions * w.o.Each
	fmt.Fprintf(w.o.Progress, "%d functions: 0 -> %d -> 0 replicas each\n", w.o.Functions, w.o.Each)
	var asked []events.Request
	rep.Out, err = w.step(ctx, func(time.Time) (err error) {
		asked, err = w.ask(ctx, keys)
		return err
	}, func() (bool, error) { return w.ready(ctx, want) })
	if err != nil {
		return rep, err
	}
	if rep.RSS.Running, err = rss(); err != nil {
		return rep, err
	}
	rep.In, err = w.step(ctx, func(began time.Time) error {
		w.record.begin(began)
		hold.release()
		return nil
	}, func() (bool, error) { return w.atRest(ctx) })
	if err != nil {
		return rep, err
	}
	if rep.RSS.After, err = rss(); err != nil {
		return rep, err
	}
	rep.Requests = len(asked)
	if rep.Answered, rep.Lost, err = outcomes(ctx, w.plat.Bus(), asked); err != nil {
		return rep, err
	}
	below, err := w.kube.createFloor(ctx, 0, want, 1)
	rep.CreateFloor = quantiles(below.atOnce)
	return rep, err
}

// rss is the resident memory of this process, in MB.
func rss() (float64, error) {
	self, err := procfs.Self()
	if err != nil {
		return 0, err
	}
	st, err := self.Stat()
	return float64(st.ResidentMemory()) / 1e6, err
}

func (w *scaleWorld) deployMany(ctx context.Context) ([]functions.Key, error) {
	var text []byte
	var keys []functions.Key
	for i := range w.o.Functions {
		k := functions.Key{Namespace: "default", Name: fmt.Sprintf("many-%04d", i)}
		text = fmt.Appendf(text, manyManifest, k.Name, noImage, w.o.Config.Pool, w.o.Each)
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, nil
	}
	if err := w.apply(ctx, text); err != nil {
		return nil, err
	}
	return keys, w.await(ctx, "at rest", func() (bool, error) { return w.atRest(ctx) })
}

// ask publishes the requests of all functions at once, and returns what was acknowledged. What a
// replica's start is measured from is the first request of its function.
func (w *scaleWorld) ask(ctx context.Context, keys []functions.Key) ([]events.Request, error) {
	var wg sync.WaitGroup
	errs, asked := make([]error, len(keys)), make([][]events.Request, len(keys))
	for i, k := range keys {
		wg.Go(func() {
			w.record.demand(k, time.Now())
			for range requestsEach * w.o.Each {
				e := events.Event{Source: "stoker-bench", Type: "bench", Data: []byte("{}")}
				ack, err := w.caller.Publish(ctx, e, k, functions.Standard)
				if err != nil {
					errs[i] = err
					return
				}
				e.ID = ack.ID
				asked[i] = append(asked[i], events.Request{Event: e, Key: k})
			}
		})
	}
	wg.Wait()
	return slices.Concat(asked...), errors.Join(errs...)
}

// ready tells whether n replicas run and all functions know it.
func (w *scaleWorld) ready(ctx context.Context, n int) (bool, error) {
	if w.record.running() != n {
		return false, nil // spares the list while replicas start
	}
	fns, err := w.client.List(ctx, "")
	ready := 0
	for _, f := range fns {
		ready += f.Ready
	}
	return ready == n, err
}

func (w *scaleWorld) atRest(ctx context.Context) (bool, error) {
	if w.record.running() != 0 {
		return false, nil
	}
	fns, err := w.client.List(ctx, "")
	for _, f := range fns {
		if !f.AtRest {
			return false, err
		}
	}
	return err == nil, err
}

// outcomes counts the requests that ended with a result, and those that have no record.
func outcomes(ctx context.Context, bus *events.Bus, asked []events.Request) (answered, lost int, err error) {
	for _, r := range asked {
		rec, err := bus.GetRecord(ctx, r.Key, r.RecordID(), r.Event.Source)
		switch {
		case errors.Is(err, events.ErrNotFound):
			lost++
		case err != nil:
			return answered, lost, err
		case rec.Status == events.StatusOK:
			answered++
		}
	}
	return answered, lost, nil
}
