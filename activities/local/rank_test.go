package local

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/events/eventstest"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job/contract"
)

// gangOf is the ranks of a gang on this machine whose program is a shell script.
func gangOf(t *testing.T, n int, broker, script string) []activities.ReplicaSpec {
	t.Helper()
	var j functions.TrainingJob
	j.Spec.Framework = functions.FrameworkMPI
	j.Spec.Preemption.Grace = functions.Duration(20 * time.Second)
	j.Spec.Runtime.Local = &functions.Local{Command: []string{"sh"}, Args: []string{"-c", script}}
	j.Spec.Runtime.Env = []functions.EnvVar{{Name: "HF_TOKEN", Value: "s3cret-hub"}}
	j.Spec.Notify = []functions.Notice{{Webhook: "https://hooks.example/s3cret-hook"}}
	job := functions.DefaultJob(j).Spec
	key := functions.Key{Namespace: "default", Name: "llama"}
	checkpoints := t.TempDir()
	var ranks []activities.ReplicaSpec
	for i := range n {
		s := spec(t, "")
		s.Key, s.Spec, s.Agent.NATS.URL = events.RankKey(key), job.Rank(), broker
		s.Gang = &contract.Place{
			Job: key, Spec: job, Attempt: 1, Generation: 4, Rank: i,
			Addresses: slices.Repeat([]string{"127.0.0.1"}, n), Port: 29500, CheckpointDir: checkpoints,
		}
		ranks = append(ranks, s)
	}
	return ranks
}

// drilled is a provider with real agents, their broker, and a gang of two at its barrier.
type drilled struct {
	t     *testing.T
	l     *Local
	o     Options
	bus   *events.Bus
	ranks []activities.ReplicaSpec
}

func drill(t *testing.T, o Options, script string) *drilled {
	t.Helper()
	_, _, url := eventstest.Start(t)
	bus, err := events.Connect(events.NATSAccess{URL: url}, events.ConnectOptions{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	o.AgentBinary = realAgent(t)
	d := &drilled{t: t, l: open(t, o), o: o, bus: bus, ranks: gangOf(t, 2, url, script)}
	for _, s := range d.ranks {
		if err := d.l.Start(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// order gives every rank an order, once its agent listens.
func (d *drilled) order(c events.Control) {
	d.t.Helper()
	c.Generation = d.ranks[0].Gang.Generation
	for _, s := range d.ranks {
		within(d.t, c.Op+" is taken", func() bool { return d.bus.SendControl(d.t.Context(), s.Key, s.ID, c) == nil })
	}
}

// file waits for a file of the rank's own directory, or of its working directory.
func (d *drilled) file(rank int, name string) string {
	d.t.Helper()
	var data []byte
	within(d.t, name, func() (there bool) {
		var err error
		data, err = os.ReadFile(filepath.Join(d.o.Dir, d.ranks[rank].ID, name))
		return err == nil
	})
	return string(data)
}

// gone waits for the end of a rank, looks for what is left of it, and returns what its agent said last.
func (d *drilled) gone(rank int) (activities.ReplicaStatus, *events.RankEnd) {
	d.t.Helper()
	id := d.ranks[rank].ID
	s := awaitState(d.t, d.l, id, activities.RunGone)
	if left := living(d.t, id); len(left) > 0 {
		d.t.Errorf("gone, and %v live", left)
	}
	if s.Last == nil || s.Last.Rank == nil || s.Last.Rank.End == nil {
		d.t.Fatalf("rank %d ended as %+v, last words %+v", rank, s, s.Last)
	}
	return s, s.Last.Rank.End
}

// saves commits a checkpoint when it is told to go; each rank notes its environment.
const saves = `trap 'mkdir "$CHECKPOINT_DIR/step-$NODE_RANK"; touch "$CHECKPOINT_DIR/step-$NODE_RANK/COMMITTED"
echo "committed step=$NODE_RANK path=$CHECKPOINT_DIR/step-$NODE_RANK" >> "$PROGRESS_FILE"; exit 75' TERM
env > environ.tmp; mv environ.tmp environ; while :; do sleep 0.02; done`

func TestAGangLivesAndGoes(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		d := drill(t, o, saves)
		d.order(events.Control{Op: events.OpOpen})
		for i := range d.ranks {
			dir := filepath.Join(d.o.Dir, d.ranks[i].ID, rankDir)
			environ := d.file(i, filepath.Join(workDir, "environ"))
			for _, want := range []string{"JOB_ID=default/llama", "NNODES=2", "GANG_GENERATION=4", "PREEMPT_FILE=" + filepath.Join(dir, "notice.json"), "HF_TOKEN=s3cret-hub", "CUDA_VISIBLE_DEVICES="} {
				if !strings.Contains(environ, want) {
					t.Errorf("rank %d: no %s in\n%s", i, want, environ)
				}
			}
			if hosts := d.file(i, filepath.Join(rankDir, contract.HostFile)); hosts != "127.0.0.1 slots=1\n127.0.0.1 slots=1\n" {
				t.Errorf("host file %q", hosts)
			}
			if public := d.file(i, specFile); strings.Contains(public, "s3cret") || !strings.Contains(public, dir) {
				t.Errorf("%s holds secrets, or lacks the rank's directory: %s", specFile, public)
			}
		}
		before := [2]int{status(d.l, d.ranks[0].ID).PID, status(d.l, d.ranks[1].ID).PID}
		if err := d.l.Close(); err != nil {
			t.Fatal(err)
		}
		d.l = open(t, d.o)
		for i, s := range d.ranks {
			if now := status(d.l, s.ID); now.PID != before[i] || now.State != activities.RunRunning || now.Last == nil || now.Last.Rank == nil {
				t.Errorf("rank %d was process %d, and is %+v", i, before[i], now)
			}
		}
		d.order(events.Control{Op: events.OpNotice, GraceSeconds: 10, Cause: "recalled"})
		for i := range d.ranks {
			s, end := d.gone(i)
			if s.Cause != events.CauseDrained || s.ExitCode != 75 || end.ExitCode != 75 || !end.ByUs || s.Last.Rank.Saved == nil || s.Last.Rank.Saved.Step != int64(i) {
				t.Errorf("rank %d: %+v, %+v", i, s, end)
			}
		}
	})
}

func TestRanksThatEndByThemselves(t *testing.T) {
	o := options(t)
	d := drill(t, o, `echo out of ideas >&2; exit $((NODE_RANK * 3))`)
	d.order(events.Control{Op: events.OpOpen})
	well, end := d.gone(0)
	if well.Cause != "" || well.ExitCode != 0 || well.Message != "" || end.ByUs {
		t.Errorf("rank 0: %+v, %+v", well, end)
	}
	badly, end := d.gone(1)
	if badly.Cause != events.CauseCrashed || badly.ExitCode != 3 || !strings.Contains(badly.Message, "out of ideas") || end.ByUs {
		t.Errorf("rank 1: %+v, %+v", badly, end)
	}
}

// TestStopWithAGrace ends ranks whose own grace is longer than the stop's: one goes when asked, one is killed,
// and each says how.
func TestStopWithAGrace(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		d := drill(t, o, `[ "$NODE_RANK" = 0 ] || trap '' TERM
setsid sleep 1000 & touch up; while :; do sleep 0.02; done`)
		d.order(events.Control{Op: events.OpOpen})
		for i := range d.ranks {
			d.file(i, filepath.Join(workDir, "up"))
			if err := d.l.Stop(t.Context(), d.ranks[i].ID, 2*time.Second); err != nil {
				t.Fatal(err)
			}
		}
		for i, signal := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
			s, end := d.gone(i)
			if s.Cause != events.CauseDrained || end.Signal != int(signal) || !end.ByUs {
				t.Errorf("rank %d: %+v, %+v", i, s, end)
			}
			if err := d.l.Forget(t.Context(), d.ranks[i].ID); err != nil {
				t.Error(err)
			}
		}
		if _, err := os.Stat(filepath.Join(d.o.Dir, d.ranks[0].ID, rankDir)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a forgotten rank's directory: %v", err)
		}
	})
}

