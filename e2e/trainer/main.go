// Command trainer is the end-to-end tests' training program: as many steps as told, each as long as told, with
// checkpoints by the contract of docs/training.md, and every way to behave badly that tests need.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// outliveFor bounds the process left behind, should nobody kill it.
const outliveFor = 10 * time.Minute

// Exit codes of the contract.
const (
	saved   = 75
	unsaved = 76
)

type options struct {
	steps, save, fail int
	each, saving      time.Duration
	shared            bool
	mode              string
}

func main() {
	var o options
	flag.IntVar(&o.steps, "steps", 0, "steps until it is finished; 0: it never is")
	flag.DurationVar(&o.each, "each", 20*time.Millisecond, "how long one takes")
	flag.BoolVar(&o.shared, "shared", false, "the nodes share each step evenly, so that two take half as long")
	flag.IntVar(&o.save, "save", 25, "steps between two checkpoints; 0: it saves only when asked to go")
	flag.DurationVar(&o.saving, "saving", 0, "how long writing one takes")
	flag.IntVar(&o.fail, "fail", 0, "exit with an error at this step of the first attempt; 0: never")
	flag.StringVar(&o.mode, "mode", "", "deaf (hears no SIGTERM), early (exits with 0 at step 50, unfinished), forks (leaves children behind), floods (writes without end), careless (saves nothing when asked to go), uncommitted (never marks what it saves), hangs (at step 30 of the first attempt, whatever it is told)")
	flag.Parse()
	if err := train(o); err != nil {
		fmt.Fprintln(os.Stderr, "trainer:", err)
		os.Exit(1)
	}
}

// trainer is one rank at work.
type trainer struct {
	options
	rank    int
	step    int
	reports *os.File
}

func train(o options) error {
	told := make(chan os.Signal, 1)
	if o.mode == "deaf" {
		signal.Ignore(syscall.SIGTERM)
	} else {
		signal.Notify(told, syscall.SIGTERM)
	}
	reports, err := os.OpenFile(os.Getenv("PROGRESS_FILE"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	t := trainer{options: o, reports: reports}
	if t.rank, err = strconv.Atoi(os.Getenv("NODE_RANK")); err != nil {
		return fmt.Errorf("NODE_RANK: %w", err)
	}
	if err := t.resume(); err != nil {
		return err
	}
	if nodes, err := strconv.Atoi(os.Getenv("NNODES")); err == nil && o.shared {
		t.each /= time.Duration(nodes)
	}
	if o.mode == "forks" {
		leaveBehind()
	}
	fmt.Printf("rank %d of %s begins at step %d\n", t.rank, os.Getenv("NNODES"), t.step)
	return t.run(told)
}

// resume goes on from the checkpoint it is given.
func (t *trainer) resume() error {
	from := os.Getenv("RESUME_FROM")
	if from == "" {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(from, "step"))
	if err != nil {
		return err
	}
	t.step, err = strconv.Atoi(strings.TrimSpace(string(text)))
	return err
}

func (t *trainer) run(told <-chan os.Signal) error {
	tick := time.NewTicker(t.each)
	defer tick.Stop()
	for t.steps == 0 || t.step < t.steps {
		select {
		case <-told:
			return t.leave()
		case <-tick.C:
		}
		t.step++
		t.report()
		switch {
		case t.fail > 0 && t.step == t.fail && os.Getenv("ATTEMPT") == "1":
			return errors.New("ValueError: a bad batch (not really)")
		case t.mode == "early" && t.step == 50:
			return nil
		case t.mode == "hangs" && t.step == 30 && os.Getenv("ATTEMPT") == "1":
			select {}
		case t.mode == "floods":
			fmt.Println(strings.Repeat("loss is falling ", 4096))
		}
		if t.save > 0 && t.step%t.save == 0 {
			if err := t.checkpoint(); err != nil {
				return err
			}
		}
	}
	return t.checkpoint()
}

// report tells of a step, as fast as they come.
func (t *trainer) report() {
	percent := ""
	if t.steps > 0 {
		percent = fmt.Sprintf(" percent=%g", 100*float64(t.step)/float64(t.steps))
	}
	fmt.Fprintf(t.reports, "progress step=%d loss=%g%s\n", t.step, 10/float64(t.step), percent)
}

// leave saves the work and goes, as it was asked to.
func (t *trainer) leave() error {
	if t.mode == "careless" {
		os.Exit(unsaved)
	}
	if err := t.checkpoint(); err != nil {
		return err
	}
	os.Exit(saved)
	return nil
}

// checkpoint is written by the first rank alone.
func (t *trainer) checkpoint() error {
	if t.rank != 0 {
		return nil
	}
	dir := filepath.Join(os.Getenv("CHECKPOINT_DIR"), fmt.Sprintf("step-%d", t.step))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	fmt.Fprintf(t.reports, "saving step=%d\n", t.step)
	<-time.After(t.saving) // as a large one does
	if err := os.WriteFile(filepath.Join(dir, "step"), []byte(strconv.Itoa(t.step)), 0o644); err != nil {
		return err
	}
	if t.mode == "uncommitted" {
		return nil
	}
	if err := os.WriteFile(filepath.Join(dir, "COMMITTED"), nil, 0o644); err != nil {
		return err
	}
	_, err := fmt.Fprintf(t.reports, "committed step=%d path=%s\n", t.step, dir)
	return err
}

// leaveBehind starts a process that leaves the session, and one that loses its parent.
func leaveBehind() {
	seconds := strconv.Itoa(int(outliveFor.Seconds()))
	for _, script := range []string{"setsid sleep " + seconds + " &", "(setsid sh -c 'sleep " + seconds + " & wait' &)"} {
		if err := exec.CommandContext(context.Background(), "sh", "-c", script).Run(); err != nil {
			fmt.Fprintln(os.Stderr, "trainer:", err)
		}
	}
}
