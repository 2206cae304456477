// Command training is the smallest training program that can be stopped at any moment and goes on where it
// was. It finds the weight 3 by gradient descent, and takes the number of steps as its argument.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

type state struct {
	Step   int
	Weight float64
}

func main() {
	told, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM) // done once the platform wants us to go
	defer stop()
	reports := must(os.OpenFile(os.Getenv("PROGRESS_FILE"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644))
	var s state
	if from := os.Getenv("RESUME_FROM"); from != "" {
		check(json.Unmarshal(must(os.ReadFile(from+"/state.json")), &s))
	}
	for steps := must(strconv.Atoi(os.Args[1])); s.Step < steps; {
		s = state{s.Step + 1, s.Weight - 1e-4*(s.Weight-3)}
		if told.Err() != nil || s.Step%1000 == 0 || s.Step == steps {
			checkpoint := fmt.Sprintf("%s/step-%d", os.Getenv("CHECKPOINT_DIR"), s.Step)
			check(os.MkdirAll(checkpoint, 0o755))
			write(checkpoint+"/state.json", must(json.Marshal(s)))
			write(checkpoint+"/COMMITTED", nil) // last: from here on it counts
			fmt.Fprintf(reports, "progress step=%d loss=%g percent=%g\n", s.Step, (s.Weight-3)*(s.Weight-3), 100*float64(s.Step)/float64(steps))
			fmt.Fprintf(reports, "committed step=%d path=%s\n", s.Step, checkpoint)
			if told.Err() != nil && s.Step < steps {
				os.Exit(75) // saved; start me again when there is room
			}
		}
	}
}

// write writes a file whole or not at all; it is on the disk when it returns.
func write(file string, data []byte) {
	f := must(os.Create(file + ".tmp"))
	_, err := f.Write(data)
	check(errors.Join(err, f.Sync(), f.Close()))
	check(os.Rename(file+".tmp", file))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}
