package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"

	"stoker.dev/stoker/activities/checkpoints"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/scale/job/contract"
)

// podRank is a rank in a container of its own. Its agent is the container's first process, put there from a
// volume, and the container's environment is the program's. Where the other ranks are is known once every
// Pod of the gang runs, and which checkpoints there are only where they are mounted: so the rank looks for
// those before it arrives at the barrier, and the order to open brings the rest.
type podRank struct {
	place    contract.Place
	found    atomic.Pointer[string] // the checkpoint that a gang begun now would begin with; nil: not looked yet
	clearing atomic.Bool
}

// errNotFoundYet is the answer to a question that comes too early.
var errNotFoundYet = errors.New("the checkpoints have not been looked for yet; ask again once the rank is at the barrier")

// answer is the checkpoint to begin with.
func (p *podRank) answer() (string, error) {
	found := p.found.Load()
	if found == nil {
		return "", errNotFoundYet
	}
	return *found, nil
}

// inPod tells whether this is a rank in a container of its own.
func (a *agent) inPod() bool { return a.c.Rank != nil && len(a.c.Rank.Place) > 0 }

// arrive does what comes before the barrier.
func (a *agent) arrive() error {
	if !a.inPod() {
		return nil
	}
	p := &a.pod
	if err := json.Unmarshal(a.c.Rank.Place, &p.place); err != nil {
		return fmt.Errorf("the place of this rank: %w", err)
	}
	if err := os.MkdirAll(p.place.Dir, 0o755); err != nil {
		return fmt.Errorf("the rank's own directory: %w", err)
	}
	dir := p.place.CheckpointDir
	if err := checkpoints.Prepare(dir); err != nil {
		return fmt.Errorf("checkpoint directory: %w; the volume must be writable for the user that the image runs as", err)
	}
	there, err := checkpoints.List(dir)
	if err != nil {
		return fmt.Errorf("checkpoint directory: %w", err)
	}
	found, err := contract.Resume(p.place.Spec.Checkpoint.Resume, dir, there)
	if err != nil {
		return err
	}
	p.found.Store(&found)
	return nil
}

// opened completes, behind the barrier, what the program is started with.
func (a *agent) opened() error {
	if !a.inPod() {
		return nil
	}
	place, o := a.pod.place, a.barrier.opening
	place.Addresses, place.ResumeFrom = o.Addresses, o.ResumeFrom
	vars, err := contract.Environment(place)
	if err != nil {
		return err
	}
	a.c.Env = os.Environ() // weaker than what the contract says
	for _, v := range vars {
		a.c.Env = append(a.c.Env, v.Name+"="+v.Value)
	}
	a.c.Command = expand(a.c.Command, a.c.Env)
	if place.Spec.Framework != functions.FrameworkMPI {
		return nil
	}
	hosts, err := contract.Hostfile(place)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(place.Dir, contract.HostFile), []byte(hosts), 0o644)
}

// reference is $(NAME) in a command; $$ is a dollar sign.
var reference = regexp.MustCompile(`\$(\$|\([A-Za-z_][A-Za-z0-9_.-]*\))`)

// expand puts the values of variables into a command, as a kubelet does into that of a container: one that
// is not known stays as it is. A kubelet does not know what a rank hears at the barrier.
func expand(command, env []string) []string {
	out := make([]string, len(command))
	for i, arg := range command {
		out[i] = reference.ReplaceAllStringFunc(arg, func(match string) string {
			if match == "$$" {
				return "$"
			}
			prefix := match[2:len(match)-1] + "="
			for _, kv := range slices.Backward(env) {
				if value, is := strings.CutPrefix(kv, prefix); is {
					return value
				}
			}
			return match
		})
	}
	return out
}

// output is where a container's logs are taken from.
func (a *agent) output() io.Writer {
	if a.inPod() {
		return os.Stdout
	}
	return nil
}

// clearOld removes old checkpoints beside the training, one look at a time. Rank 0 does it for all.
func (a *agent) clearOld() {
	saved := a.rank.Said().Saved
	if !a.inPod() || a.c.Rank.Rank != 0 || saved == nil || !a.pod.clearing.CompareAndSwap(false, true) {
		return
	}
	place := a.pod.place
	keeping := contract.Keeping{
		Checkpoint: place.Spec.Checkpoint, Submitted: place.Submitted, Saved: job.Saved{Path: saved.Path, Step: saved.Step}, AtWork: true,
	}
	go func() {
		defer a.pod.clearing.Store(false)
		if err := checkpoints.ClearOld(place.CheckpointDir, keeping); err != nil {
			a.log.Warn("old checkpoints not cleared", "err", err)
		}
	}()
}

// podEnd makes the program's exit code the container's, for whoever looks at that.
func (a *agent) podEnd(e end) end {
	if a.inPod() {
		e.code = cmp.Or(e.code, e.serverCode)
	}
	return e
}

// install puts this program where a path says, so that a container of any image can run it.
func install(path string) error {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("install %s: %w", path, err)
	}
	defer self.Close()
	to, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return fmt.Errorf("install %s: %w", path, err)
	}
	_, err = io.Copy(to, self)
	if err := errors.Join(err, to.Close()); err != nil {
		return fmt.Errorf("install %s: %w", path, err)
	}
	return nil
}
