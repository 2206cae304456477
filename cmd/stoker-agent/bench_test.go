package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stoker.dev/stoker/cmd/stoker-agent/meter"
	"stoker.dev/stoker/cmd/stoker-agent/proxy"
	"stoker.dev/stoker/cmd/stoker-agent/pull"
	"stoker.dev/stoker/cmd/stoker-agent/request"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

const benchCallers = 64

// BenchmarkRequests measures a request from publish to reply, 64 callers at once and 1 KiB
// each, over one real broker: the floor (pull, acknowledge, reply), the same through the
// agent's pulling, with terminal records and double acknowledgements on top, and with a
// model server that answers at once over HTTP.
func BenchmarkRequests(b *testing.B) {
	for _, c := range []struct {
		name  string
		start func(b *testing.B, w *world)
	}{
		{"raw", benchRaw},
		{"pulled", func(b *testing.B, w *world) { benchPuller(b, w, acknowledge(w)) }},
		{"recorded", func(b *testing.B, w *world) { benchPuller(b, w, record(w)) }},
		{"whole", benchWhole},
	} {
		b.Run(c.name, func(b *testing.B) {
			w := newWorld(b, func(s *functions.Spec) { s.Scaling.Slots = benchCallers })
			c.start(b, w)
			callAll(b, w)
		})
	}
}

// callAll makes b.N requests from all callers.
func callAll(b *testing.B, w *world) {
	body := make([]byte, 1<<10)
	for i := range body {
		body[i] = 'x'
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range benchCallers {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := callOnce(w, strconv.FormatInt(i, 10), body); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}

func callOnce(w *world, id string, body []byte) error {
	call, err := w.bus.NewCall()
	if err != nil {
		return err
	}
	defer call.Close()
	e := events.Event{ID: id, Source: "bench", Type: events.TypeRequest, DataContentType: "text/plain", ReplyTo: call.Subject, Sync: true, Data: body}
	h, err := e.Encode()
	if err != nil {
		return err
	}
	m := &events.Msg{Subject: events.RequestSubject(key, functions.Standard), Header: h, Data: body}
	if err := w.bus.Conn().PublishMsg(m); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err = call.Collect(ctx)
	return err
}

// agentBus is a connection of its own, as an agent has.
func agentBus(b *testing.B, w *world) *events.Bus {
	b.Helper()
	bus, err := events.Connect(events.NATSAccess{URL: w.url}, events.ConnectOptions{InboxPrefix: events.AgentInbox("bench")})
	if err == nil {
		err = bus.WaitConnected(w.ctx())
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(bus.Close)
	return bus
}

// benchRaw keeps 64 pulls for one message open, and asks again for each that was answered.
func benchRaw(b *testing.B, w *world) {
	bus := agentBus(b, w)
	r := &rawTaker{bus: bus}
	in, err := bus.OpenIntake(key, "bench", events.ShardStream(0), r)
	if err != nil {
		b.Fatal(err)
	}
	r.in.Store(in)
	for range benchCallers {
		r.again()
	}
}

type rawTaker struct {
	bus *events.Bus
	in  atomic.Pointer[events.Intake]
	id  atomic.Uint64
}

func (r *rawTaker) again()                 { _ = r.in.Load().Ask(1, 1, time.Minute, r.id.Add(1)) }
func (r *rawTaker) Ended(uint64)           { r.again() }
func (r *rawTaker) Refused(uint64, string) {}
func (r *rawTaker) Delivered(d *events.Delivery) {
	go func() {
		_ = d.Ack(context.Background())
		_ = r.bus.Reply(d.Request.Event.ReplyTo, d.Request.Record(events.StatusOK, "", ""))
		r.again()
	}()
}

func benchPuller(b *testing.B, w *world, work func(*events.Bus, *events.Delivery)) {
	bus := agentBus(b, w)
	p := pull.NewPuller(benchCallers, func(d *events.Delivery) { work(bus, d) }, slog.New(slog.DiscardHandler))
	in, err := bus.OpenIntake(key, "bench", events.ShardStream(0), p)
	if err != nil {
		b.Fatal(err)
	}
	p.Begin(in)
	b.Cleanup(func() { <-p.Stop() })
}

func acknowledge(*world) func(*events.Bus, *events.Delivery) {
	return func(bus *events.Bus, d *events.Delivery) {
		_ = d.Ack(context.Background())
		_ = bus.Reply(d.Request.Event.ReplyTo, d.Request.Record(events.StatusOK, "", ""))
	}
}

func record(*world) func(*events.Bus, *events.Delivery) {
	return func(bus *events.Bus, d *events.Delivery) {
		rec, err := bus.WriteRecord(context.Background(), d.Request.Record(events.StatusOK, "", ""), time.Minute)
		if err != nil {
			rec = d.Request.Record(events.StatusError, "", err.Error())
		}
		_ = d.Ack(context.Background())
		_ = bus.Reply(d.Request.Event.ReplyTo, rec)
	}
}

func benchWhole(b *testing.B, w *world) {
	model := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte("ok")) }))
	b.Cleanup(model.Close)
	c := w.config("bench", "")
	c.Spec = functions.Default(functions.Function{Spec: c.Spec}).Spec
	var handler atomic.Pointer[request.Handler]
	ctx := b.Context()
	benchPuller(b, w, func(bus *events.Bus, d *events.Delivery) {
		h := handler.Load()
		if h == nil {
			handler.CompareAndSwap(nil, request.New(request.Options{
				Bus: bus, Meter: meter.New(events.Receipt{}, time.Now()), Config: c, Gone: make(chan struct{}), OnGone: func() {},
				Look: func() bool { return false }, Leaving: func() bool { return false },
				Proxy: proxy.New(model.Listener.Addr().(*net.TCPAddr).Port, c.Spec.Runtime, benchCallers), Log: slog.New(slog.DiscardHandler),
			}))
			h = handler.Load()
		}
		h.Handle(ctx, ctx, d)
	})
}
