package kubetest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// podServer, as the first argument, makes this program the command of a container.
const podServer = "pod-server"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == podServer {
		code, err := serveInPod()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// serveInPod is a server that takes down what happens to it in the file $ORDER, as $NAME. It starts a child that
// leaves its session, serves on $PORT, and ends after SIGTERM with the code $TERM_CODE, or never if that is "never".
func serveInPod() (int, error) {
	name, order := os.Getenv("NAME"), os.Getenv("ORDER")
	note := func(what string) {
		f, err := os.OpenFile(order, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err == nil {
			fmt.Fprintln(f, name, what)
			f.Close()
		}
	}
	child := exec.Command("sleep", "1000")
	child.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	if err := child.Start(); err != nil {
		return 1, err
	}
	codes := make(chan int, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ok", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /drain", func(http.ResponseWriter, *http.Request) { note("drains") })
	mux.HandleFunc("GET /exit/{code}", func(_ http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(r.PathValue("code"))
		codes <- code
	})
	mux.HandleFunc("GET /env/{name}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, os.Getenv(r.PathValue("name"))) })
	mux.HandleFunc("GET /file/{name}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, os.Getenv(r.PathValue("name")))
	})
	server := &http.Server{Addr: "127.0.0.1:" + os.Getenv("PORT"), Handler: mux}
	terms := make(chan os.Signal, 1)
	signal.Notify(terms, unix.SIGTERM)
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	note("started")
	fmt.Println(name, "serves")
	for {
		select {
		case <-terms:
			note("was asked to end")
			if path := os.Getenv("LAST_WORDS"); path != "" {
				if err := os.WriteFile(path, []byte(name+" says goodbye"), 0); err != nil {
					return 1, err
				}
			}
			fmt.Println(name, "ends")
			if os.Getenv("TERM_CODE") == "never" {
				continue
			}
			code, _ := strconv.Atoi(os.Getenv("TERM_CODE"))
			return code, server.Shutdown(context.Background())
		case code := <-codes:
			return code, nil
		case err := <-failed:
			if !errors.Is(err, http.ErrServerClosed) {
				return 1, err
			}
		}
	}
}
