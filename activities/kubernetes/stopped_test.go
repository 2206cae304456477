package kubernetes

import (
	"fmt"
	"testing"
	"time"
)

func TestStoppedIDsAreBounded(t *testing.T) {
	ids := map[string]time.Time{"old": began.Add(-forbidFor)}
	for i := range maxStopped + 10 {
		ids[fmt.Sprint("id-", i)] = began.Add(time.Duration(i) * time.Second)
	}
	got := newest(ids, began.Add(time.Hour))
	for id, want := range map[string]bool{"old": false, "id-9": false, "id-10": true} {
		if _, kept := got[id]; kept != want {
			t.Errorf("%s is kept: %v, want %v", id, kept, want)
		}
	}
	if len(got) != maxStopped {
		t.Errorf("%d are kept, want %d", len(got), maxStopped)
	}
	if again := newest(got, began.Add(forbidFor+time.Hour)); len(again) != 0 {
		t.Errorf("%d are kept for ever", len(again))
	}
}

// TestAPatchMakesTheNextDataOfTheLast applies what is written as the API server does.
func TestAPatchMakesTheNextDataOfTheLast(t *testing.T) {
	data := map[string]string{"a": stamp(began), "b": stamp(began), "edited": "yesterday"}
	was := parseStopped(data)
	next := map[string]time.Time{"b": began.Add(time.Minute), "c": began}
	patch := difference(was, next)
	for id, value := range patch {
		if value == nil {
			delete(data, id)
		} else {
			data[id] = *value
		}
	}
	got := parseStopped(data)
	if len(got) != len(next) || !got["b"].Equal(next["b"].Truncate(time.Second)) || !got["c"].Equal(next["c"].Truncate(time.Second)) {
		t.Errorf("with %v there is %v, want %v", patch, got, next)
	}
	if again := difference(next, next); len(again) != 0 {
		t.Errorf("nothing changed, and %v is written", again)
	}
}
