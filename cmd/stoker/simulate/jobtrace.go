package simulate

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	jobsim "stoker.dev/stoker/scale/jobs/simulate"
)

// Bounds of what a trace of jobs may hold. All its jobs are kept in memory.
const (
	maxJobs = 5_000_000
	maxGang = 1_000_000 // GPUs of one job
)

// jobLayouts are the names of the columns that a trace of jobs must have, in each of two layouts:
// when a job comes, its GPUs, and how long it runs.
var jobLayouts = [][3]string{
	{"submit_s", "gpus", "duration_s"},
	{"submit_time", "num_gpu", "duration"},
}

// jobTrace reads jobs from CSV. Columns are places in a row; -1: not there.
type jobTrace struct {
	csvFile
	layout             [3]string
	at, gpus, duration int
	id, user, name     int
	pool               int // GPUs there are
	last               time.Duration
	ids                map[string]bool
}

// ReadJobs reads all jobs of a trace, none of which may ask for more GPUs than the pool has. The file's
// name is for messages. Errors match ErrTrace.
func ReadJobs(file string, r io.Reader, pool int) ([]jobsim.Submission, error) {
	t := &jobTrace{pool: pool, ids: map[string]bool{}}
	header, err := t.open(file, r, "a header such as submit_s,gpus,duration_s,user and rows")
	if err != nil {
		return nil, err
	}
	if err := t.readHeader(header); err != nil {
		return nil, err
	}
	var out []jobsim.Submission
	for {
		rec, err := t.row()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		s, err := t.job(rec)
		if err != nil {
			return nil, err
		}
		if out = append(out, s); len(out) > maxJobs {
			return nil, rowError{File: file, Line: t.line, Value: "more jobs", Want: fmt.Sprintf("at most %d", maxJobs)}
		}
	}
	if len(out) == 0 {
		return nil, rowError{File: file, Line: 2, Value: "no rows", Want: "at least one job"}
	}
	return out, nil
}

func (t *jobTrace) readHeader(header []string) error {
	names := columnNames(header)
	shown := fmt.Sprintf("%q", clip(strings.Join(header, ",")))
	for i, n := range names {
		if slices.Index(names, n) < i {
			_, at := t.rows.FieldPos(i)
			return rowError{File: t.file, Line: 1, Column: at, Name: n, Value: "given twice", Want: "each column once"}
		}
	}
	known := slices.IndexFunc(jobLayouts, func(l [3]string) bool { return slices.Contains(names, l[0]) })
	if known < 0 {
		return rowError{File: t.file, Line: 1, Value: "no column says when jobs come in " + shown, Want: "a header such as submit_s,gpus,duration_s,user or job_id,num_gpu,submit_time,duration"}
	}
	t.layout = jobLayouts[known]
	for i, to := range []*int{&t.at, &t.gpus, &t.duration} {
		if *to = slices.Index(names, t.layout[i]); *to < 0 {
			return rowError{File: t.file, Line: 1, Name: t.layout[i], Value: "no such column in " + shown, Want: "it beside " + t.layout[0]}
		}
	}
	t.id, t.user = slices.Index(names, "job_id"), slices.Index(names, "user")
	t.name = max(slices.Index(names, "name"), slices.Index(names, "model_name"))
	return nil
}

func (t *jobTrace) job(rec []string) (s jobsim.Submission, err error) {
	var at, gpus, duration float64
	if at, err = t.amount(rec, t.at, t.layout[0], maxSpan); err != nil {
		return s, err
	}
	if gpus, err = t.amount(rec, t.gpus, t.layout[1], maxGang); err != nil {
		return s, err
	}
	if duration, err = t.amount(rec, t.duration, t.layout[2], maxSpan); err != nil {
		return s, err
	}
	s = jobsim.Submission{GPUs: int(gpus), At: seconds(at), Duration: seconds(duration)}
	switch {
	case gpus < 1 || gpus != float64(s.GPUs):
		return s, t.wrong(rec, t.gpus, t.layout[1], fmt.Sprintf("a whole number from 1 to %d", maxGang))
	case s.GPUs > t.pool:
		return s, t.wrong(rec, t.gpus, t.layout[1], fmt.Sprintf("at most the %d GPUs there are: raise --gpus, or leave the job out", t.pool))
	case s.At < t.last:
		return s, t.wrong(rec, t.at, t.layout[0], fmt.Sprintf("no earlier than the row before (%gs)", t.last.Seconds()))
	}
	t.last = s.At
	for _, f := range []struct {
		to     *string
		column int
		name   string
	}{{&s.ID, t.id, "job_id"}, {&s.User, t.user, "user"}, {&s.Name, t.name, "name"}} {
		if *f.to, err = t.text(rec, f.column, f.name); err != nil {
			return s, err
		}
	}
	return s, t.identify(rec, &s)
}

// text reads a name; one whose column is not there is empty.
func (t *jobTrace) text(rec []string, column int, name string) (string, error) {
	if column < 0 {
		return "", nil
	}
	if len(rec[column]) > maxName {
		return "", t.wrong(rec, column, name, fmt.Sprintf("at most %d bytes", maxName))
	}
	return strings.Clone(rec[column]), nil
}

// identify gives a job without an ID its line's number, and refuses a job that came before.
func (t *jobTrace) identify(rec []string, s *jobsim.Submission) error {
	switch {
	case t.id < 0:
		s.ID = strconv.Itoa(t.line)
	case s.ID == "" || t.ids[s.ID]:
		return t.wrong(rec, t.id, "job_id", "a name that no other job has")
	}
	t.ids[s.ID] = true
	return nil
}
