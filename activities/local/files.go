package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Names in a replica's directory.
const (
	runFile    = "run.json"
	specFile   = "spec.json"
	agentFile  = "agent.json"
	tokenFile  = "agent.token"
	statusFile = "status.json"
	serverLog  = "server.log"
	agentLog   = "agent.log"
	workDir    = "work"
)

// Modes of what is written: agent.json holds secrets, agent.token credentials, logs may hold requests.
const (
	dirMode  = 0o700
	fileMode = 0o600
)

// writeJSON replaces path as a whole or not at all. It is not synced: after a power loss the
// boot ID is another one, and nothing that the file tells lives.
func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return writeFile(path, data)
}

func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return explain(path, err)
	}
	_, werr := f.Write(data)
	if err := errors.Join(werr, f.Chmod(fileMode), f.Close()); err != nil {
		os.Remove(f.Name())
		return explain(path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		os.Remove(f.Name())
		return explain(path, err)
	}
	return nil
}

func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("decode %s: %w", path, err)
	}
	return nil
}

// save writes what is known of a locked replica.
func (r *replica) save() error {
	if err := os.MkdirAll(r.dir, dirMode); err != nil {
		return explain(r.dir, err)
	}
	return writeJSON(filepath.Join(r.dir, runFile), &r.rec)
}
