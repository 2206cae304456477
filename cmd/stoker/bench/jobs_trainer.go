package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"stoker.dev/stoker/scale/job/contract"
)

// A training program whose steps and state are those of a small model.
const (
	trainStep  = 10 * time.Millisecond
	trainState = 16 << 20 // bytes of weights in a checkpoint, written through to the disk
)

// savedState is what a checkpoint begins with. The next attempt goes on from At.
type savedState struct {
	Step int64     `json:"step"`
	At   time.Time `json:"at"` // when the state was taken
}

// ErrSaved ends a training program that was asked to go: start it again when there is room.
var ErrSaved = errors.New("the work is saved")

// stateFile is its file in a checkpoint, beside the weights.
const stateFile = "state.json"

// Trainer is the training program: a step every [trainStep], a checkpoint every interval and when it is
// asked to go, by the contract of docs/training.md. It runs as a process of its own; ctx ends with
// SIGTERM. The error is [ErrSaved] once its work is saved.
func Trainer(ctx context.Context, interval time.Duration) error {
	reports, err := openReports(os.Getenv("PROGRESS_FILE"))
	if err != nil {
		return err
	}
	defer reports.Close()
	var s savedState
	if from := os.Getenv("RESUME_FROM"); from != "" {
		if s, err = readState(from); err != nil {
			return err
		}
	}
	step := time.NewTicker(trainStep)
	defer step.Stop()
	save := time.NewTicker(interval)
	defer save.Stop()
	for {
		select {
		case <-ctx.Done():
			if err := checkpoint(reports, s.Step); err != nil {
				return err
			}
			return ErrSaved
		case <-save.C:
			if err := checkpoint(reports, s.Step); err != nil {
				return err
			}
		case <-step.C:
			s.Step++
			if s.Step%10 == 0 {
				fmt.Fprintf(reports, "progress step=%d\n", s.Step)
			}
		}
	}
}

func openReports(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
}

// checkpoint writes one; its marker comes last.
func checkpoint(reports *os.File, step int64) error {
	at := time.Now()
	dir := filepath.Join(os.Getenv("CHECKPOINT_DIR"), fmt.Sprintf("step-%d", step))
	if _, err := os.Stat(filepath.Join(dir, contract.Marker)); !errors.Is(err, fs.ErrNotExist) {
		return err // nothing was trained since
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	state, err := json.Marshal(savedState{step, at})
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{"weights", make([]byte, trainState)}, {stateFile, state}, {contract.Marker, nil}} {
		if err := writeThrough(filepath.Join(dir, f.name), f.data); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(reports, "committed step=%d path=%s\n", step, dir)
	return err
}

// writeThrough writes a file that is on the disk when it returns.
func writeThrough(path string, data []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func readState(checkpoint string) (s savedState, err error) {
	data, err := os.ReadFile(filepath.Join(checkpoint, stateFile))
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(data, &s)
}
