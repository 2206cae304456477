package main

import (
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/datadir"
)

// TestUsersComeAndGo through the command line alone, while the platform runs.
func TestUsersComeAndGo(t *testing.T) {
	w := newWorld(t, nil)
	if got := w.run("user", "list"); got.code != 0 || got.out != "" || !strings.Contains(got.err, "stoker user add") {
		t.Errorf("%+v", got)
	}
	added := w.run("user", "add", "alice", "--role", "deployer", "--in", "default")
	token := strings.TrimSpace(added.out)
	if added.code != 0 || !strings.HasPrefix(token, "stoker-user-v1.alice.") {
		t.Fatalf("%+v", added)
	}
	wants(t, "add", added.err, "alice is deployer in default", "not shown again", "--inbox-prefix _R.user.alice")
	file, err := os.ReadFile(datadir.UsersOf(w.data))
	if err != nil || strings.Contains(string(file), token) {
		t.Errorf("%v\n%s", err, file)
	}
	if got := w.run("--token", token, "pause", "tinylm"); got.code != 0 {
		t.Errorf("alice pauses in her namespace: %+v", got)
	}
	if got := w.run("--token", token, "-n", "other", "pause", "x"); got.code != exitFailed || !strings.Contains(got.err, "alice (deployer in default) may not deploy in namespace other") {
		t.Errorf("alice pauses elsewhere: %+v", got)
	}
	if got := w.run("--token", token, "ui"); got.code != exitFailed || !strings.Contains(got.err, "may not administer") {
		t.Errorf("alice looks at Temporal: %+v", got)
	}
	t.Setenv(tokenVariable, token)
	if got := w.run("get"); got.code != 0 || strings.Contains(got.out, "other") {
		t.Errorf("with the variable: %+v", got)
	}
	if got := w.run("get", "--help"); strings.Contains(got.out, token) {
		t.Error("the help prints the token")
	}
	rotated := strings.TrimSpace(w.run("user", "rotate", "alice").out)
	if got := w.run("pause", "tinylm"); got.code != exitFailed || !strings.Contains(got.err, "nobody here has this token") {
		t.Errorf("the old token: %+v", got)
	}
	t.Setenv(tokenVariable, rotated)
	if got := w.run("pause", "tinylm"); got.code != 0 {
		t.Errorf("the new token: %+v", got)
	}
	if got := w.run("user", "add", "robot", "--role=caller", "--in=a,b", "--nkey=UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"); got.code != 0 || got.out != "" {
		t.Errorf("%+v", got)
	}
	w.golden("users", w.run("user", "list"))
	w.golden("users.json", w.run("user", "list", "-o", "json"))
	if got := w.run("user", "remove", "alice"); got.code != 0 {
		t.Errorf("%+v", got)
	}
	if got := w.run("pause", "tinylm"); got.code != exitFailed {
		t.Errorf("alice after she is gone: %+v", got)
	}
}

func TestUserMistakes(t *testing.T) {
	w := newWorld(t, nil)
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"add", "alice"}, exitUsage, "role"},
		{[]string{"add", "alice", "--role", "boss"}, exitFailed, "admin, deployer, caller, viewer"},
		{[]string{"add", "a.b", "--role", "admin"}, exitFailed, "a-z"},
		{[]string{"add", "a", "--role", "admin", "--in", "team-a"}, exitFailed, "deployer has namespaces"},
		{[]string{"add", "a", "--role", "caller", "--nkey", "SUSEED"}, exitFailed, "starts with U"},
		{[]string{"remove", "nobody"}, exitNotFound, "no such user"},
		{[]string{"rotate", "nobody"}, exitNotFound, "no such user"},
	} {
		got := w.run(append([]string{"user"}, c.args...)...)
		if got.code != c.code || !strings.Contains(got.err, c.want) || got.out != "" {
			t.Errorf("%q: %+v", c.args, got)
		}
	}
	if _, err := os.Stat(datadir.UsersOf(w.data)); err == nil {
		t.Error("a mistake made a users file")
	}
}

// TestUILetsABrowserIn: the link is all it needs.
func TestUILetsABrowserIn(t *testing.T) {
	w := newWorld(t, nil)
	link := strings.TrimSpace(w.run("ui").out)
	jar, err := cookiejar.New(nil)
	must(t, err)
	browser := &http.Client{Jar: jar}
	open := func(url string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		must(t, err)
		resp, err := browser.Do(req)
		must(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		must(t, err)
		return resp.StatusCode, string(body)
	}
	if code, _ := open(w.url + "/temporal/"); code != http.StatusUnauthorized {
		t.Errorf("before: %d", code)
	}
	if code, body := open(link); code != http.StatusOK || !strings.Contains(body, "/temporal/") {
		t.Errorf("the link: %d %s", code, body)
	}
	if code, body := open(w.url + "/temporal/"); code != http.StatusOK || body != "workflows" {
		t.Errorf("after: %d %s", code, body)
	}
}

// TestTheTokenGoesToItsOwnPlatformAlone: --server may name anybody.
func TestTheTokenGoesToItsOwnPlatformAlone(t *testing.T) {
	w := newWorld(t, nil)
	var got []string
	other := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Authorization"))
		_ = json.NewEncoder(rw).Encode([]api.Function{})
	}))
	defer other.Close()
	w.run("--server", other.URL, "get")
	w.run("--server", other.URL, "--token", "given", "get")
	if len(got) != 2 || got[0] != "" || got[1] != "Bearer given" {
		t.Errorf("%q", got)
	}
	if said := w.run("--server", w.url, "pause", "tinylm"); said.code != 0 {
		t.Errorf("its own address, by name: %+v", said)
	}
}

// TestTheCertificateIsChecked: a platform with TLS is trusted by its own certificate, found through
// the data directory, and by --ca elsewhere.
func TestTheCertificateIsChecked(t *testing.T) {
	w := newWorld(t, nil)
	handler := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(rw).Encode([]api.Function{}) })
	srv := httptest.NewUnstartedServer(handler)
	srv.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that hang up, as they shall
	srv.StartTLS()
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "cert.pem")
	must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600))

	if got := w.run("--server", srv.URL, "get"); got.code != exitFailed || !strings.Contains(got.err, "certificate") {
		t.Errorf("without trust: %+v", got)
	}
	if got := w.run("--server", srv.URL, "--ca", file, "get"); got.code != 0 {
		t.Errorf("with --ca: %+v", got)
	}
	s := datadir.Server{PID: os.Getpid(), HTTP: srv.URL, CertFile: file, CertName: "example.com"} // as httptest's certificate is
	w.publish(s)
	if got := w.run("get"); got.code != 0 {
		t.Errorf("through the data directory: %+v", got)
	}
	s.CertName = "another.example.org"
	w.publish(s)
	if got := w.run("get"); got.code != exitFailed {
		t.Errorf("a certificate for another name: %+v", got)
	}
}
