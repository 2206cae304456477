package gateway

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// unhurried keeps callers that do not read, or never finish their request, from holding a
// goroutine, an answer and a place at the door for ever. How long an answer takes to come is not
// bounded by it.
func (g *Gateway) unhurried(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		if r.ContentLength != 0 {
			_ = control.SetReadDeadline(time.Now().Add(g.patience.read)) // a recorder has no deadlines
			r.Body = &timed{ReadCloser: r.Body, done: func() { _ = control.SetReadDeadline(time.Time{}) }}
		}
		next.ServeHTTP(&bounded{ResponseWriter: w, control: control, within: g.patience.write}, r)
	})
}

// bounded gives each write its time, and what comes between them as long as it takes.
type bounded struct {
	http.ResponseWriter
	control *http.ResponseController
	within  time.Duration
}

// Unwrap lets a response controller reach the connection.
func (b *bounded) Unwrap() http.ResponseWriter { return b.ResponseWriter }

func (b *bounded) Write(p []byte) (int, error) {
	_ = b.control.SetWriteDeadline(time.Now().Add(b.within)) // a recorder has no deadlines
	return b.ResponseWriter.Write(p)
}

// FlushError lets a response controller flush. What is flushed is out, so no bound is left: HTTP/2
// ends a stream whose bound passes, also while there is nothing to write.
func (b *bounded) FlushError() error {
	_ = b.control.SetWriteDeadline(time.Now().Add(b.within)) // a recorder has no deadlines
	err := b.control.Flush()
	_ = b.control.SetWriteDeadline(time.Time{})
	return err
}

// timed ends the bound on reading once the body is read: what follows is the wait for the answer,
// during which the server listens whether the caller is still there.
type timed struct {
	io.ReadCloser
	done func()
}

func (t *timed) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		t.done()
	}
	return n, err
}
