package dispatch

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/scale/jobs"
)

// Queues are what the operator's manifests say. A namespace has those of them that are in it; one
// without any shares the queue named [functions.DefaultQueue] with all others without.
type Queues []functions.JobQueue

// maxQueues bounds what a plan compares each job with.
const maxQueues = 256

// leastUsage is the use, in GPU-seconds, below which it is forgotten of a queue that is no more.
const leastUsage = 1

// ParseQueues reads the operator's file. guaranteed is how many GPUs training holds by right, below 0
// if nobody knows yet: queues cannot be guaranteed more.
func ParseQueues(file string, data []byte, guaranteed int) (Queues, error) {
	qs, err := functions.ParseJobQueues(file, data)
	if err != nil {
		return nil, err
	}
	if len(qs) > maxQueues {
		return nil, fmt.Errorf("%s: %d queues; allowed: up to %d", file, len(qs), maxQueues)
	}
	if sum := Queues(qs).guaranteed(); guaranteed >= 0 && sum > guaranteed {
		return nil, fmt.Errorf("%s: spec.guaranteed: %d GPUs in all queues together; allowed: up to the %d that training has; lower some, or raise --training-gpus (STOKER_TRAINING_GPUS)",
			file, sum, guaranteed)
	}
	return qs, nil
}

// guaranteed is how many GPUs all queues are guaranteed.
func (qs Queues) guaranteed() (sum int) {
	for _, q := range qs {
		sum += q.Spec.Guaranteed
	}
	return sum
}

// names are the queues that jobs of a namespace may name.
func (qs Queues) names(namespace string) []string {
	var out []string
	for _, q := range qs {
		if q.Metadata.Namespace == namespace {
			out = append(out, q.Metadata.Name)
		}
	}
	if out == nil {
		out = []string{functions.DefaultQueue}
	}
	return out
}

// of is the queue of a job, as plans name it. Jobs of a queue that was removed after they were accepted
// wait in the one that is shared.
func (qs Queues) of(j functions.TrainingJob) string {
	k := functions.Key{Namespace: j.Metadata.Namespace, Name: j.Spec.Queue}
	if qs.find(k) != nil {
		return k.String()
	}
	return functions.DefaultQueue
}

func (qs Queues) find(k functions.Key) *functions.JobQueue {
	if i := slices.IndexFunc(qs, func(q functions.JobQueue) bool { return q.Key() == k }); i >= 0 {
		return &qs[i]
	}
	return nil
}

// refuse is why a job can never leave its queue.
func (qs Queues) refuse(j functions.TrainingJob) []error {
	spec := j.Spec
	if names := qs.names(j.Metadata.Namespace); !slices.Contains(names, spec.Queue) {
		hint := "name one of them"
		if near := functions.Closest(spec.Queue, names); near != "" {
			hint = "did you mean " + near + "?"
		}
		return []error{fmt.Errorf("job %s: spec.queue: namespace %s has no queue %q; allowed: %s; %s", j.Key(), j.Metadata.Namespace, spec.Queue, strings.Join(names, ", "), hint)}
	}
	q := qs.find(functions.Key{Namespace: j.Metadata.Namespace, Name: spec.Queue})
	need := spec.Sizes()[0] * spec.Resources.GPUsPerNode
	if q == nil || q.Spec.Max == 0 || need <= q.Spec.Max || spec.Borrow.IdleInference != functions.UseNever {
		return nil // or inference may lend it what its queue may not give
	}
	return []error{fmt.Errorf("job %s: spec.resources: %d GPUs at least; allowed: up to the %d that queue %s may hold; lower nodes or gpusPerNode, or take another queue",
		j.Key(), need, q.Spec.Max, q.Key())}
}

// planned are the queues as plans see them, the shared one last.
func (qs Queues) planned(usage map[string]jobs.Usage) []jobs.Queue {
	out := make([]jobs.Queue, 0, len(qs)+1)
	for _, q := range qs {
		x := jobs.Queue{Name: q.Key().String(), Share: q.Spec.Guaranteed, Borrow: jobs.Unlimited, Weight: float64(q.Spec.Weight)}
		if q.Spec.Max > 0 {
			x.Borrow = q.Spec.Max - q.Spec.Guaranteed
		}
		x.Usage = usage[x.Name]
		out = append(out, x)
	}
	return append(out, jobs.Queue{Name: functions.DefaultQueue, Borrow: jobs.Unlimited, Usage: usage[functions.DefaultQueue]})
}

// count adds what the jobs hold to what their queues have used, and gives the snapshot its queues; none
// where all share one, which has nobody to share with. What a queue holds on loan counts too: it could have
// been another's. While the platform was away its jobs held what they hold now.
func (d *Dispatcher) count(s *jobs.Snapshot) {
	held := map[string]int{}
	for i := range s.Jobs {
		if j := &s.Jobs[i]; j.Running() {
			held[j.Queue] += j.GPUs
		}
	}
	queues := d.Queues.planned(d.planner.Usage)
	usage := make(map[string]jobs.Usage, len(queues))
	for i := range queues {
		q := &queues[i]
		q.Usage = q.Usage.Add(held[q.Name], s.Now)
		usage[q.Name] = q.Usage
	}
	for name, u := range d.planner.Usage { // whose manifest may come back
		if _, there := usage[name]; !there && u.At(s.Now) >= leastUsage {
			usage[name] = u
		}
	}
	d.planner.Usage = usage
	if len(d.Queues) > 0 {
		s.Queues = queues
	}
}

// JobQueues implements [api.Jobs].
func (d *Dispatcher) JobQueues(ctx context.Context, namespace string) ([]api.JobQueue, error) {
	var out []api.JobQueue
	err := d.box.Call(ctx, func() {
		out = slices.Collect(maps.Values(d.queueViews(d.Now())))
	})
	shared := !slices.ContainsFunc(d.Queues, func(q functions.JobQueue) bool { return q.Metadata.Namespace == namespace })
	out = slices.DeleteFunc(out, func(q api.JobQueue) bool {
		return namespace != "" && q.Namespace != namespace && !(shared && q.Namespace == "")
	})
	slices.SortFunc(out, func(a, b api.JobQueue) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	return out, err
}

// queueViews are the queues and how they stand, by their names in plans.
func (d *Dispatcher) queueViews(now time.Time) map[string]api.JobQueue {
	out := map[string]api.JobQueue{functions.DefaultQueue: {Name: functions.DefaultQueue, Weight: functions.DefaultWeight}}
	for _, q := range d.Queues {
		out[q.Key().String()] = api.JobQueue{
			Namespace: q.Metadata.Namespace, Name: q.Metadata.Name, Guaranteed: q.Spec.Guaranteed, Max: q.Spec.Max, Weight: q.Spec.Weight,
		}
	}
	for name, v := range out {
		v.GPUHours, v.HalfLife = d.planner.Usage[name].At(now)/time.Hour.Seconds(), functions.Duration(jobs.UsageHalfLife).String()
		out[name] = v
	}
	for _, e := range d.jobs {
		x := d.job(e, now)
		v := out[x.Queue]
		if x.Running() {
			v.Held, v.Lent, v.Running = v.Held+x.GPUs-x.Lent, v.Lent+x.Lent, v.Running+1
		} else if e.Life.Phase == job.Queued {
			v.Waiting++
		}
		out[x.Queue] = v
	}
	return out
}
