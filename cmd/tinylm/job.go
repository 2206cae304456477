package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"
)

// jobFiles are how whoever runs a training job talks with it, beside signals and checkpoints: docs/training.md.
type jobFiles struct {
	notice  string // appears when training has to stop; empty: signals alone say so
	reports string // takes a line for each report; empty: nobody reads them
}

func (f *jobFiles) flags(flags *pflag.FlagSet, getenv func(string) string) {
	flags.StringVar(&f.notice, "notice-file", getenv("PREEMPT_FILE"), "file that appears when training has to stop (PREEMPT_FILE)")
	flags.StringVar(&f.reports, "report-file", getenv("PROGRESS_FILE"), "file to append reports to, as on standard output (PROGRESS_FILE)")
}

// told says whether training has to stop.
func (f jobFiles) told(ctx context.Context) bool {
	if ctx.Err() != nil || f.notice == "" {
		return ctx.Err() != nil
	}
	_, err := os.Stat(f.notice)
	return err == nil
}

// open is a writer for reports, which go to lines as well. What cannot be written is lost: training is worth
// more than telling of it.
func (f jobFiles) open(lines io.Writer) (io.Writer, func(), error) {
	if f.reports == "" {
		return lines, func() {}, nil
	}
	file, err := os.OpenFile(f.reports, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, nil, fmt.Errorf("--report-file: %w", err)
	}
	return io.MultiWriter(lines, file), func() { _ = file.Close() }, nil
}
