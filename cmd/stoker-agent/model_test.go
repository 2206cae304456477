package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// The test binary is also the programs of the tests: run with one of these roles in its
// environment it is the agent, a model server, or a platform that starts an agent.
const (
	roleVar     = "AGENT_TEST_ROLE"
	roleAgent   = "agent"
	roleModel   = "model"
	roleParent  = "parent"
	modelVar    = "MODEL_MODE" // how the model server behaves as a process
	modelDirVar = "MODEL_DIR"  // where it leaves notes
)

// playModel is a model server that behaves as badly as its mode and its requests say.
func playModel() int {
	fmt.Println("model: hello on stdout")
	fmt.Fprintln(os.Stderr, "model: hello on stderr")
	note("environ", strings.Join(os.Environ(), "\n"))
	note("pid", strconv.Itoa(os.Getpid()))
	switch os.Getenv(modelVar) {
	case "exit":
		fmt.Fprintln(os.Stderr, "model: no CUDA-capable device is detected")
		return 42
	case "mute": // never listens
		select {}
	case "garbage":
		return garbage()
	case "family":
		family()
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
	}
	stop := make(chan os.Signal, 1)
	if os.Getenv(modelVar) != "stubborn" {
		signal.Notify(stop, syscall.SIGTERM)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /", answer)
	go func() { panic(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), mux)) }()
	<-stop
	return 0
}

func note(name, text string) {
	if dir := os.Getenv(modelDirVar); dir != "" {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o600); err != nil {
			panic(err)
		}
	}
}

// garbage answers the probe as HTTP, and everything else as nobody does.
func garbage() int {
	l, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		panic(err)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			panic(err)
		}
		buf := make([]byte, 4096)
		n, _ := c.Read(buf)
		if strings.HasPrefix(string(buf[:n]), "GET") {
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		} else {
			fmt.Fprint(c, "\x00\x01\x02 segmentation fault\r\n")
		}
		c.Close()
	}
}

// family starts a child in a session of its own that starts a child and ignores SIGTERM.
func family() {
	cmd := exec.Command("setsid", "sh", "-c", "trap '' TERM; sleep 1000 & echo $$ $! > "+os.Getenv(modelDirVar)+"/family.tmp; mv "+
		os.Getenv(modelDirVar)+"/family.tmp "+os.Getenv(modelDirVar)+"/family; wait")
	if err := cmd.Start(); err != nil {
		panic(err)
	}
}

// wish is what a request of the tests asks of the model server.
type wish struct {
	Do     string `json:"do"`
	Millis int    `json:"ms"`
	N      int    `json:"n"`
	File   string `json:"file"` // done once this file is there; for what happens once only
	Gate   string `json:"gate"` // each chunk of a stream but the first waits for the file of this name and its number
}

var requests atomic.Int64

func answer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	requests.Add(1)
	var a wish
	_ = json.Unmarshal(body, &a)
	if a.File != "" {
		f, err := os.OpenFile(a.File, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil { // it happened already
			a.Do = strings.TrimSuffix(a.Do, "-crash")
			if a.Do == "crash" || a.Do == "hang" {
				a.Do = ""
			}
		} else {
			f.Close()
		}
	}
	fulfil(w, r, a, body)
}

func fulfil(w http.ResponseWriter, r *http.Request, a wish, body []byte) {
	pause := time.Duration(a.Millis) * time.Millisecond
	switch a.Do {
	case "status":
		w.WriteHeader(a.N)
		fmt.Fprintf(w, "no: %d", a.N)
	case "crash":
		fmt.Fprintln(os.Stderr, "model: CUDA error: an illegal memory access was encountered")
		os.Exit(3)
	case "hang":
		<-r.Context().Done()
		note("hung", "the caller went away")
	case "slow":
		note("began", "")
		select {
		case <-time.After(pause):
		case <-r.Context().Done():
		}
		fmt.Fprint(w, "slow")
	case "big":
		_, _ = w.Write(make([]byte, a.N))
	case "headers":
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"path": r.URL.Path, "headers": r.Header})
	case "stream", "stream-crash":
		stream(w, a, pause)
	case "last":
		fmt.Fprint(w, "the last answer")
		go func() {
			<-time.After(20 * time.Millisecond) // the answer leaves first
			os.Exit(0)
		}()
	default:
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintf(w, "echo %s", body)
	}
}

func stream(w http.ResponseWriter, a wish, pause time.Duration) {
	w.Header().Set("Content-Type", "text/event-stream")
	for i := range a.N {
		if a.Do == "stream-crash" && i == a.N/2 {
			os.Exit(3)
		}
		if a.Gate != "" && i > 0 {
			awaitFile(fmt.Sprint(a.Gate, i))
		}
		fmt.Fprintf(w, "data: token %d\n\n", i)
		w.(http.Flusher).Flush()
		<-time.After(pause)
	}
	fmt.Fprint(w, "data: [DONE]\n\n")
}

func awaitFile(path string) {
	for {
		if _, err := os.Stat(path); err == nil {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
}

// playParent is a platform that starts an agent and waits to be killed.
func playParent() int {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVar+"="+roleAgent)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	select {}
}
