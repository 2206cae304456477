package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/tinylm/checkpoint"
	"stoker.dev/stoker/cmd/tinylm/corpus"
	"stoker.dev/stoker/cmd/tinylm/model"
	"stoker.dev/stoker/cmd/tinylm/progress"
)

const (
	// resumeAuto resumes from the newest checkpoint in --out and starts anew without one.
	resumeAuto = "auto"
	// reportEvery is how often a progress line is printed.
	reportEvery = time.Second
	// lastLossSteps are averaged for loss_last: one batch alone is noisy.
	lastLossSteps = 50
)

type trainFlags struct {
	out, resume, text string
	nodes             string // of the gang that this process is in; empty: of none
	job               jobFiles
	every, keep       int
	json              bool
	config            model.Config
	training          model.Training
}

func trainCommand(getenv func(string) string) *cobra.Command {
	f := trainFlags{nodes: getenv("NNODES")}
	cmd := &cobra.Command{
		Use:   "train --out DIR",
		Short: "Train the model, with committed checkpoints",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return train(cmd.Context(), f, cmd.Flags().Changed, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.out, "out", getenv("CHECKPOINT_DIR"), "directory for checkpoints (CHECKPOINT_DIR)")
	flags.StringVar(&f.resume, "resume", getenv("RESUME_FROM"),
		"checkpoint to go on from: a directory, or auto for the newest in --out if there is one (RESUME_FROM)")
	flags.StringVar(&f.text, "text", "", "text file to train on, documents parted by blank lines (default: the built-in text)")
	flags.IntVar(&f.every, "checkpoint-every", 500, "steps between checkpoints")
	flags.IntVar(&f.keep, "keep", 3, "newest checkpoints to keep")
	flags.BoolVar(&f.json, "json", false, "print one JSON object at the end on standard output, the progress on standard error")
	f.job.flags(flags, getenv)
	f.config, f.training = model.DefaultConfig, model.DefaultTraining
	flags.IntVar(&f.training.Steps, "steps", f.training.Steps, "steps of the whole training")
	flags.Int64Var(&f.training.Seed, "seed", f.training.Seed, "seed of the first weights and of the batches")
	flags.IntVar(&f.training.Batch, "batch", f.training.Batch, "examples per step")
	flags.Float64Var(&f.training.LearningRate, "learning-rate", f.training.LearningRate, "peak learning rate")
	flags.IntVar(&f.config.Context, "context", f.config.Context, "characters that the model sees")
	flags.IntVar(&f.config.Embed, "embed", f.config.Embed, "numbers per character")
	flags.IntVar(&f.config.Hidden, "hidden", f.config.Hidden, "width of the hidden layer")
	return cmd
}

func (f trainFlags) validate() error {
	switch {
	case f.out == "":
		return usagef("--out is missing (or CHECKPOINT_DIR)")
	case f.every < 1:
		return usagef("--checkpoint-every is %d, allowed is 1 and more", f.every)
	case f.nodes != "" && f.nodes != "1":
		return usagef("NNODES is %s, and tinylm trains in one process; set resources.nodes of the job to 1", f.nodes)
	case f.keep < 1:
		return usagef("--keep is %d, allowed is 1 and more", f.keep)
	}
	return nil
}

// train is the command: changed says which flags were given.
func train(ctx context.Context, f trainFlags, changed func(string) bool, stdout, stderr io.Writer) error {
	if err := f.validate(); err != nil {
		return err
	}
	docs, err := f.documents()
	if err != nil {
		return err
	}
	trainer, err := f.trainer(docs, changed)
	if err != nil {
		return err
	}
	lines := stdout
	if f.json {
		lines = stderr
	}
	reports, closeReports, err := f.job.open(lines)
	if err != nil {
		return err
	}
	defer closeReports()
	r := &trainRun{flags: f, trainer: trainer, lines: lines, reports: reports, from: trainer.Done(), started: time.Now()}
	if err := r.loop(ctx); err != nil {
		return err
	}
	return r.finish(stdout)
}

func (f trainFlags) documents() ([]string, error) {
	text := corpus.Text()
	if f.text != "" {
		data, err := os.ReadFile(f.text)
		if err != nil {
			return nil, usagef("--text: %w", err)
		}
		text = string(data)
	}
	return corpus.Documents(text), nil
}

// trainer makes a new trainer or one that goes on from a checkpoint.
func (f trainFlags) trainer(docs []string, changed func(string) bool) (*model.Trainer, error) {
	from, err := f.resumeFrom()
	if err != nil {
		return nil, err
	}
	if from == "" {
		return model.NewTrainer(f.config, f.training, docs)
	}
	steps := 0 // as in the checkpoint
	if changed("steps") {
		steps = f.training.Steps
	}
	t, err := model.ResumeTrainer(from, steps, docs)
	if err != nil {
		return nil, err
	}
	return t, f.sameShape(t, from, changed)
}

// resumeFrom is the checkpoint directory to go on from, empty for none.
func (f trainFlags) resumeFrom() (string, error) {
	dir := f.resume
	if dir == "" {
		return "", nil
	}
	if dir == resumeAuto {
		dir = f.out
	}
	c, err := checkpoint.Open(dir)
	if f.resume == resumeAuto && errors.Is(err, checkpoint.ErrNone) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("--resume: %w", err)
	}
	return c.Dir, nil
}

