package request

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"stoker.dev/stoker/cmd/stoker-agent/proxy"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

func TestBackoffDoublesUpToItsMax(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := functions.Backoff{
			Initial: functions.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "initial")),
			Max:     functions.Duration(rapid.Int64Range(1, int64(24*time.Hour)).Draw(t, "max")),
		}
		last := time.Duration(0)
		for n := 1; n <= 70; n++ { // 2^69 would overflow
			got := backoff(b, n)
			naive := b.Max.D()
			if n < 60 && float64(b.Initial)*float64(int64(1)<<(n-1)) < float64(b.Max) {
				naive = b.Initial.D() << (n - 1)
			}
			if got != naive || got < last || got > b.Max.D() {
				t.Fatalf("failure %d: %v after %v, want %v; initial %v, max %v", n, got, last, naive, b.Initial, b.Max)
			}
			last = got
		}
	})
}

func TestStreamedAnswersAreKeptUpToTheLimit(t *testing.T) {
	a := answer{keep: true, limit: 10}
	for range 2 {
		if err := a.add([]byte("12345")); err != nil {
			t.Fatal(err)
		}
	}
	if body, message := a.whole(); string(body) != "1234512345" || message != "" {
		t.Errorf("%q, %q", body, message)
	}
	_ = a.add([]byte("6"))
	if body, message := a.whole(); body != nil || message == "" {
		t.Errorf("%q, %q", body, message)
	}
}

func TestKeepsBody(t *testing.T) {
	if !keepsBody(functions.RecordAuto, true, events.StatusError) || keepsBody(functions.RecordStatus, false, events.StatusError) {
		t.Error("auto keeps what a model server said of an error; status keeps nothing")
	}
}

func TestBlame(t *testing.T) {
	for _, c := range []struct{ attach, leaving, unsent, want bool }{
		{want: false},
		{unsent: true, want: false}, // of a child it shows at once
		{attach: true, want: false},
		{attach: true, unsent: true, want: true},
		{attach: true, leaving: true, want: true},
	} {
		h := New(Options{Config: events.AgentConfig{Attach: c.attach}, Leaving: func() bool { return c.leaving }})
		if got := h.blameless(proxy.Answer{Unsent: c.unsent}); got != c.want {
			t.Errorf("%+v: blameless %v", c, got)
		}
	}
}
