package job_test

import (
	"testing"
	"time"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
)

func TestSlowProgramsHaveLongerBeforeTheyAreStuck(t *testing.T) {
	moved := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := functions.Stuck{After: functions.Duration(30 * time.Minute)}
	for usual, want := range map[time.Duration]time.Duration{0: 30 * time.Minute, time.Minute: 30 * time.Minute, 10 * time.Minute: job.StuckPauses * 10 * time.Minute} {
		if got := job.StuckAt(s, moved, usual).Sub(moved); got != want {
			t.Errorf("with a step each %s it is stuck after %s, want %s", usual, got, want)
		}
	}
}
