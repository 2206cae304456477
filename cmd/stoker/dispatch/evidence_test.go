package dispatch

import (
	"slices"
	"strings"
	"testing"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
)

// ended has the only rank of a job of some name end as its agent and its provider say, and returns what its workflow is told.
func ended(t *testing.T, d *Dispatcher, name string, end *events.RankEnd, s activities.ReplicaStatus) job.Evidence {
	t.Helper()
	rec := events.JobRecord{UID: strings.ReplaceAll(name, "-", "")}
	rec.Job.Metadata = functions.Metadata{Namespace: "ns", Name: name}
	e := newEntry(rec.Job.Key(), rec, 1)
	e.telling = true
	e.Life.Gang = &job.Gang{Nodes: 1, Placed: origin, Started: origin, Ranks: make([]job.Rank, 1)}
	e.Life.Phase = job.Running
	d.jobs[e.key] = e
	s.ID, s.Key, s.State, s.Ended = e.gang(e.Life.Generation, 1).RankID(0), events.RankKey(e.key), activities.RunGone, origin
	if end != nil {
		s.Last = &events.Heartbeat{Replica: s.ID, Phase: events.PhaseExited, Rank: &events.Rank{Generation: e.Life.Generation, End: end}}
	}
	d.observe(s)
	i := slices.IndexFunc(e.pending, func(ev job.Event) bool { return ev.Kind == job.End })
	if i < 0 {
		t.Fatalf("its end is not told: %+v", e.pending)
	}
	return *e.pending[i].Evidence
}

func judge(ev job.Evidence) job.Class {
	return job.Judge(job.Trial{Ranks: []job.Evidence{ev}, Started: origin}).Class
}

func TestWhatTheDriverSaysIsEvidence(t *testing.T) {
	l := newLending(t)
	crash := func(codes ...int) *events.RankEnd {
		end := &events.RankEnd{At: origin, ExitCode: 134, Signal: 6}
		for _, c := range codes {
			end.Xids = append(end.Xids, events.RankXid{Code: c, GPU: "GPU-a", At: origin})
		}
		return end
	}
	ill := crash()
	ill.Recovery = 1
	for _, c := range []struct {
		name string
		end  *events.RankEnd
		want job.Class
	}{
		{"healthy", crash(), job.ClassCrash},
		{"fell-off", crash(79), job.ClassHardware},
		{"to-be-reset", ill, job.ClassHardware},
		{"own-fault-1", crash(31, 45), job.ClassGPUFault},
		{"own-fault-2", crash(31, 45), job.ClassGPUFault}, // the same program again
		{"cleaned-up", crash(45), job.ClassCrash},         // as after any end
		{"another", crash(31), job.ClassHardware},         // which the GPU did to another program before
	} {
		if got := judge(ended(t, l.Dispatcher, c.name, c.end, activities.ReplicaStatus{})); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// What ended before its agent could say anything is judged by what its provider says.
func TestWhatItsProviderSaysIsEvidence(t *testing.T) {
	l := newLending(t)
	for _, c := range []struct {
		cause, message string
		want           job.Class
		node           string // to be kept away from
	}{
		{events.CauseImagePull, "model: ErrImagePull: no such image", job.ClassConfig, ""},
		{events.CauseSpawnFailed, "", job.ClassConfig, ""},
		{events.CauseUnschedulable, "Insufficient nvidia.com/gpu", job.ClassNeverRan, ""},
		{events.CauseNeverReady, "model: RegistryUnavailable: 503", job.ClassNeverRan, "n1"},
		{events.CauseOutOfMemory, "", job.ClassHostOOM, ""},
		{events.CauseNodeLost, "", job.ClassNodeLost, "n1"},
		{events.CausePodDeleted, "", job.ClassKilled, "n1"},
	} {
		ev := ended(t, l.Dispatcher, c.cause, nil, activities.ReplicaStatus{Node: "n1", Cause: c.cause, Message: c.message, ExitCode: 137, Started: origin})
		v := job.Judge(job.Trial{Ranks: []job.Evidence{ev}})
		node := ""
		if v.Action == job.ActionElsewhere {
			node = v.Node
		}
		if v.Class != c.want || node != c.node {
			t.Errorf("%s: %s, away from %q; want %s, %q: %v", c.cause, v.Class, node, c.want, c.node, v.Evidence)
		}
		if c.message != "" && !strings.Contains(strings.Join(v.Evidence, "\n"), c.message) {
			t.Errorf("%s: %v does not say %q", c.cause, v.Evidence, c.message)
		}
	}
}

// A worker of a program that the kernel kills for want of memory is not the main process, whose end the agent sees.
func TestTheCountOfACgroupIsEvidence(t *testing.T) {
	l := newLending(t)
	for name, end := range map[string]*events.RankEnd{
		"its-worker": {At: origin, ExitCode: 1, Output: "DataLoader worker is killed by signal: Killed."},
		"all-of-it":  nil,
	} {
		ev := ended(t, l.Dispatcher, name, end, activities.ReplicaStatus{OOMKills: 2})
		if ev.OOMKills != 2 || judge(ev) != job.ClassHostOOM {
			t.Errorf("%s: %+v is %s", name, ev, judge(ev))
		}
	}
	for name, end := range map[string]*events.RankEnd{"lived-through-it": {At: origin}, "left-when-told": {At: origin, ExitCode: 75, ByUs: true}} {
		if ev := ended(t, l.Dispatcher, name, end, activities.ReplicaStatus{OOMKills: 1}); ev.OOMKills != 0 {
			t.Errorf("%s: %+v", name, ev)
		}
	}
	if ev := ended(t, l.Dispatcher, "killed-by-us", nil, activities.ReplicaStatus{OOMKills: 1, Cause: events.CauseKilled}); ev.OOMKills != 0 {
		t.Errorf("%+v", ev)
	}
	if ev := ended(t, l.Dispatcher, "seen-by-its-agent", &events.RankEnd{At: origin, ExitCode: 137, Signal: 9, OOMKills: 1}, activities.ReplicaStatus{}); judge(ev) != job.ClassHostOOM {
		t.Errorf("%+v is %s", ev, judge(ev))
	}
}
