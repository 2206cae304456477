package kubetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// restartPause is between two restarts of a container; the first restart is at once. A kubelet pauses for 10 s, and
// twice as long each time.
const restartPause = time.Second

// Exit codes as container runtimes report them.
const (
	killedCode   = 137 // SIGKILL
	cannotRun    = 128 // the command did not start
	completed    = 0
	unknownState = "ContainerStatusUnknown"
)

// container is one container of a Pod on a host node, through all its restarts.
type container struct {
	pod   *podRun
	spec  *corev1.Container
	init  bool
	gpus  []string
	begun chan struct{} // closed when it has started, by its startup probe
	over  chan struct{} // closed when it will not run (again)

	supervised bool // by supervise, which closes over

	starting sync.Mutex // held while an instance is started
	closed   bool       // guarded by starting: none is started any more

	mu       sync.Mutex
	state    corev1.ContainerState
	last     corev1.ContainerState
	restarts int32
	ready    bool
	started  bool
	oom      bool
	now      *instance
	setting  *setting // of the current or last instance
}

// setting is what a container's command runs with.
type setting struct {
	argv, env []string
	dir       string
	rewriter  rewriter
}

func newContainer(p *podRun, spec *corev1.Container, isInit bool) *container {
	reason := "ContainerCreating"
	if isInit || len(p.pod.Spec.InitContainers) > 0 {
		reason = "PodInitializing"
	}
	return &container{
		pod: p, spec: spec, init: isInit, begun: make(chan struct{}), over: make(chan struct{}),
		state: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}},
	}
}

func (c *container) sidecar() bool {
	return c.init && c.spec.RestartPolicy != nil && *c.spec.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// restartsAfter tells whether the container is started again after it ended with code.
func (c *container) restartsAfter(code int) bool {
	policy := c.pod.last().Spec.RestartPolicy
	switch {
	case c.sidecar():
		return true
	case policy == corev1.RestartPolicyNever, c.init && code == completed:
		return false
	case policy == corev1.RestartPolicyOnFailure:
		return code != completed
	}
	return true
}

// close keeps the container from being started again. When it returns, [container.running] tells what is to be ended.
func (c *container) close() {
	c.starting.Lock()
	defer c.starting.Unlock()
	c.closed = true
}

// begins has the container run, by supervise.
func (c *container) begins(ctx context.Context) {
	c.supervised = true
	go c.supervise(ctx)
}

// awaitTurnOfNext waits until the container after this init container may start: a sidecar has started, any other
// has succeeded. It is false if that will not happen.
func (c *container) awaitTurnOfNext(ctx context.Context) bool {
	if c.sidecar() {
		select {
		case <-c.begun:
			return true
		case <-ctx.Done():
			return false
		}
	}
	select {
	case <-c.over:
		return c.exitCode() == completed
	case <-ctx.Done():
		return false
	}
}

// supervise runs the container until it has ended for good or the context has. It leaves a running instance to whoever
// ended the context.
func (c *container) supervise(ctx context.Context) {
	defer close(c.over)
	for {
		i := c.launch(ctx)
		if i != nil {
			c.attend(ctx, i)
		}
		if ctx.Err() != nil || !c.restartsAfter(c.exitCode()) {
			return
		}
		if c.awaitRestart(ctx) != nil {
			return
		}
	}
}

// attend probes a running instance until it has ended, and takes down how.
func (c *container) attend(ctx context.Context, i *instance) {
	probing, cancel := context.WithCancel(ctx)
	var probes sync.WaitGroup
	probes.Go(func() { c.probe(probing, i) })
	<-i.ended
	cancel()
	probes.Wait()
	c.set(func() {
		c.state = corev1.ContainerState{Terminated: c.terminated(i)}
		c.now, c.ready, c.started = nil, false, false
	})
}

func (c *container) terminated(i *instance) *corev1.ContainerStateTerminated {
	code := i.code
	if code < 0 { // the shim itself was killed, and the command with it
		code = killedCode
	}
	reason := "Error"
	switch {
	case c.oom:
		reason = "OOMKilled"
	case code == completed:
		reason = "Completed"
	}
	c.oom = false
	return &corev1.ContainerStateTerminated{
		ExitCode: int32(code), Reason: reason, StartedAt: metav1.NewTime(i.started), FinishedAt: metav1.NewTime(i.stopped),
		ContainerID: c.id(), Message: c.message(code),
	}
}

// awaitRestart counts a restart, and pauses before all but the first.
func (c *container) awaitRestart(ctx context.Context) error {
	var first bool
	c.set(func() {
		first = c.restarts == 0
		c.restarts++
		c.last = c.state
		if !first {
			c.state = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{
				Reason: "CrashLoopBackOff", Message: fmt.Sprintf("back-off %s restarting failed container=%s", restartPause, c.spec.Name),
			}}
		}
	})
	if first {
		return nil
	}
	err := pause(ctx, restartPause)
	if err != nil {
		c.set(func() { c.state = c.last })
	}
	return err
}

// launch starts the command. What is missing meanwhile (an image, a Secret) is waited for and shown. It returns nil if
// the context ended before, or the command did not start.
func (c *container) launch(ctx context.Context) *instance {
	for {
		s, why := c.prepare(ctx)
		if why == nil {
			return c.begin(s)
		}
		c.set(func() { c.state = corev1.ContainerState{Waiting: why} })
		if pause(ctx, retryEvery) != nil {
			return nil
		}
	}
}

