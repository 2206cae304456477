package server

import (
	"bytes"
	"testing"

	"stoker.dev/stoker/events"
)

func TestSecretsAreMaskedHoweverTheyAreCut(t *testing.T) {
	secrets := []string{"hunter2", "hunter2-and-more", "two\nlines", "abcabcabd", "aXaXaXa", "tiny"}
	text := "a hunter2 b hunter2-and-more c two\nlines abcabcabcabd tiny aXaXaXab hunter hunter2"
	want := "a (hidden) b (hidden) c (hidden) abc(hidden) tiny (hidden)b hunter (hidden)"
	for size := 1; size <= len(text); size++ {
		var out bytes.Buffer
		m := newMask(&out, secrets)
		for rest := text; rest != ""; {
			n := min(size, len(rest))
			if wrote, err := m.Write([]byte(rest[:n])); wrote != n || err != nil {
				t.Fatal(wrote, err)
			}
			rest = rest[n:]
		}
		m.flush()
		if out.String() != want {
			t.Errorf("in writes of %d bytes: %q, want %q", size, out.String(), want)
		}
	}
}

func TestWithoutSecretsNothingIsHeldBack(t *testing.T) {
	var out bytes.Buffer
	if _, err := newMask(&out, nil).Write([]byte("progress 3 %")); err != nil || out.String() != "progress 3 %" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func TestSecretsAreTheNamedVariables(t *testing.T) {
	got := Secrets(events.AgentConfig{Env: []string{"A=plain", "TOKEN=x=y", "B="}, Secrets: []string{"TOKEN"}})
	if len(got) != 1 || got[0] != "x=y" {
		t.Errorf("secrets %q", got)
	}
}
