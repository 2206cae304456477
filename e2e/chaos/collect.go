package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/e2e/history"
	"stoker.dev/stoker/events"
)

// nextWait bounds the wait for one stored record, which the broker has at hand.
const nextWait = 10 * time.Second

// storedRecords notes every terminal record the broker has, each message by itself: two on one subject are two.
func storedRecords(ctx context.Context, p *harness.Platform, b *book) error {
	c, err := p.JetStream().OrderedConsumer(ctx, events.StreamResults, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	info, err := c.Info(ctx)
	if err != nil || info.NumPending == 0 {
		return err
	}
	it, err := c.Messages()
	if err != nil {
		return err
	}
	defer it.Stop()
	for {
		m, err := it.Next(jetstream.NextMaxWait(nextWait))
		if err != nil {
			return fmt.Errorf("read the terminal records: %w", err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		if err := noteStored(b, m, meta.Timestamp); err != nil {
			return err
		}
		if meta.NumPending == 0 {
			return nil
		}
	}
}

func noteStored(b *book, m jetstream.Msg, at time.Time) error {
	rec, err := events.ParseReply(&events.Msg{Header: m.Headers(), Data: m.Data()})
	if err != nil {
		return fmt.Errorf("record on %s: %w", m.Subject(), err)
	}
	b.note(history.Record{
		Kind: history.Stored, At: at, ID: rec.ID, Function: rec.Function.Name, Class: string(rec.Class),
		Status: string(rec.Status), Cause: rec.Cause, Attempt: rec.Attempt, Replica: rec.Replica,
	})
	return nil
}

// serverBooks notes what the model servers wrote down themselves.
func serverBooks(p *harness.Platform, b *book) {
	kinds := map[string]history.Kind{"up": history.Holds, "begin": history.Began, "end": history.Ended, "quit": history.Quit, "conflict": history.Conflict}
	for i := range functionsN {
		for _, e := range p.Books(name(i)) {
			r := history.Record{Kind: kinds[e.What], At: e.At, ID: e.ID, Function: name(i), Replica: e.Replica, PID: e.PID}
			switch e.What {
			case "up":
				r.Devices = strings.Split(e.GPUs, ",")
			case "conflict":
				r.Devices = []string{e.Body}
			}
			b.note(r)
		}
	}
}

// providerBooks notes what the local provider's own files say of every replica it ever started.
func providerBooks(t *testing.T, p *harness.Platform, b *book) {
	files, err := filepath.Glob(filepath.Join(p.Dir, "replicas", "*", "run.json"))
	if err != nil {
		t.Error(err)
	}
	for _, path := range files {
		var rec struct {
			ID           string
			Key          struct{ Name string }
			Devices      []string
			Begun, Ended time.Time
			Cause        string
		}
		data, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(data, &rec)
		}
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if rec.Begun.IsZero() {
			continue // it only forbids a start
		}
		b.note(history.Record{
			Kind: history.Replica, At: rec.Begun, Until: rec.Ended, Replica: rec.ID, Function: rec.Key.Name, Devices: rec.Devices, Cause: rec.Cause,
		})
	}
}

// leftovers notes what is there when every function is deleted.
func leftovers(t *testing.T, p *harness.Platform, b *book) {
	for _, x := range p.Processes() {
		b.note(history.Record{Kind: history.Left, What: "process", ID: strconv.Itoa(x.PID), Replica: x.Replica, Program: x.Name})
	}
	st, err := p.API.Platform(t.Context())
	if err != nil {
		t.Error(err)
	}
	for _, l := range st.Leases {
		b.note(history.Record{Kind: history.Left, What: "lease", ID: l.Holder, Devices: l.Devices})
	}
	streams := p.JetStream().ListStreams(t.Context())
	for info := range streams.Info() {
		if strings.HasPrefix(info.Config.Name, "STOKER_FN_") && info.State.Consumers > 0 {
			b.note(history.Record{Kind: history.Left, What: "consumer", ID: info.Config.Name})
		}
	}
	if err := streams.Err(); err != nil {
		t.Error(err)
	}
}