func TestStopAtOnceTakesTheAgentAlong(t *testing.T) {
	d := drill(t, options(t), `touch up; while :; do sleep 0.02; done`)
	d.order(events.Control{Op: events.OpOpen})
	for i, r := range d.ranks {
		d.file(i, filepath.Join(workDir, "up"))
		if err := d.l.Stop(t.Context(), r.ID, 0); err != nil {
			t.Fatal(err)
		}
		s := awaitState(t, d.l, r.ID, activities.RunGone)
		if left := living(t, r.ID); s.Cause != events.CauseKilled || len(left) > 0 {
			t.Errorf("rank %d: %+v, left %v", i, s, left)
		}
	}
}

// TestAnAgentOfARankThatHangsIsKilled stops an agent that hears nothing: its program goes at the end of the grace,
// and it follows once it has had the time to say why.
func TestAnAgentOfARankThatHangsIsKilled(t *testing.T) {
	l := open(t, options(t))
	s := gangOf(t, 1, "nats://localhost:1", "echo up; sleep 1000")[0]
	agent := run(t, l, s, 2).PID
	if err := unix.Kill(agent, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := l.Stop(t.Context(), s.ID, 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	within(t, "the program is killed", func() bool { return slices.Equal(living(t, s.ID), []int{agent}) })
	if gone := awaitState(t, l, s.ID, activities.RunGone); gone.Cause != events.CauseKilled || len(living(t, s.ID)) > 0 {
		t.Errorf("%+v, left %v", gone, living(t, s.ID))
	}
}

func TestAPlaceThatNobodyCanHaveIsRefused(t *testing.T) {
	l := open(t, options(t))
	s := gangOf(t, 2, "nats://localhost:1", "true")[1]
	s.Gang.Rank = 2
	if err := l.Start(t.Context(), s); !errors.Is(err, activities.ErrBadSpec) || !errors.Is(err, contract.ErrPlace) {
		t.Errorf("%v", err)
	}
	nothing(t, l)
	if s.Gang.Dir != "" || !strings.Contains(s.Gang.Spec.Notify[0].Webhook, "s3cret") {
		t.Errorf("the caller's place was changed: %+v", s.Gang)
	}
}
