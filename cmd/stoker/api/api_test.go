package api

import "testing"

func TestASummaryIsOneLine(t *testing.T) {
	for _, c := range []struct{ message, want string }{
		{"", "crashed"},
		{"\n", "crashed"},
		{"CUDA error: out of memory\n", "crashed: CUDA error: out of memory"},
		{"loading\r\n  CUDA error: out of memory\r\n\n", "crashed: CUDA error: out of memory"},
	} {
		if got := (Failure{Cause: "crashed", Message: c.message}).Summary(); got != c.want {
			t.Errorf("%q: %q, want %q", c.message, got, c.want)
		}
	}
}
