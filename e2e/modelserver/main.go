// Command modelserver is a model server for the end-to-end tests: real HTTP, no model. It can be slow, stream,
// crash, hang, answer garbage, never become ready, or leave a process behind that outlives it.
//
// It keeps honest books. Every request it runs is appended to -record, and every GPU it was given is locked with
// flock(2) for as long as any process of its tree lives: two holders of one GPU, however briefly, are seen by the
// second one and recorded as a conflict.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Modes of the whole server.
const (
	modeServe      = "serve"       // answers
	modeNeverReady = "never-ready" // listens, its probe never answers 200
	modeNoStart    = "no-start"    // exits 3 before it listens
	modeGarbage    = "garbage"     // answers what is no HTTP
	modeHang       = "hang"        // takes requests, never answers
	modeExitAfter  = "exit-after"  // exits 4 after each request it answered
	modeGrandchild = "grandchild"  // leaves a process of another session behind, which ignores SIGTERM
	modeDaemon     = "daemon"      // the same, and that process's parent is gone from the start
	modeOutlive    = "outlive"     // that process
	modeForked     = "forked"      // its parent: starts it and exits
)

// Things one request may ask for with its field "do".
const (
	doCrash  = "crash"  // exit 5 in the middle of it
	doFail   = "fail"   // answer 500
	doHang   = "hang"   // answer never
	doBreak  = "break"  // in a stream: exit 6 after the first half
	doRefuse = "refuse" // answer 400
	doEat    = "eat"    // take a gigabyte of memory
	doTell   = "tell"   // print $HUB_TOKEN, and answer with its environment as the kernel has it
)

// server is what a replica runs.
type server struct {
	mode   string
	record string
	gpus   string // directory of the locks
	delay  time.Duration
	load   time.Duration
	chunks int
	size   int    // of a chunk's padding, in bytes
	tag    string // answered with, to tell revisions apart

	inherited int // locks that came from the process before

	ready atomic.Bool
	locks []*os.File
}

func main() {
	s := &server{}
	flag.StringVar(&s.mode, "mode", modeServe, "serve, never-ready, no-start, garbage, hang, exit-after, grandchild or daemon")
	flag.StringVar(&s.record, "record", "", "file to which every request is appended")
	flag.StringVar(&s.gpus, "gpus", "", "directory of the GPUs' locks")
	flag.DurationVar(&s.delay, "delay", 0, "time one request takes")
	flag.DurationVar(&s.load, "load", 0, "time from start to ready")
	flag.IntVar(&s.chunks, "chunks", 4, "events of a streamed answer")
	flag.IntVar(&s.size, "chunk-size", 0, "bytes that pad each event of a streamed answer, and an answer in one piece")
	flag.IntVar(&s.inherited, "inherited", 0, "locks handed on, for what the modes grandchild and daemon start")
	flag.StringVar(&s.tag, "tag", "", "comes back with every answer")
	flag.Parse()
	if err := s.run(); err != nil {
		fmt.Fprintln(os.Stderr, "modelserver:", err)
		os.Exit(1)
	}
}

func (s *server) run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	switch s.mode {
	case modeOutlive:
		return outlive()
	case modeForked:
		return fork(s.inherited)
	case modeNoStart:
		fmt.Fprintln(os.Stderr, "no weights at /models/missing: giving up")
		os.Exit(3)
	}
	if err := s.hold(); err != nil {
		return err
	}
	s.note(entry{What: "up"})
	if err := s.leaveBehind(); err != nil {
		return err
	}
	return s.serve(ctx)
}

func (s *server) serve(ctx context.Context) error {
	ln, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		return err
	}
	if s.mode == modeGarbage {
		return garbage(ln)
	}
	if s.mode != modeNeverReady {
		time.AfterFunc(s.load, func() { s.ready.Store(true) })
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", s.health)
	mux.HandleFunc("POST /", s.answer)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return srv.Shutdown(context.Background())
	}
}

func (s *server) health(w http.ResponseWriter, _ *http.Request) {
	if !s.ready.Load() {
		http.Error(w, "loading", http.StatusServiceUnavailable)
	}
}

// garbage answers the probe properly, so that requests come, and those with bytes that are no HTTP.
func garbage(ln net.Listener) error {
	for {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			head := make([]byte, 4096)
			n, _ := c.Read(head)
			if strings.HasPrefix(string(head[:n]), "GET") {
				fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
				return
			}
			fmt.Fprint(c, "\x00\x01 this is not HTTP \xff\xfe\r\n\r\n")
		}()
	}
}

// entry is one line of the books.
type entry struct {
	What    string    `json:"what"` // up, begin, end, quit or conflict
	ID      string    `json:"id,omitempty"`
	Body    string    `json:"body,omitempty"`
	Replica string    `json:"replica"`
	PID     int       `json:"pid"`
	GPUs    string    `json:"gpus"`
	Tag     string    `json:"tag,omitempty"`
	At      time.Time `json:"at"`
}

// note appends a line in one write, so that lines of several replicas do not mix.
func (s *server) note(e entry) {
	if s.record == "" {
		return
	}
	e.Replica, e.PID, e.GPUs, e.Tag, e.At = os.Getenv("STOKER_REPLICA_ID"), os.Getpid(), gpuIDs(), s.tag, time.Now()
	line, err := json.Marshal(e)
	if err == nil {
		err = appendLine(s.record, append(line, '\n'))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "modelserver: books not kept:", err)
		os.Exit(7)
	}
}

func appendLine(path string, line []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(line)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}
