package chaos

import (
	"context"
	"sync"
	"time"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/datadir"
	"stoker.dev/stoker/e2e/history"
)

const (
	// ledgerEvery is how often the ledger is looked at.
	ledgerEvery = 250 * time.Millisecond
	// ledgerWait bounds one look: a platform that is stopped answers nothing.
	ledgerWait = 2 * time.Second
)

// auditor looks at the ledger, and notices when a platform that was started serves.
type auditor struct {
	dir   string
	b     *book
	ready func(datadir.Server) // told once for each start

	pid    int // of the platform that was ready last
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func startAuditor(dir string, b *book, ready func(datadir.Server)) *auditor {
	ctx, cancel := context.WithCancel(context.Background())
	a := &auditor{dir: dir, b: b, ready: ready, cancel: cancel}
	a.wg.Go(func() { a.run(ctx) })
	return a
}

func (a *auditor) stop() {
	a.cancel()
	a.wg.Wait()
}

func (a *auditor) run(ctx context.Context) {
	tick := time.NewTicker(ledgerEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			a.look(ctx)
		}
	}
}

func (a *auditor) look(ctx context.Context) {
	s, err := datadir.ReadServer(a.dir)
	if err != nil {
		return // between two starts
	}
	ctx, cancel := context.WithTimeout(ctx, ledgerWait)
	defer cancel()
	from := time.Now()
	st, err := api.NewClient(s.HTTP, s.AdminToken, nil).Platform(ctx)
	if err != nil {
		return
	}
	r := history.Record{Kind: history.Look, At: from, Until: time.Now()}
	for _, x := range st.Leases {
		r.Leases = append(r.Leases, history.Lease{Replica: x.Holder, Devices: x.Devices, State: string(x.State)})
	}
	a.b.note(r)
	if s.PID != a.pid {
		a.pid = s.PID
		a.b.note(history.Record{Kind: history.Fault, What: history.Ready, Program: history.Platform, PID: s.PID})
		a.ready(s)
	}
}