func (c *container) begin(s *setting) *instance {
	c.starting.Lock()
	defer c.starting.Unlock()
	if c.closed {
		return nil
	}
	i, err := startInstance(c.pod.node.shim, s.argv, s.env, s.dir, c.logPath())
	now := metav1.Now()
	c.set(func() {
		c.setting = s
		if err != nil {
			c.state = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
				ExitCode: cannotRun, Reason: "StartError", Message: err.Error(), StartedAt: now, FinishedAt: now, ContainerID: c.id(),
			}}
			return
		}
		c.now = i
		c.state = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(i.started)}}
	})
	if err != nil {
		return nil
	}
	return i
}

// prepare resolves what the command runs with, or says what it waits for.
func (c *container) prepare(ctx context.Context) (*setting, *corev1.ContainerStateWaiting) {
	pod := c.pod.last()
	image, ok := c.pod.node.images[c.spec.Image]
	if !ok {
		return nil, &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: fmt.Sprintf("image %q is none of node %s", c.spec.Image, c.pod.node.Name)}
	}
	v := volumes{c.pod.node.cluster.client, pod, c.spec, c.pod.dir}
	r := newRewriter(c.pod.mapped(), c.spec, v.dirs(), c.messageFile())
	dir := filepath.Join(c.pod.dir, c.spec.Name)
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(c.messageFile(), nil, 0o600)); err != nil {
		return nil, &corev1.ContainerStateWaiting{Reason: "CreateContainerError", Message: err.Error()}
	}
	if err := v.fill(ctx, r); err != nil {
		return nil, &corev1.ContainerStateWaiting{Reason: "ContainerCreating", Message: err.Error()}
	}
	vars, err := environment(ctx, c.pod.node.cluster.client, pod, c.spec, r)
	if err != nil {
		return nil, &corev1.ContainerStateWaiting{Reason: "CreateContainerConfigError", Message: err.Error()}
	}
	if len(c.gpus) > 0 {
		vars[visibleDevices] = joined(c.gpus)
	}
	if c.spec.WorkingDir != "" {
		dir = r.value(c.spec.WorkingDir)
	}
	return &setting{argv: command(c.spec, image, vars, r), env: environ(pod, vars, filepath.Join(c.pod.dir, c.spec.Name)), dir: dir, rewriter: r}, nil
}

// command is what runs: the container's own command or its image's, with the container's arguments.
func command(spec *corev1.Container, image Image, vars map[string]string, r rewriter) []string {
	argv := slices.Clone(image.Entrypoint)
	if len(spec.Command) > 0 {
		argv = nil
		for i, arg := range spec.Command {
			if program, ok := image.Programs[arg]; ok && i == 0 {
				argv = append(argv, program)
				continue
			}
			argv = append(argv, r.value(expand(arg, vars)))
		}
	}
	for _, arg := range spec.Args {
		argv = append(argv, r.value(expand(arg, vars)))
	}
	return argv
}

// refresh brings the downward API's volumes of a container that runs up to what the Pod says now. A kubelet takes up
// to a minute.
func (c *container) refresh() {
	c.mu.Lock()
	s := c.setting
	c.mu.Unlock()
	if s == nil || len(c.spec.VolumeMounts) == 0 {
		return
	}
	v := volumes{c.pod.node.cluster.client, c.pod.last(), c.spec, c.pod.dir}
	if err := v.refresh(s.rewriter); err != nil {
		c.note("the downward API's files: " + err.Error())
	}
}

func (p *podRun) mapped() map[int32]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ports
}

// beginOnce lets the containers after this one start.
func (c *container) beginOnce() {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.begun:
	default:
		close(c.begun)
	}
}

// set changes the container's state and has it told.
func (c *container) set(change func()) {
	c.mu.Lock()
	change()
	c.mu.Unlock()
	c.pod.touch()
}

func (c *container) exitCode() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.Terminated == nil {
		return killedCode
	}
	return int(c.state.Terminated.ExitCode)
}

// waiting is why the container waits, or "".
func (c *container) waiting() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.Waiting == nil {
		return ""
	}
	return c.state.Waiting.Reason
}

// running is the instance that runs now, or nil.
func (c *container) running() *instance {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now == nil || !c.now.running() {
		return nil
	}
	return c.now
}

func (c *container) kill() {
	if i := c.running(); i != nil {
		i.kill()
	}
}

// id looks like a container runtime's, and tells restarts apart.
func (c *container) id() string {
	return fmt.Sprintf("kubetest://%s/%s/%d", c.pod.uid, c.spec.Name, c.restarts)
}

func (c *container) logPath() string { return filepath.Join(c.pod.dir, c.spec.Name+".log") }

// notePath is of what the node itself has to say about the container, which a kubelet makes Events of.
func (c *container) notePath() string { return filepath.Join(c.pod.dir, c.spec.Name+".notes") }

// note adds a line to that.
func (c *container) note(text string) {
	f, err := os.OpenFile(c.notePath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	fmt.Fprintln(f, text)
}
