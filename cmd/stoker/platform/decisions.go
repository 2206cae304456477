package platform

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// maxDecisions bounds the file of decisions, in bytes: a day of a busy function, at some 2 kB a decision
// and one in two seconds, is a tenth of it. A full disk would stop the platform.
const maxDecisions = 1 << 30

// decisionLog keeps every decision, for whoever wants to see that it follows from what was known.
type decisionLog struct {
	file *os.File
	size int64
	log  *slog.Logger
}

// keepDecisions is what takes decisions down, nil where nobody wants them.
func (p *Platform) keepDecisions() (func(functions.Key, scale.Question, scale.Decision), error) {
	if p.Config.Decisions == "" {
		return nil, nil //nolint:nilnil // 2026-11-27: nobody
	}
	d, err := openDecisions(p.Config.Decisions, p.Log)
	if err != nil {
		return nil, err
	}
	p.onClose(func(context.Context) error { return d.file.Close() })
	return d.add, nil
}

// openDecisions appends to a file, which only its owner may read: it names what is asked.
func openDecisions(path string, log *slog.Logger) (*decisionLog, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("--decisions: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("--decisions: %w", err)
	}
	return &decisionLog{file: f, size: info.Size(), log: log}, nil
}

// add is called by the controller's loop alone.
func (d *decisionLog) add(key functions.Key, q scale.Question, made scale.Decision) {
	if d.size >= maxDecisions {
		return
	}
	line, err := json.Marshal(scale.Recorded{Function: key.String(), Question: q, Decision: made})
	if err != nil {
		d.log.Error("a decision is not recorded", "function", key.String(), "error", err)
		return
	}
	n, err := d.file.Write(append(line, '\n'))
	d.size += int64(n)
	switch {
	case err != nil:
		d.log.Error("decisions are recorded no more", "file", d.file.Name(), "error", err)
		d.size = maxDecisions
	case d.size >= maxDecisions:
		d.log.Warn("decisions are recorded no more: the file is full", "file", d.file.Name(), "bytes", d.size)
	}
}
