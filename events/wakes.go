package events

import (
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"stoker.dev/stoker/functions"
)

// wakeBuffer is how many wakes may wait for whoever takes them, of all functions together. More
// are dropped by the client library, which the reconcile makes up for.
const wakeBuffer = 4096

// Wake says that a request was stored while nobody pulls. It carries the request's headers.
type Wake struct {
	Key    functions.Key
	Class  functions.Class
	Header Header
	At     time.Time // when it was stored
}

// wakeMux takes the wakes of all functions off one channel. A subscription of the library's own
// kind has a goroutine, and a thousand functions at zero would have a thousand.
type wakeMux struct {
	start    sync.Once
	messages chan *nats.Msg
	handlers sync.Map // functions.Key → *func(Wake)
}

// OnWake calls f for every request stored for a function. The broker republishes warm
// traffic too, so subscribe only while the function is at zero. Pushes can be lost:
// [Bus.Pending] catches what they missed. A function is listened to by one f at a time, and f
// must not block: there is one goroutine for all functions.
func (b *Bus) OnWake(k functions.Key, f func(Wake)) (*Subscription, error) {
	w := &b.wakes
	w.start.Do(func() {
		w.messages = make(chan *nats.Msg, wakeBuffer)
		go b.takeWakes(b.nc.StatusChanged(nats.CLOSED))
	})
	w.handlers.Store(k, &f) // before the first wake can come
	sub, err := b.nc.ChanSubscribe(WakeFilter(k), w.messages)
	if err != nil {
		w.handlers.CompareAndDelete(k, &f)
		return nil, wrap("subscribe to "+WakeFilter(k), err)
	}
	sub.SetClosedHandler(func(string) { w.handlers.CompareAndDelete(k, &f) })
	return sub, nil
}

// takeWakes hands wakes over until the connection is closed.
func (b *Bus) takeWakes(closed <-chan nats.Status) {
	for {
		select {
		case m := <-b.wakes.messages:
			b.handler(b.wakes.take)(m)
		case <-closed:
			return
		}
	}
}

func (w *wakeMux) take(m *nats.Msg) error {
	k, c, err := ParseWake(m.Subject)
	if err != nil {
		return err
	}
	f, ok := w.handlers.Load(k)
	if !ok {
		return nil // no longer listened to
	}
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get("Nats-Time-Stamp"))
	if err != nil {
		at = time.Now()
	}
	(*f.(*func(Wake)))(Wake{Key: k, Class: c, Header: m.Header, At: at.UTC()})
	return nil
}
