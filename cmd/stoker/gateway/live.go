package gateway

import "net/http"

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
	if _, err := l.w.Write(p); err != nil {
		return err
	}
	return l.control.Flush()
}
