package demo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"stoker.dev/stoker/cmd/tinylm/progress"
)

// trained is what `tinylm train --json` prints at its end.
type trained struct {
	LossFirst float64 `json:"loss_first"`
	LossLast  float64 `json:"loss_last"`
	Seconds   float64 `json:"seconds"`
}

// train runs the training as a user would, and shows its progress lines as a bar.
func (r *run) train(ctx context.Context, tinylm string) error {
	cmd := exec.CommandContext(ctx, tinylm, "train", "--json", "--out", filepath.Join(r.dir, "model"))
	var out bytes.Buffer
	cmd.Stdout = &out
	lines, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the training: %w", err)
	}
	last := r.follow(lines)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("training: %w: %s", err, last)
	}
	var t trained
	if err := json.Unmarshal(out.Bytes(), &t); err != nil {
		return fmt.Errorf("read the result of the training: %w", err)
	}
	r.report.LossFirst, r.report.LossLast, r.report.TrainSeconds = t.LossFirst, t.LossLast, t.Seconds
	r.say("     loss %.3f -> %.3f in %.0f s", t.LossFirst, t.LossLast, t.Seconds)
	return nil
}

// follow shows progress lines and returns the last line of any other kind.
func (r *run) follow(lines io.Reader) string {
	show := r.shower()
	other := ""
	for s := bufio.NewScanner(lines); s.Scan(); {
		l, err := progress.Parse(s.Text())
		if err != nil {
			other = s.Text()
			continue
		}
		show(l)
	}
	return other
}

// quietStep is how many percent pass between two lines where nobody watches a terminal.
const quietStep = 20

// shower is a bar on a terminal, and a line now and then in a log.
func (r *run) shower() func(progress.Line) {
	if f, ok := r.Progress.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		bar := progressbar.NewOptions(100, progressbar.OptionSetWriter(f), progressbar.OptionSetWidth(30),
			progressbar.OptionSetDescription("     loss"), progressbar.OptionClearOnFinish())
		return func(l progress.Line) {
			bar.Describe(fmt.Sprintf("     loss %.3f", l.Loss))
			_ = bar.Set(int(l.Percent()))
		}
	}
	next := 0.0
	return func(l progress.Line) {
		if l.Percent() >= next {
			r.say("     %3.0f %%  loss %.3f", l.Percent(), l.Loss)
			next = l.Percent() + quietStep
		}
	}
}
