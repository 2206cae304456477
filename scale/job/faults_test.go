package job_test

import (
	"fmt"
	"testing"
	"time"

	"stoker.dev/stoker/scale/job"
)

func TestAnErrorUnderSeveralProgramsIsTheGPUs(t *testing.T) {
	var f job.Faults
	at := time.Date(2026, 11, 28, 8, 0, 0, 0, time.UTC)
	others := func(program, gpu string, code int, later time.Duration) int {
		return f.Take(program, []job.Xid{{Code: code, GPU: gpu, At: at.Add(later)}})[0].OtherJobs
	}
	for _, c := range []struct {
		program, gpu string
		code         int
		later        time.Duration
		want         int
	}{
		{"a", "x", 31, 0, 0},
		{"a", "x", 31, time.Minute, 0}, // told again, or another attempt of it
		{"b", "y", 31, time.Minute, 0}, // another GPU
		{"b", "x", 13, time.Minute, 0}, // another error
		{"b", "x", 31, time.Hour, 1},
		{"c", "x", 31, 2 * time.Hour, 2},
		{"c", "x", 31, 2 * time.Hour, 2},
		{"d", "x", 31, 26 * time.Hour, 1}, // a and b are long ago
	} {
		if got := others(c.program, c.gpu, c.code, c.later); got != c.want {
			t.Errorf("Xid %d of program %s on GPU %s after %v: in %d others, want %d", c.code, c.program, c.gpu, c.later, got, c.want)
		}
	}
}

func TestFaultsAreBounded(t *testing.T) {
	var f job.Faults
	at := time.Date(2026, 11, 28, 8, 0, 0, 0, time.UTC)
	for i := range 2 * job.MaxFaults {
		f.Take(fmt.Sprint(i), []job.Xid{{Code: 31, GPU: "x", At: at}})
	}
	if got := f.Take("last", []job.Xid{{Code: 31, GPU: "x", At: at}}); got[0].OtherJobs != job.MaxFaults {
		t.Errorf("%d are remembered", got[0].OtherJobs)
	}
}
