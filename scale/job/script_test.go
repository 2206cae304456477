package job_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/scale/job"
)

var update = flag.Bool("update", false, "rewrite the expected lines of the golden cases")

// origin is 0s in the golden cases.
var origin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// golden runs the cases of a folder. A case is lines; those that begin with "> " are expected, and
// answer what stands before them. A line that begins with two spaces belongs to the one before.
func golden(t *testing.T, folder string, fresh func() func(lines []string) ([]string, error)) {
	files, err := filepath.Glob(filepath.Join("testdata", folder, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden cases in %s: %v", folder, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := answered(string(data), fresh())
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(data) {
				t.Errorf("%s differs (run with -update to accept)\n--- want\n%s\n--- got\n%s", file, data, got)
			}
		})
	}
}

// answered is a case with its expected lines replaced by what came out.
func answered(text string, answer func([]string) ([]string, error)) (string, error) {
	var out, step []string
	flush := func() error {
		if len(step) == 0 {
			return nil
		}
		lines, err := answer(step)
		out, step = append(out, lines...), nil
		return err
	}
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		switch {
		case strings.HasPrefix(line, "> "):
			continue
		case !strings.HasPrefix(line, "  "):
			if err := flush(); err != nil {
				return "", err
			}
			fallthrough
		default:
			out = append(out, line)
			if line != "" && !strings.HasPrefix(line, "#") {
				step = append(step, line)
			}
		}
	}
	if err := flush(); err != nil {
		return "", err
	}
	return strings.Join(out, "\n") + "\n", nil
}

// words splits a line at spaces outside of quotes; k="v w" is one word.
func words(line string) []string {
	var out []string
	var b strings.Builder
	quoted := false
	for _, r := range strings.TrimSpace(line) + " " {
		switch {
		case r == '"':
			quoted = !quoted
		case r == ' ' && !quoted:
			if b.Len() > 0 {
				out = append(out, b.String())
			}
			b.Reset()
		default:
			b.WriteRune(r)
		}
	}
	return out
}

// pairs are the k=v of a line; a word without = is k with an empty v.
type pairs map[string]string

func pairsOf(words []string) pairs {
	out := pairs{}
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		out[k] = v
	}
	return out
}

// take removes a key, so that what is left was not understood.
func (p pairs) take(k string) (string, bool) {
	v, found := p[k]
	delete(p, k)
	return v, found
}

func (p pairs) text(k string) string { v, _ := p.take(k); return v }

func (p pairs) number(k string) int {
	v, found := p.take(k)
	if !found {
		return 0
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		panic(fmt.Sprintf("%s=%s: %v", k, v, err))
	}
	return n
}

// moment is the time at k, zero if there is none.
func (p pairs) moment(k string) time.Time {
	v, found := p.take(k)
	if !found {
		return time.Time{}
	}
	return at(v)
}

func (p pairs) flag(k string) bool { _, found := p.take(k); return found }

// done fails if something was not understood.
func (p pairs) done() error {
	if len(p) > 0 {
		return fmt.Errorf("not understood: %v", map[string]string(p))
	}
	return nil
}

func at(offset string) time.Time {
	d, err := time.ParseDuration(offset)
	if err != nil {
		panic(err)
	}
	return origin.Add(d)
}

// evidence reads how a rank ended. The indented lines are xid, error and output.
func evidence(p pairs, ended time.Time, details []string) (*job.Evidence, error) {
	e := &job.Evidence{
		Rank: p.number("rank"), Node: p.text("node"), Ended: ended, ExitCode: p.number("code"), Signal: p.number("signal"),
		Sender: job.Sender(p.text("sender")), Refused: p.text("refused"), GivenUp: p.text("given-up"), LastHeard: p.moment("lost"), OOMKills: p.number("oom"), Recovery: p.number("recovery"),
	}
	if own := p.moment("ended"); !own.IsZero() {
		e.Ended = own
	}
	for _, line := range details {
		w := words(line)
		d := pairsOf(w[1:])
		switch w[0] {
		case "xid":
			e.Xids = append(e.Xids, job.Xid{Code: d.number("code"), GPU: d.text("gpu"), At: d.moment("at"), OtherJobs: d.number("others")})
		case "error":
			e.Error = &job.ProgramError{Message: d.text("text"), Stack: d.text("stack"), At: d.moment("at")}
		case "output":
			e.Output += d.text("text") + "\n"
		default:
			return nil, fmt.Errorf("no such detail: %s", line)
		}
		if err := d.done(); err != nil {
			return nil, fmt.Errorf("%s: %w", line, err)
		}
	}
	return e, nil
}
