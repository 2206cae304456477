package e2e

import (
	"testing"

	"stoker.dev/stoker/cmd/stoker/bench"
)

func TestBenchJobsMeasuresEveryPart(t *testing.T) {
	t.Parallel()
	const admissions, ranks, rounds, kills = 4, 12, 2, 1
	r := measured[bench.JobsReport](t, "jobs", "--admissions", "4", "--gang", "12", "--rounds", "2", "--kills", "1", "--interval", "1s")
	if r.Admissions != admissions || r.GangRanks != ranks || r.Rounds != rounds || r.Kills != kills || r.IntervalSec != 1 || r.LoadAverage == "" {
		t.Errorf("not what was asked for: %+v", r)
	}
	if r.AdmissionsPerSec <= 0 || r.StartsPerSec <= 0 || r.GangSec <= 0 {
		t.Errorf("admissions %v/s, empty workflows %v/s, gang %v s", r.AdmissionsPerSec, r.StartsPerSec, r.GangSec)
	}
	if r.Checkpoint.P50 <= 0 || r.GiveBack.P50 < r.Checkpoint.P50 || r.ToStart.Max <= 0 {
		t.Errorf("times that contradict each other: given back %+v, checkpoint %+v, start call %+v", r.GiveBack, r.Checkpoint, r.ToStart)
	}
	if r.LostWorkSec <= 0 || r.RestartSec.P50 <= 0 || r.SaveSec <= 0 || r.ETTR <= 0 || r.ETTR >= 1 {
		t.Errorf("lost %v s, restart %+v, save %v s, ettr %v", r.LostWorkSec, r.RestartSec, r.SaveSec, r.ETTR)
	}
}
