package kubetest

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Defaults of probes, as the API server fills them in for Pods that leave them out.
const (
	defaultPeriod    = 10 * time.Second
	defaultTimeout   = time.Second
	defaultFailures  = 3
	defaultSuccesses = 1
)

// shownBody is how much of a failed answer a message repeats.
const shownBody = 200

// handle runs a lifecycle hook. The context bounds it.
func (c *container) handle(ctx context.Context, h *corev1.LifecycleHandler) error {
	switch {
	case h.HTTPGet != nil:
		return c.get(ctx, h.HTTPGet)
	case h.Exec != nil:
		return c.exec(ctx, h.Exec)
	case h.TCPSocket != nil:
		return c.dial(ctx, h.TCPSocket)
	case h.Sleep != nil:
		return pause(ctx, time.Duration(h.Sleep.Seconds)*time.Second)
	}
	return nil
}

// get asks the container's server at the port it has on this host.
func (c *container) get(ctx context.Context, action *corev1.HTTPGetAction) error {
	port, err := c.hostPort(action.Port)
	if err != nil {
		return err
	}
	url := fmt.Sprintf("%s://%s:%d/%s", strings.ToLower(string(cmp.Or(action.Scheme, corev1.URISchemeHTTP))), loopback, port, strings.TrimPrefix(action.Path, "/"))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	for _, header := range action.HTTPHeaders {
		req.Header.Add(header.Name, header.Value)
	}
	client := unverified()
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, shownBody))
	if err == nil && (resp.StatusCode < http.StatusOK || resp.StatusCode >= http.StatusBadRequest) {
		err = fmt.Errorf("GET %s: %s: %s", url, resp.Status, body)
	}
	return err
}

func (c *container) dial(ctx context.Context, action *corev1.TCPSocketAction) error {
	port, err := c.hostPort(action.Port)
	if err != nil {
		return err
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", fmt.Sprintf("%s:%d", loopback, port))
	if err != nil {
		return err
	}
	return conn.Close()
}

// exec runs a command with the container's variables and files.
func (c *container) exec(ctx context.Context, action *corev1.ExecAction) error {
	c.mu.Lock()
	s := c.setting
	c.mu.Unlock()
	if s == nil || len(action.Command) == 0 {
		return fmt.Errorf("container %s does not run, or its hook names no command", c.spec.Name)
	}
	var argv []string
	for i, arg := range action.Command { // these are not expanded, as in a container
		if program, ok := c.pod.node.images[c.spec.Image].Programs[arg]; ok && i == 0 {
			arg = program
		}
		argv = append(argv, s.rewriter.value(arg))
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = s.env, s.dir
	cmd.WaitDelay = time.Second // its children may hold its output
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("run %q: %w: %s", action.Command, err, out[:min(len(out), shownBody)])
	}
	return nil
}

// hostPort is the port on this host for one that a Pod gives by its number or its name.
func (c *container) hostPort(port intstr.IntOrString) (int, error) {
	number := port.IntVal
	if port.Type == intstr.String {
		for _, declared := range c.spec.Ports {
			if declared.Name == port.StrVal {
				number = declared.ContainerPort
			}
		}
	}
	if number == 0 {
		return 0, fmt.Errorf("container %s declares no port %s", c.spec.Name, port.String())
	}
	if mine, ok := c.pod.mapped()[number]; ok {
		return mine, nil
	}
	return int(number), nil
}

// probe runs the container's probes while an instance runs.
func (c *container) probe(ctx context.Context, i *instance) {
	if c.spec.StartupProbe != nil && !c.passes(ctx, c.spec.StartupProbe, "startup", i, func(bool) {}, true) {
		return
	}
	c.set(func() {
		c.started = true
		c.ready = c.spec.ReadinessProbe == nil
	})
	c.beginOnce()
	alive, end := context.WithCancel(ctx)
	defer end()
	if c.spec.LivenessProbe != nil {
		go c.passes(alive, c.spec.LivenessProbe, "liveness", i, func(bool) {}, false)
	}
	if c.spec.ReadinessProbe != nil {
		c.passes(alive, c.spec.ReadinessProbe, "readiness", nil, func(ok bool) { c.set(func() { c.ready = ok }) }, false)
	}
	<-ctx.Done()
}

// passes probes until the context ends, or once it has succeeded if that is enough. It tells changes, and ends the
// victim after too many failures.
func (c *container) passes(ctx context.Context, probe *corev1.Probe, kind string, victim *instance, tell func(bool), once bool) bool {
	period := cmp.Or(time.Duration(probe.PeriodSeconds)*time.Second, defaultPeriod)
	timeout := cmp.Or(time.Duration(probe.TimeoutSeconds)*time.Second, defaultTimeout)
	if pause(ctx, time.Duration(probe.InitialDelaySeconds)*time.Second) != nil {
		return false
	}
	var successes, failures int32
	for {
		attempt, cancel := context.WithTimeout(ctx, timeout)
		err := c.check(attempt, &probe.ProbeHandler)
		cancel()
		switch {
		case ctx.Err() != nil:
			return false
		case err == nil:
			successes, failures = successes+1, 0
		default:
			successes, failures = 0, failures+1
		}
		if successes == cmp.Or(probe.SuccessThreshold, defaultSuccesses) {
			tell(true)
			if once {
				return true
			}
		}
		if failures == cmp.Or(probe.FailureThreshold, defaultFailures) {
			tell(false)
			if victim != nil {
				c.note(fmt.Sprintf("failed the %s probe and will be killed: %v", kind, err))
				c.stopInstance(ctx, victim)
				return false
			}
		}
		if pause(ctx, period) != nil {
			return false
		}
	}
}

func (c *container) check(ctx context.Context, h *corev1.ProbeHandler) error {
	return c.handle(ctx, &corev1.LifecycleHandler{Exec: h.Exec, HTTPGet: h.HTTPGet, TCPSocket: h.TCPSocket})
}
