package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cloudevents/sdk-go/v2/event"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
)

// Webhooks post events to the servers of people.
type Webhooks interface {
	Send(ctx context.Context, address string, e event.Event) error
}

// gaveWay are the causes of an attempt's end that its people call preempted. A job that comes back with
// another size is still theirs.
var gaveWay = []job.Cause{job.CausePreempted, job.CauseRecalled, job.CauseSpot, job.CauseNodeDrain}

// happened is what of a step people may want to be told of; empty: nothing. It is [job.Announce] for steps of which
// some in between were not told of.
func happened(before, after job.State) functions.JobEvent {
	if before.Generation != after.Generation {
		before.Phase = "" // of another gang
	}
	if after.Phase == job.Queued {
		if before.Phase != job.Queued && slices.Contains(gaveWay, after.Cause) {
			return functions.JobPreempted
		}
		return ""
	}
	if what, is := job.Announce(before, after); is {
		return what
	}
	return ""
}

// notify tells the addresses of a job that want to hear of it, beside everything else: the job waits for
// nobody. The event's id is the same however often the step is told of.
func (d *Dispatcher) notify(e *entry, what functions.JobEvent, data jobEvent) {
	for _, n := range e.rec.Job.Spec.Notify {
		if !slices.Contains(n.On, what) {
			continue
		}
		ev := event.New()
		ev.SetID(fmt.Sprintf("%s/%d/%s", e.rec.UID, data.Generation, what))
		ev.SetSource(events.SourcePlatform)
		ev.SetType(events.NoticeType("job", string(what)))
		ev.SetSubject(e.key.String())
		ev.SetTime(d.Now().UTC())
		if err := ev.SetData(event.ApplicationJSON, data); err != nil {
			d.Log.Error("nobody is told of a job", "job", e.key.String(), "error", err)
			return
		}
		d.box.Outside(func(ctx context.Context) { d.post(ctx, e.key, n.Webhook, ev) })
	}
}

// notNotified is the data of the event that an address could not be told.
type notNotified struct {
	ID    string `json:"id"` // of the event
	Type  string `json:"type"`
	Error string `json:"error"`
}

// post posts an event, and says so on the bus if it does not get through: whoever gave the address looks there.
func (d *Dispatcher) post(ctx context.Context, k functions.Key, address string, ev event.Event) {
	err := d.Webhooks.Send(ctx, address, ev)
	if err == nil || ctx.Err() != nil {
		return
	}
	d.Log.Warn("an address was not told of a job", "job", k.String(), "event", ev.Type(), "error", err)
	if err := d.Bus.Emit(ctx, k, "job", "not-notified", notNotified{ID: ev.ID(), Type: ev.Type(), Error: err.Error()}); err != nil && !errors.Is(err, context.Canceled) {
		d.Log.Warn("nobody hears of it", "error", err)
	}
}
