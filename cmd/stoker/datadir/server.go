package datadir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const serverFile = "server.json"

// Server is what the CLI needs to reach the running platform.
type Server struct {
	PID          int       `json:"pid"`
	Started      time.Time `json:"started"`
	Version      string    `json:"version,omitempty"`
	HTTP         string    `json:"http"`                // base URL, http://127.0.0.1:8080
	NATS         string    `json:"nats"`                // nats://127.0.0.1:4222, without credentials
	EmbeddedNATS bool      `json:"embedded_nats"`       // its streams are in the data directory
	Temporal     string    `json:"temporal"`            // host:port of the frontend
	Namespace    string    `json:"namespace"`           // of Temporal
	UI           string    `json:"ui"`                  // URL of Temporal's web UI
	AdminToken   string    `json:"admin_token"`         // bearer token of control API and broker
	CertFile     string    `json:"cert_file,omitempty"` // path of the certificate that the HTTP port shows
	CertName     string    `json:"cert_name,omitempty"` // a name that it is for
}

// WriteServer publishes how the platform is reached, once it is ready.
func (d *Dir) WriteServer(s Server) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(d.join(serverFile), append(data, '\n'))
}

// RemoveServer takes the addresses away again, before the platform stops serving.
func (d *Dir) RemoveServer() { _ = os.Remove(d.join(serverFile)) }

// ReadServer finds the platform that runs on the directory at path, without taking its lock.
// A file left behind by a platform that was killed counts as [ErrNotRunning].
func ReadServer(path string) (Server, error) {
	file := filepath.Join(path, serverFile)
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Server{}, notRunning(path)
	}
	if err != nil {
		return Server{}, fmt.Errorf("reading how to reach the platform: %w", err)
	}
	var s Server
	if err := json.Unmarshal(data, &s); err != nil {
		return Server{}, fmt.Errorf("%w: %s: %w; restart the platform to write it again", ErrDamaged, file, err)
	}
	if !alive(s.PID) {
		return Server{}, notRunning(path)
	}
	return s, nil
}

func notRunning(path string) error {
	return fmt.Errorf("%w: %s; start one with: stoker up --data-dir %s", ErrNotRunning, path, path)
}

// alive is true also for a process of another user, which answers EPERM.
func alive(pid int) bool {
	return pid > 0 && !errors.Is(unix.Kill(pid, 0), unix.ESRCH)
}
