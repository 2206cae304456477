package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"time"
)

// How much a request with do=eat takes: more than any test's limit, less than a machine has.
const (
	eatMiB   = 1 << 10
	pageSize = 4 << 10
)

// question is what the tests send: anything, and what should happen to it.
type question struct {
	Do    string `json:"do"`
	Delay string `json:"delay"` // a duration, instead of -delay
}

func (s *server) answer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var q question
	_ = json.Unmarshal(body, &q) // any payload is fine
	id := r.Header.Get("X-Request-Id")
	s.note(entry{What: "begin", ID: id, Body: string(body)})
	if q.Do == doCrash {
		s.note(entry{What: "quit", ID: id})
		fmt.Fprintln(os.Stderr, "CUDA error: an illegal memory access was encountered (not really)")
		os.Exit(5) //nolint:forbidigo // 2026-11-23: to crash in the middle of a request is what was asked for
	}
	if q.Do == doEat {
		eat()
	}
	if !s.work(r, q) {
		return
	}
	s.note(entry{What: "end", ID: id})
	if strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		s.stream(w, r, q)
		return
	}
	s.whole(w, r, q, body)
	if s.mode == modeExitAfter {
		_ = http.NewResponseController(w).Flush()
		os.Exit(4) //nolint:forbidigo // 2026-11-23: to exit after an answer is what was asked for
	}
}

// eat takes memory, and touches it, until there is none.
func eat() {
	var eaten [][]byte
	for range eatMiB {
		block := make([]byte, 1<<20)
		for i := 0; i < len(block); i += pageSize {
			block[i] = 1
		}
		eaten = append(eaten, block)
	}
	runtime.KeepAlive(eaten)
}

// work takes the time a request takes; false when the caller went away.
func (s *server) work(r *http.Request, q question) bool {
	d := s.delay
	if own, err := time.ParseDuration(q.Delay); err == nil {
		d = own
	}
	if s.mode == modeHang || q.Do == doHang {
		<-r.Context().Done()
		return false
	}
	select {
	case <-time.After(d):
		return true
	case <-r.Context().Done():
		return false
	}
}

func (s *server) whole(w http.ResponseWriter, r *http.Request, q question, body []byte) {
	switch q.Do {
	case doFail:
		http.Error(w, "out of memory", http.StatusInternalServerError)
		return
	case doRefuse:
		http.Error(w, "no such model", http.StatusBadRequest)
		return
	case doTell:
		tell(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	answer, err := json.Marshal(map[string]any{
		"echo": string(body), "replica": os.Getenv("STOKER_REPLICA_ID"), "tag": s.tag, "path": r.URL.Path,
		"event": r.Header.Get("Ce-Id"), "type": r.Header.Get("Ce-Type"), "padding": strings.Repeat("x", s.size),
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
	_, _ = w.Write(answer)
}

// tell is what a careless model server does: it prints its token, and shows its environment to whoever asks.
func tell(w http.ResponseWriter) {
	env, err := os.ReadFile("/proc/self/environ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(os.Stderr, "downloading with token", os.Getenv("HUB_TOKEN"))
	_, _ = io.WriteString(w, strings.ReplaceAll(strings.TrimSuffix(string(env), "\x00"), "\x00", "\n"))
}

// stream sends server-sent events as OpenAI's servers do.
func (s *server) stream(w http.ResponseWriter, r *http.Request, q question) {
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	pace := max(s.delay/time.Duration(max(s.chunks, 1)), time.Millisecond)
	padding := strings.Repeat("x", s.size)
	for i := range s.chunks {
		if q.Do == doBreak && i == s.chunks/2 {
			os.Exit(6) //nolint:forbidigo // 2026-11-23: to break a stream is what was asked for
		}
		fmt.Fprintf(w, "data: {\"choices\":[{\"text\":\"piece-%d %s\"}],\"replica\":%q}\n\n", i, padding, os.Getenv("STOKER_REPLICA_ID"))
		if out.Flush() != nil {
			return
		}
		select {
		case <-time.After(pace):
		case <-r.Context().Done():
			return
		}
	}
	fmt.Fprint(w, "data: [DONE]\n\n")
	_ = out.Flush()
}
