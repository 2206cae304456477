package server

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds the waits of these tests on a machine that runs others too.
const patience = 90 * time.Second

func portOf(t testing.TB, address string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestAttachedServerIsFoundGone(t *testing.T) {
	model := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer model.Close()
	s := Attach(portOf(t, model.Listener.Addr().String()))
	if err := s.WaitReady(t.Context(), model.URL, patience); err != nil {
		t.Fatal(err)
	}
	if s.Look() {
		t.Error("a server that listens is taken for gone")
	}
	select {
	case <-s.Done():
		t.Error("done while it listens")
	default:
	}
	model.Close()
	select {
	case <-s.Done():
	case <-time.After(patience):
		t.Fatal("not found gone")
	}
	if !s.Look() || s.PID() != 0 || s.Tail() != "" || !strings.Contains(s.Exit().String(), "container") {
		t.Errorf("look %v, exit %q", s.Look(), s.Exit())
	}
	for range 2 {
		if err := s.Stop(t.Context(), time.Hour); err != nil {
			t.Error(err)
		}
	}
}

// TestOneRefusalIsNoEnd has the port taken again between two looks.
func TestOneRefusalIsNoEnd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	s := Attach(portOf(t, address))
	l.Close()
	if !s.refuses() {
		t.Fatal("a port that nobody listens on does not refuse")
	}
	if l, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if s.Look() {
		t.Error("gone, though it listens")
	}
}

// TestServerTooBusyToAcceptIsNotGone fills a listener's queue until connections time out.
func TestServerTooBusyToAcceptIsNotGone(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, err := range []error{unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	s := Attach(name.(*unix.SockaddrInet4).Port)
	const most = 16 // connections that such a queue takes; Linux takes one
	for range most {
		conn, err := net.DialTimeout("tcp", s.address, lookWithin/4)
		if late := net.Error(nil); errors.As(err, &late) && late.Timeout() {
			if s.Look() {
				t.Error("a server that is too busy to accept is taken for gone")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	t.Fatalf("a queue of none took %d connections", most)
}

func TestAttachedServerThatNeverAnswers(t *testing.T) {
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	url := "http://127.0.0.1:" + strconv.Itoa(port)
	if err := Attach(port).WaitReady(t.Context(), url, 50*time.Millisecond); !errors.Is(err, ErrNeverReady) || !strings.Contains(err.Error(), url) {
		t.Errorf("error %v", err)
	}
}

// BenchmarkLook is what finding a server alive costs both sides.
func BenchmarkLook(b *testing.B) {
	model := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer model.Close()
	s := Attach(portOf(b, model.Listener.Addr().String()))
	for b.Loop() {
		if s.Look() {
			b.Fatal("a server that listens is taken for gone")
		}
	}
}
