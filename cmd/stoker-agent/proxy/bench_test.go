package proxy

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// BenchmarkDo is one request to a model server that answers at once, 1 KiB there and back; its
// allocations include the server's.
func BenchmarkDo(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	}))
	b.Cleanup(s.Close)
	p := New(s.Listener.Addr().(*net.TCPAddr).Port, functions.Runtime{}, 1)
	e := events.Event{ID: "0c5d9a7e", DataContentType: "application/json", Data: make([]byte, 1<<10)}
	b.ReportAllocs()
	for b.Loop() {
		if a := p.Do(b.Context(), Call{Event: e, Limit: 1 << 20}); a.Verdict != Answered || len(a.Body) != len(e.Data) {
			b.Fatalf("verdict %v, %d bytes, %s", a.Verdict, len(a.Body), a.Message)
		}
	}
}