// sameShape refuses flags that contradict the checkpoint instead of ignoring them.
func (f trainFlags) sameShape(t *model.Trainer, from string, changed func(string) bool) error {
	c, tr := t.Config(), t.Training()
	for _, p := range []struct {
		flag           string
		given, trained any
	}{
		{"context", f.config.Context, c.Context}, {"embed", f.config.Embed, c.Embed}, {"hidden", f.config.Hidden, c.Hidden},
		{"batch", f.training.Batch, tr.Batch}, {"learning-rate", f.training.LearningRate, tr.LearningRate}, {"seed", f.training.Seed, tr.Seed},
	} {
		if changed(p.flag) && p.given != p.trained {
			return usagef("--%s is %v, but %s was trained with %v; leave the flag out, or train from the start", p.flag, p.given, from, p.trained)
		}
	}
	return nil
}

// trainRun is one run of the training loop.
type trainRun struct {
	flags   trainFlags
	trainer *model.Trainer
	lines   io.Writer // for people
	reports io.Writer // for people and for who runs the job
	from    int       // step at the start of the run
	started time.Time

	losses   []float64 // of this run, one per step
	reported int       // how many of them a line has covered
	lastLine time.Time
	saved    checkpoint.Checkpoint
}

// loop trains until the last step or until it is told to stop, which ends in a
// checkpoint and errInterrupted.
func (r *trainRun) loop(ctx context.Context) error {
	steps := r.trainer.Training().Steps
	fmt.Fprintf(r.lines, "started step=%d steps=%d vocab=%d uniform_loss=%.4f\n",
		r.from, steps, r.trainer.VocabSize(), math.Log(float64(r.trainer.VocabSize())))
	for r.trainer.Done() < steps {
		if r.flags.job.told(ctx) {
			return r.interrupted()
		}
		loss, err := r.trainer.Step()
		if err != nil {
			return err
		}
		if math.IsNaN(loss) || math.IsInf(loss, 0) {
			return fmt.Errorf("%w: the loss of step %d is %v; lower --learning-rate", model.ErrConfig, r.trainer.Done(), loss)
		}
		r.losses = append(r.losses, loss)
		if time.Since(r.lastLine) >= reportEvery {
			r.report()
		}
		if r.trainer.Done()%r.flags.every == 0 && r.trainer.Done() < steps {
			if err := r.save(); err != nil {
				return err
			}
		}
	}
	return r.save()
}

func (r *trainRun) interrupted() error {
	if err := r.save(); err != nil {
		return fmt.Errorf("%w: %w", errNoCommit, err)
	}
	return fmt.Errorf("%w: step %d of %d in %s", errInterrupted, r.saved.Step, r.trainer.Training().Steps, r.saved.Dir)
}

func (r *trainRun) save() error {
	fmt.Fprintf(r.reports, "saving step=%d\n", r.trainer.Done())
	saved, err := checkpoint.Write(r.flags.out, r.trainer.Done(), r.trainer.Save)
	if err != nil {
		return err
	}
	r.saved = saved
	dir, err := filepath.Abs(saved.Dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(r.reports, "committed step=%d path=%s\n", saved.Step, dir)
	return checkpoint.Prune(r.flags.out, r.flags.keep)
}

func (r *trainRun) report() {
	done, steps := r.trainer.Done(), r.trainer.Training().Steps
	perStep := time.Since(r.started) / time.Duration(len(r.losses))
	fmt.Fprintln(r.reports, progress.Line{
		Step: done, Steps: steps, Loss: mean(r.losses[r.reported:]), ETA: perStep * time.Duration(steps-done),
	})
	r.reported, r.lastLine = len(r.losses), time.Now()
}

// trainResult is what --json prints.
type trainResult struct {
	LossFirst   float64 `json:"loss_first"` // of this run's first step
	LossLast    float64 `json:"loss_last"`  // mean over the last steps of this run
	Steps       int     `json:"steps"`      // trained in all
	ResumedFrom int     `json:"resumed_from"`
	Seconds     float64 `json:"seconds"` // of this run
	Checkpoint  string  `json:"checkpoint"`
}

// finish reports a complete training. A run that found nothing left to do has no losses.
func (r *trainRun) finish(stdout io.Writer) error {
	res := trainResult{
		Steps: r.trainer.Done(), ResumedFrom: r.from,
		Seconds: time.Since(r.started).Seconds(), Checkpoint: r.saved.Dir,
	}
	if n := len(r.losses); n > 0 {
		r.lastReport()
		res.LossFirst, res.LossLast = r.losses[0], mean(r.losses[max(0, n-lastLossSteps):])
	}
	fmt.Fprintf(r.lines, "done step=%d steps=%d loss_first=%.4f loss_last=%.4f seconds=%.1f\n",
		res.Steps, r.trainer.Training().Steps, res.LossFirst, res.LossLast, res.Seconds)
	if !r.flags.json {
		return nil
	}
	return json.NewEncoder(stdout).Encode(res)
}

// lastReport makes the last progress line say 100 %.
func (r *trainRun) lastReport() {
	if r.reported < len(r.losses) {
		r.report()
	}
}

func mean(xs []float64) float64 {
	sum := 0.0
	for _, x := range xs {
		sum += x
	}
	return sum / float64(len(xs))
}
