package harness

import (
	"encoding/json"
	"path/filepath"
	"time"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// Namespace of the tests' functions.
const Namespace = "default"

// Key is the key of a test's function.
func Key(name string) functions.Key { return functions.Key{Namespace: Namespace, Name: name} }

// Function is a manifest for the tests' model server, quick to start and to leave. args are flags of e2e/modelserver.
func (p *Platform) Function(name string, args ...string) functions.Function {
	p.t.Helper()
	f := functions.Function{APIVersion: functions.APIVersion, Kind: functions.KindFunction}
	f.Metadata = functions.Metadata{Name: name, Namespace: Namespace}
	args = append([]string{"-record", p.BookFile(name), "-gpus", p.books}, args...)
	if p.o.Pods != nil {
		f.Spec.Runtime.Image, f.Spec.Runtime.Args = p.o.Pods.Image, args
	} else {
		f.Spec.Runtime.Local = &functions.Local{Command: []string{Bin(p.t, ModelServer)}, Args: args}
	}
	f.Spec.Runtime.Env = []functions.EnvVar{{Name: markVar, Value: p.Dir}}
	f.Spec.Runtime.Ready.Timeout = functions.Duration(time.Minute)
	f.Spec.Runtime.Drain.Grace = functions.Duration(10 * time.Second)
	f.Spec.Resources.GPUs = 1
	f.Spec.Scaling = functions.Scaling{Max: 1, Slots: 4, KeepAlive: "2s"}
	f.Spec.Queue.Attempts = 3
	f.Spec.Queue.Backoff = functions.Backoff{Initial: functions.Duration(100 * time.Millisecond), Max: functions.Duration(time.Second)}
	return f
}

// Apply deploys manifests and fails the test if that is refused.
func (p *Platform) Apply(fs ...functions.Function) []api.Applied {
	p.t.Helper()
	var out []api.Applied
	for _, f := range fs {
		applied, err := p.TryApply(f)
		if err != nil {
			p.t.Fatalf("apply %s: %v", f.Key(), err)
		}
		out = append(out, applied...)
	}
	return out
}

// TryApply deploys a manifest.
func (p *Platform) TryApply(f functions.Function) ([]api.Applied, error) {
	data, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	return p.API.Apply(p.t.Context(), f.Metadata.Name+".json", data, false)
}

// Get returns a function's state.
func (p *Platform) Get(name string) api.Function {
	p.t.Helper()
	f, err := p.API.Get(p.t.Context(), Key(name))
	if err != nil {
		p.t.Fatalf("get %s: %v", name, err)
	}
	return f
}

// Await waits until a function is as wanted.
func (p *Platform) Await(name, what string, ok func(api.Function) bool) api.Function {
	p.t.Helper()
	var f api.Function
	Eventually(p.t, name+": "+what, func() (bool, any) {
		var err error
		f, err = p.API.Get(p.t.Context(), Key(name))
		return err == nil && ok(f), brief(f, err)
	})
	return f
}

// brief is what a failed wait shows of a function.
func brief(f api.Function, err error) any {
	if err != nil {
		return err
	}
	return struct {
		Phase           scale.FunctionPhase
		Target, Ready   int
		Replicas        []api.Replica
		Pending         map[functions.Class]int
		Reason          scale.Reason
		Blocked, Wrong  string
		Served, Failed  uint64
		LastFailure     *api.Failure
		DecisionsInputs scale.Inputs
	}{f.Phase, f.Target, f.Ready, f.Replicas, f.Pending, f.Last.Reason, f.Blocked, f.Trouble, f.Served, f.Failed, f.Failure, f.Last.Inputs}
}

// AwaitZero waits until a function holds nothing: no replica, no process.
func (p *Platform) AwaitZero(name string) api.Function {
	p.t.Helper()
	f := p.Await(name, "at zero", func(f api.Function) bool {
		return f.Phase == scale.PhaseZero && f.Target == 0 && len(f.Replicas) == 0
	})
	return f
}

// AwaitGone waits until a deleted function is no longer listed.
func (p *Platform) AwaitGone(name string) {
	p.t.Helper()
	Eventually(p.t, name+" deleted", func() (bool, any) {
		list, err := p.API.List(p.t.Context(), "")
		for _, f := range list {
			if f.Key == Key(name) {
				return false, brief(f, err)
			}
		}
		return err == nil, err
	})
}

// BookFile is where a function's model servers keep their books.
func (p *Platform) BookFile(name string) string { return filepath.Join(p.books, name+".jsonl") }

// Books reads what a function's model servers did.
func (p *Platform) Books(name string) []Entry { return ReadBooks(p.t, p.BookFile(name)) }
