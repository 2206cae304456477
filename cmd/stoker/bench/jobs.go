package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"stoker.dev/stoker/cmd/stoker/config"
)

// What the effective training time ratio is computed for.
const (
	ettrKillEvery = 10 * time.Minute
	ettrInterval  = 30 * time.Second
)

// JobsOptions of one measurement.
type JobsOptions struct {
	Admissions int           // jobs of one rank that are submitted together; 0: not measured
	Gang       int           // ranks of the one large gang; 0: not measured
	Rounds     int           // loans that are recalled, 0: none
	Kills      int           // of a rank, without warning; 0: none
	Interval   time.Duration // between two checkpoints of the real program
	Self       string        // this program, which plays training program and model server
	Config     config.Config
	Version    string
	Progress   io.Writer
}

// JobsReport is what `stoker bench jobs --json` prints.
type JobsReport struct {
	Admissions       int       `json:"admissions"`
	AdmissionsPerSec float64   `json:"admissions_per_s"`        // from the submission of all until the last has its workflow and its lease
	ToldPerSec       float64   `json:"told_per_s"`              // from the submission of all until that is told of the last
	StartedPerSec    float64   `json:"starts_per_s"`            // from the submission of all to the provider's start call of the last
	StartsPerSec     float64   `json:"workflow_starts_per_s"`   // the floor: as many workflows that do nothing, from first start to last end
	GangRanks        int       `json:"gang_ranks"`              //
	GangSec          float64   `json:"gang512_s"`               // from admitted to barrier passed
	Rounds           int       `json:"rounds"`                  // loans that were recalled
	GiveBack         Quantiles `json:"giveback_ms"`             // from the notice to the GPUs' release, the program's checkpoint included
	Checkpoint       Quantiles `json:"checkpoint_ms"`           // of that, from the notice to the checkpoint committed
	ToStart          Quantiles `json:"notice_to_start_call_ms"` // from the notice to the start call of the replica that the GPUs were wanted for
	Kills            int       `json:"kills"`                   // of a rank
	IntervalSec      float64   `json:"interval_s"`              // between two checkpoints of the program that was killed
	LostWorkSec      float64   `json:"lost_work_s"`             // most that any kill cost: since the state that the next attempt went on from
	RestartSec       Spread    `json:"restart_s"`               // from the kill to the barrier passed again
	SaveSec          float64   `json:"save_s"`                  // time that the last checkpoint keeps the program from training
	ETTR             float64   `json:"ettr"`                    // computed, see the package's documentation
	LoadAverage      string    `json:"load_average"`
}

// Jobs measures what training jobs cost: admissions and a large gang on simulated GPUs, loans given
// back and ranks killed with real processes.
func Jobs(ctx context.Context, o JobsOptions) (rep JobsReport, err error) {
	rep = JobsReport{Admissions: o.Admissions, GangRanks: o.Gang, IntervalSec: o.Interval.Seconds()}
	for _, measure := range []func(context.Context, JobsOptions, *JobsReport) error{measureAdmissions, measureGang, measureLoans} {
		if err := measure(ctx, o, &rep); err != nil {
			return rep, err
		}
	}
	rep.LoadAverage = loadAverage()
	return rep, nil
}

// inWorld runs a measurement on a platform of its own.
func inWorld(ctx context.Context, o JobsOptions, provider string, gpus int, measure func(*jobsWorld) error) (err error) {
	dir, err := os.MkdirTemp("", "stoker-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	w, err := openJobsWorld(ctx, o, provider, dir, gpus)
	if err != nil {
		return err
	}
	defer func() {
		stopErr := w.plat.Stop(context.WithoutCancel(ctx))
		if provider != providerSimulated { // whose ranks end with this process, and are not waited for
			err = errors.Join(err, stopErr)
		}
	}()
	return measure(w)
}

func measureAdmissions(ctx context.Context, o JobsOptions, rep *JobsReport) error {
	if o.Admissions == 0 {
		return nil
	}
	return inWorld(ctx, o, providerSimulated, o.Admissions, func(w *jobsWorld) error {
		fmt.Fprintf(o.Progress, "submitting %d jobs of one rank\n", o.Admissions)
		var text []byte
		for i := range o.Admissions {
			text = fmt.Appendf(text, simulatedJob, fmt.Sprintf("one-%04d", i), 1)
		}
		all := w.started.await(o.Admissions)
		began := time.Now()
		if err := w.submit(ctx, text); err != nil {
			return err
		}
		claimed, err := w.claimed(ctx, o.Admissions)
		if err != nil {
			return err
		}
		told, err := w.placed(ctx, o.Admissions)
		if err != nil {
			return err
		}
		last, err := all(ctx)
		if err != nil {
			return fmt.Errorf("not all of %d jobs were started: %w", o.Admissions, err)
		}
		rate := func(at time.Time) float64 { return perSecond(o.Admissions, at.Sub(began)) }
		rep.AdmissionsPerSec, rep.ToldPerSec, rep.StartedPerSec = rate(claimed), rate(told), rate(last)
		fmt.Fprintf(o.Progress, "all admitted after %.2f s, told of after %.2f s, started after %.2f s\n", claimed.Sub(began).Seconds(), told.Sub(began).Seconds(), last.Sub(began).Seconds())
		fmt.Fprintf(o.Progress, "measuring the floor: %d empty workflows on the same server\n", o.Admissions)
		took, err := startEmpty(ctx, w.plat.Temporal(), o.Admissions)
		rep.StartsPerSec = perSecond(o.Admissions, took)
		return err
	})
}

func measureGang(ctx context.Context, o JobsOptions, rep *JobsReport) error {
	if o.Gang == 0 {
		return nil
	}
	return inWorld(ctx, o, providerSimulated, o.Gang, func(w *jobsWorld) error {
		fmt.Fprintf(o.Progress, "submitting one job of %d ranks\n", o.Gang)
		if err := w.submit(ctx, fmt.Appendf(nil, simulatedJob, "gang", o.Gang)); err != nil {
			return err
		}
		j, err := w.await(ctx, "gang", "through the barrier", started(1))
		if err != nil {
			return err
		}
		rep.GangSec = j.Attempts[0].Started.Sub(j.Admitted).Seconds()
		return nil
	})
}
