package profile_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stoker.dev/stoker/cmd/stoker/profile"
)

// gzipped is how a profile begins.
var gzipped = []byte{0x1f, 0x8b}

func get(t *testing.T, url, host string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

func TestServesProfilesToLoopbackNamesOnly(t *testing.T) {
	s, err := profile.Serve(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if code, body := get(t, s.URL()+"heap", ""); code != http.StatusOK || !bytes.HasPrefix(body, gzipped) {
		t.Errorf("heap: %d, %d bytes", code, len(body))
	}
	if code, body := get(t, s.URL(), "localhost"); code != http.StatusOK || !bytes.Contains(body, []byte("goroutine")) {
		t.Errorf("index: %d, %s", code, body)
	}
	for _, host := range []string{"rebound.example", "rebound.example:80", "192.0.2.1", "localhost.example"} {
		if code, _ := get(t, s.URL()+"heap", host); code != http.StatusMisdirectedRequest {
			t.Errorf("Host %s: %d, want 421", host, code)
		}
	}
}

func TestListensOnLoopbackOnly(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:6060", "6060", "example.org:1"} {
		s, err := profile.Serve(t.Context(), addr)
		if !errors.Is(err, profile.ErrNotLoopback) || !strings.Contains(err.Error(), addr) {
			t.Errorf("%s: %v", addr, err)
		}
		if s != nil {
			_ = s.Close()
		}
	}
}

func TestFilesHoldTheProfilesOfARunThatFails(t *testing.T) {
	dir := t.TempDir()
	f := profile.Files{CPU: filepath.Join(dir, "cpu"), Mem: filepath.Join(dir, "mem")}
	failure := errors.New("the run failed")
	if err := f.Around(func() error { return failure }); !errors.Is(err, failure) {
		t.Errorf("got %v", err)
	}
	for _, path := range []string{f.CPU, f.Mem} {
		if data, err := os.ReadFile(path); err != nil || !bytes.HasPrefix(data, gzipped) {
			t.Errorf("%s: %d bytes, %v", path, len(data), err)
		}
	}
	ran := false
	err := profile.Files{CPU: filepath.Join(dir, "no", "such")}.Around(func() error { ran = true; return nil })
	if err == nil || ran {
		t.Errorf("a file that cannot be made: %v, ran: %v", err, ran)
	}
}
