package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// The pause between two probes: short at first, because a small server is up within
// milliseconds and every one of them is somebody's wait, then growing to a rate that a
// server which loads for minutes does not notice.
const (
	firstProbe  = 5 * time.Millisecond
	lastProbe   = 250 * time.Millisecond
	probeGrowth = 1.5
)

// probeTimeout bounds one probe; a server that is busy loading may accept and not answer.
const probeTimeout = 2 * time.Second

// WaitReady asks url until it answers 200. It ends with [ErrNeverReady] when timeout is
// over, with [ErrExited] when the server went, and with ctx's error.
func (s *Server) WaitReady(ctx context.Context, url string, timeout time.Duration) error {
	return waitReady(ctx, s, url, timeout)
}

// ended is what waiting needs to know of a server.
type ended interface {
	Done() <-chan struct{}
	Exit() Exit
}

func waitReady(ctx context.Context, s ended, url string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, ErrNeverReady)
	defer cancel()
	client := &http.Client{Timeout: probeTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	for pause := firstProbe; ; pause = min(time.Duration(float64(pause)*probeGrowth), lastProbe) {
		last := probe(ctx, client, url)
		if last == nil {
			return nil
		}
		select {
		case <-time.After(pause):
		case <-s.Done():
			return fmt.Errorf("%w before it was ready: %s", ErrExited, s.Exit())
		case <-ctx.Done():
			return fmt.Errorf("%w: GET %s within %s, last: %w", context.Cause(ctx), url, timeout, last)
		}
	}
}

func probe(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 1<<10)
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", resp.Status)
	}
	return nil
}

// FreePort picks a TCP port on loopback that nobody listens on right now. Somebody may take
// it before the model server does, which then exits and is started again elsewhere.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
