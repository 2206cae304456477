package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/prometheus/procfs"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/datadir"
)

// How long a platform in a process of its own may take to be ready, and how often it is looked.
const (
	readyWithin = 2 * time.Minute
	readyEvery  = 20 * time.Millisecond
)

// up is a `stoker up` in a process of its own, with embedded servers and a data directory of its
// own: what it costs is what that process costs.
type up struct {
	*child
	probe
	name   string
	dir    string
	server datadir.Server
	client *api.Client
	proc   procfs.Proc
}

// startUp runs program and returns once the platform is ready, which it has to be within a time.
func startUp(ctx context.Context, within time.Duration, program, dir, name, agent string, progress io.Writer) (*up, error) {
	u := &up{name: name, dir: filepath.Join(dir, name)}
	args := []string{"up", "--data-dir", u.dir, "--listen", "127.0.0.1:0", "--random-ports", "--drain-grace", "1s", "--log-level", "warn"}
	if agent != "" {
		args = append(args, "--agent", agent)
	}
	fmt.Fprintf(progress, "starting a platform: %s\n", name)
	c, err := startChild(program, []string{"STOKER_NATS_URL=", "STOKER_TEMPORAL_ADDRESS=", "STOKER_PROVIDER=local"}, u.dir+".log", args...)
	if err != nil {
		return nil, err
	}
	u.child = c
	if err := u.awaitReady(ctx, within); err != nil {
		return nil, errors.Join(err, u.stop(context.WithoutCancel(ctx)))
	}
	u.probe = probe{url: u.server.HTTP, db: filepath.Join(u.dir, "temporal.db")}
	u.client = api.NewClient(u.server.HTTP, u.server.AdminToken, nil)
	u.proc, err = procfs.NewProc(u.cmd.Process.Pid)
	return u, err
}

func (u *up) awaitReady(ctx context.Context, within time.Duration) error {
	return u.await(ctx, within, "ready", func() (ok bool, err error) {
		u.server, err = datadir.ReadServer(u.dir)
		if errors.Is(err, datadir.ErrNotRunning) {
			return false, nil
		}
		return err == nil, err
	})
}

// await looks until done says so, the process ends, or time is up.
func (u *up) await(ctx context.Context, timeout time.Duration, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		if u.gone() {
			return fmt.Errorf("the platform %s ended:\n%s", u.name, u.tail())
		}
		if err := pause(ctx, readyEvery); err != nil {
			return fmt.Errorf("the platform %s is not %s: %w\n%s", u.name, what, err, u.tail())
		}
	}
}

// usage is what the process has used by now.
type usage struct {
	at  time.Time
	cpu float64 // seconds
	rss float64 // MB, of 10^6 bytes
}

func (u *up) usage() (usage, error) {
	st, err := u.proc.Stat()
	return usage{at: time.Now(), cpu: st.CPUTime(), rss: float64(st.ResidentMemory()) / 1e6}, err
}
