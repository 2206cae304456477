package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job/contract"
)

// A job on a loan and the function that wants the GPU back, each a process of its own.
const (
	loanJob      = "borrower"
	loanFunction = "lender"
	loanManifest = `{"apiVersion":"stoker.dev/v1","kind":"TrainingJob","metadata":{"name":"` + loanJob + `"},"spec":{
"runtime":{"local":{"command":%s}},"resources":{"nodes":1,"gpusPerNode":1},"checkpoint":{"interval":%q},
"borrow":{"idleInference":"only"},"retry":{"infraErrors":%d}}}`
	lenderManifest = `{"apiVersion":"stoker.dev/v1","kind":"Function","metadata":{"name":"` + loanFunction + `"},"spec":{
"runtime":{"local":{"command":%s}},"scaling":{"keepAlive":"1ms"}}}`
)

// loans is the job that borrows the only GPU there is.
type loans struct {
	*jobsWorld
	o   JobsOptions
	rep *JobsReport
	job api.Job
}

func measureLoans(ctx context.Context, o JobsOptions, rep *JobsReport) error {
	if o.Rounds+o.Kills == 0 {
		return nil
	}
	return inWorld(ctx, o, providerLocal, 1, func(w *jobsWorld) error {
		l := &loans{jobsWorld: w, o: o, rep: rep}
		if err := l.deploy(ctx); err != nil {
			return err
		}
		if err := l.recalls(ctx); err != nil {
			return err
		}
		return l.kills(ctx)
	})
}

func (l *loans) deploy(ctx context.Context) error {
	train, err := json.Marshal([]string{l.o.Self, "bench", "part", "trainer", l.o.Interval.String()})
	if err != nil {
		return err
	}
	serve, err := json.Marshal([]string{l.o.Self, "bench", "part", "backend", filepath.Join(l.dir, "lender-address")})
	if err != nil {
		return err
	}
	if _, err := l.client.Apply(ctx, "bench", fmt.Appendf(nil, lenderManifest, serve), false); err != nil {
		return err
	}
	return l.submit(ctx, fmt.Appendf(nil, loanManifest, train, l.o.Interval, max(l.o.Kills, 1)))
}

// trains waits until the newest gang, of which there were some before, has committed a checkpoint.
func (l *loans) trains(ctx context.Context, attempts int) (err error) {
	l.job, err = l.await(ctx, loanJob, "training with a checkpoint", func(j api.Job) bool {
		return started(attempts)(j) && j.Phase.Trains() && j.Saved.Generation == j.Generation && len(j.Ranks) == 1 && j.Ranks[0].PID > 0
	})
	return err
}

// recalls lends the GPU and takes it back for a request, again and again.
func (l *loans) recalls(ctx context.Context) error {
	var back, saved, start []time.Duration
	for round := range l.o.Rounds {
		if err := l.trains(ctx, round+1); err != nil {
			return err
		}
		replica := l.started.await(1)
		if err := l.ask(ctx, round); err != nil {
			return err
		}
		j, err := l.await(ctx, loanJob, "off its GPU", func(j api.Job) bool { return !j.Attempts[round].Released.IsZero() })
		if err != nil {
			return err
		}
		at, err := replica(ctx)
		if err != nil {
			return err
		}
		a := j.Attempts[round]
		if a.SavedAt.Before(a.Noticed) {
			return fmt.Errorf("round %d: the work was not saved when the GPU was wanted: noticed at %v, last saved at %v, its end is %q", round+1, a.Noticed, a.SavedAt, a.Class)
		}
		back, saved, start = append(back, a.Released.Sub(a.Noticed)), append(saved, a.SavedAt.Sub(a.Noticed)), append(start, at.Sub(a.Noticed))
		fmt.Fprintf(l.o.Progress, "%d of %d loans recalled\n", round+1, l.o.Rounds)
	}
	l.rep.Rounds, l.rep.GiveBack, l.rep.Checkpoint, l.rep.ToStart = len(back), quantiles(back), quantiles(saved), quantiles(start)
	return nil
}

// ask publishes a request for the function, which has no GPU.
func (l *loans) ask(ctx context.Context, round int) error {
	e := events.Event{ID: fmt.Sprintf("recall-%d", round), Source: "stoker-bench", Type: "bench", Data: []byte("{}")}
	k := functions.Key{Namespace: functions.DefaultNamespace, Name: loanFunction}
	_, err := l.plat.Bus().Publish(ctx, e, k, functions.Standard)
	return err
}

// kills ends the program without warning, again and again, at moments spread evenly over the time between two
// checkpoints.
func (l *loans) kills(ctx context.Context) error {
	var restarts, lost []float64
	for n := range l.o.Kills {
		attempts := l.o.Rounds + n + 1
		if err := l.trains(ctx, attempts); err != nil {
			return err
		}
		if err := pause(ctx, l.o.Interval*time.Duration(2*n+1)/time.Duration(2*l.o.Kills)); err != nil {
			return err
		}
		at := time.Now()
		if err := unix.Kill(l.job.Ranks[0].PID, unix.SIGKILL); err != nil {
			return fmt.Errorf("kill the training program: %w", err)
		}
		j, err := l.await(ctx, loanJob, "training again", started(attempts+1))
		if err != nil {
			return err
		}
		from, err := readState(j.Resumed)
		if err != nil {
			return fmt.Errorf("the checkpoint that attempt %d goes on from: %w", j.Attempt, err)
		}
		restarts, lost = append(restarts, j.Attempts[attempts].Started.Sub(at).Seconds()), append(lost, at.Sub(from.At).Seconds())
		fmt.Fprintf(l.o.Progress, "%d of %d killed\n", n+1, l.o.Kills)
	}
	if l.o.Kills == 0 {
		return nil
	}
	save, err := saveTime(l.job.Saved.Path)
	if err != nil {
		return err
	}
	l.rep.Kills, l.rep.LostWorkSec, l.rep.RestartSec, l.rep.SaveSec = len(lost), spread(lost).Max, spread(restarts), save.Seconds()
	l.rep.ETTR = ettr(ettrKillEvery, ettrInterval, time.Duration(mean(restarts)*float64(time.Second)), save)
	return nil
}

// saveTime is how long writing a checkpoint took, by its state and its marker.
func saveTime(checkpoint string) (time.Duration, error) {
	s, err := readState(checkpoint)
	if err != nil {
		return 0, err
	}
	marker, err := os.Stat(filepath.Join(checkpoint, contract.Marker))
	if err != nil {
		return 0, err
	}
	return max(0, marker.ModTime().Sub(s.At)), nil
}
