package gateway

import (
	"errors"
	"net/http"
	"time"
)

// writeWithin bounds one write to a caller that does not read what it gets.
const writeWithin = 30 * time.Second

// live writes an answer while it comes into being.
type live struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

// open sends the headers, so that a caller knows that it is connected.
func open(w http.ResponseWriter, content string) *live {
	w.Header().Set("Content-Type", content)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	l := &live{w, http.NewResponseController(w)}
	_ = l.control.Flush() // a writer that cannot flush still writes
	return l
}

// Write sends p at once.
func (l *live) Write(p []byte) (int, error) { return len(p), l.send(p) }

func (l *live) send(p []byte) error {
	if err := l.until(time.Now().Add(writeWithin)); err != nil {
		return err
	}
	if _, err := l.w.Write(p); err != nil {
		return err
	}
	if err := l.control.Flush(); err != nil {
		return err
	}
	return l.until(time.Time{}) // the end of the answer may come much later
}

// until sets the time by which writes must be done. A writer without deadlines, such as a
// test's recorder, is as good.
func (l *live) until(t time.Time) error {
	if err := l.control.SetWriteDeadline(t); !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}
