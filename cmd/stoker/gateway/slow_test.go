package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
)

// deaf asks for something and never reads the answer; its own buffer is as small as the kernel makes it.
func (w *world) deaf(request string) net.Conn {
	w.t.Helper()
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		controlled := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 1) })
		if controlled != nil {
			return controlled
		}
		return err
	}}
	conn, err := d.DialContext(w.ctx(), "tcp", strings.TrimPrefix(w.server.URL, "http://"))
	must(w.t, err)
	w.t.Cleanup(func() { _ = conn.Close() })
	_, err = io.WriteString(conn, request)
	must(w.t, err)
	return conn
}

// A caller that never reads its answer is sent away, whether the answer comes whole or in pieces: it holds no place at
// the door, and others are served meanwhile.
func TestACallerThatNeverReadsIsSentAway(t *testing.T) {
	for name, extra := range map[string]string{"whole": "", "stream": "Accept: text/event-stream\r\n"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.gateway.patience.write = 5 * time.Second
			w.gateway.patience.look, w.gateway.patience.reply = standard.look, standard.reply // answers as large as this take a while
			answer := bytes.Repeat([]byte("x"), 900<<10)                                      // the broker's limit for a message is 1 MiB
			a := w.serve(fn, func(events.Request) (string, []byte) { return "text/plain", answer })
			const callers = 4
			for range callers {
				w.deaf(fmt.Sprintf("POST /functions/%s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n%s\r\n{}", fn, extra))
			}
			waited := false
			eventually(t, "all are answered", func() bool {
				all := a.served.Load() == callers
				waited = w.gateway.door.inside() > 0
				return all
			})
			if !waited {
				t.Fatal("the answer fits into the kernel's buffers: nobody waits, so nothing is tested")
			}
			if got := w.post("/functions/"+fn.String(), `{}`); got.StatusCode != http.StatusOK || len(got.body) != len(answer) {
				t.Errorf("a caller that reads got %d with %d bytes", got.StatusCode, len(got.body))
			}
			eventually(t, "nobody is inside any more", func() bool { return w.gateway.door.inside() == 0 })
		})
	}
}

// A caller that never finishes its request is told so; one whose answer takes longer than a request may is not.
func TestReadingIsBoundedAndWaitingIsNot(t *testing.T) {
	w := newWorld(t)
	w.gateway.patience.read = 3 * time.Second
	w.serve(fn, func(events.Request) (string, []byte) {
		<-time.After(2 * w.gateway.patience.read) // it works that long
		return "text/plain", []byte("ok")
	})
	if got := w.post("/functions/"+fn.String(), `{}`); got.StatusCode != http.StatusOK {
		t.Errorf("a slow answer: %d %s", got.StatusCode, got.body)
	}
	conn := w.deaf(fmt.Sprintf("POST /functions/%s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\n{}", fn))
	must(t, conn.SetReadDeadline(time.Now().Add(inTime)))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(t, err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestTimeout {
		t.Errorf("an unfinished request: %s, want 408", resp.Status)
	}
	eventually(t, "nobody is inside any more", func() bool { return w.gateway.door.inside() == 0 })
}

// A stream that has nothing to say for longer than a write may take goes on, by HTTP/2 too.
func TestASilentStreamGoesOn(t *testing.T) {
	for name, two := range map[string]bool{"HTTP/1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.gateway.patience.write = 3 * time.Second
			server := httptest.NewUnstartedServer(w.gateway.Handler())
			server.EnableHTTP2 = two
			server.StartTLS()
			t.Cleanup(server.Close)
			from, to := io.Pipe()
			w.control.output = from
			logs, err := api.NewClient(server.URL, testToken, server.Client()).Logs(w.ctx(), fn, "r-7", 0, true)
			must(t, err)
			defer logs.Close()
			buf := make([]byte, 100)
			for _, line := range []string{"one\n", "two\n", "three\n"} {
				<-time.After(2 * w.gateway.patience.write) // the silence
				if _, err := io.WriteString(to, line); err != nil {
					t.Fatal(err)
				}
				if n, err := logs.Read(buf); err != nil || string(buf[:n]) != line {
					t.Fatalf("%q, %v, want %q", buf[:n], err, line)
				}
			}
			must(t, to.Close())
		})
	}
}
