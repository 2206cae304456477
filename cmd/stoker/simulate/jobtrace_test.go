package simulate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	jobsim "stoker.dev/stoker/scale/jobs/simulate"
)

func TestJobTraces(t *testing.T) {
	want := []jobsim.Submission{
		{ID: "7", GPUs: 2, At: 500 * time.Millisecond, Duration: 3 * time.Second, Name: "m"}, {ID: "9", GPUs: 8, At: 2 * time.Second, Name: "n"},
	}
	text := "job_id,num_gpu,submit_time,iterations,model_name,duration,interval\n7,2,0.5,606,m,3,30\n9,8,2,1,n,0,30\n"
	for name, data := range map[string][]byte{
		"plain": []byte(text), "gzip": zipped(t, text), "CRLF": []byte(strings.ReplaceAll(text, "\n", "\r\n")), "BOM": []byte("\ufeff" + text),
	} {
		got, err := ReadJobs("j.csv", bytes.NewReader(data), maxGang)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	got, err := ReadJobs("j.csv", strings.NewReader("submit_s,gpus,duration_s,user,state\n1,4,60,ann,Pass\n1,1,1,,\n"), maxGang)
	if err != nil || len(got) != 2 || got[0] != (jobsim.Submission{ID: "2", User: "ann", GPUs: 4, At: time.Second, Duration: time.Minute}) || got[1].ID != "3" {
		t.Errorf("the other layout: %+v, %v", got, err)
	}
}

// TestBadJobTraces: every message names the place and what is wanted.
func TestBadJobTraces(t *testing.T) {
	const header = "submit_s,gpus,duration_s,user\n"
	whole := zipped(t, header+strings.Repeat("1,2,3,a\n", 100_000))
	for name, c := range map[string]struct{ text, want string }{
		"empty file":     {"", "j.csv: the file is empty; want a header"},
		"no rows":        {header, "j.csv:2: no rows; want at least one job"},
		"requests":       {"arrival_s,input_tokens\n1,2\n", "j.csv:1: no column says when jobs come"},
		"no GPUs":        {"submit_s,duration_s\n1,2\n", "j.csv:1: gpus: no such column"},
		"other layout's": {"submit_time,num_gpu,duration_s\n1,2,3\n", "j.csv:1: duration: no such column"},
		"column twice":   {"submit_s,gpus,duration_s,gpus\n1,2,3,4\n", "j.csv:1:26: gpus: given twice"},
		"unsorted":       {header + "5,1,1,a\n4,1,1,a\n", `j.csv:3:1: submit_s: "4"; want no earlier than the row before (5s)`},
		"no gang":        {header + "1,0,1,a\n", `j.csv:2:3: gpus: "0"; want a whole number from 1`},
		"half a GPU":     {header + "1,0.5,1,a\n", `j.csv:2:3: gpus: "0.5"; want a whole number`},
		"absurd gang":    {header + "1,1e9,1,a\n", `j.csv:2:3: gpus: "1e9"; want a number from 0`},
		"too large":      {header + "1,4,1,a\n1,5,1,a\n", `j.csv:3:3: gpus: "5"; want at most the 4 GPUs there are`},
		"negative":       {header + "1,1,-1,a\n", `j.csv:2:5: duration_s: "-1"; want a number from 0`},
		"NaN":            {header + "NaN,1,1,a\n", `j.csv:2:1: submit_s: "NaN"; want a number`},
		"long user":      {header + "1,1,1," + strings.Repeat("x", 300) + "\n", "j.csv:2:7: user"},
		"job twice":      {"job_id,num_gpu,submit_time,duration\na,1,1,1\na,1,1,1\n", `j.csv:3:1: job_id: "a"; want a name that no other job has`},
		"job without ID": {"job_id,num_gpu,submit_time,duration\n,1,1,1\n", `j.csv:2:1: job_id: ""; want`},
		"fields missing": {header + "1,2\n", "j.csv:2: another number of fields; want 4"},
		"cut gzip":       {string(whole[:len(whole)/2]), "the gzip data ends early; want the whole file"},
		"endless line":   {header + strings.Repeat("1", 1<<20), "j.csv:2: a longer row"},
		"binary":         {"\x00\x01\x02\xff\xfe", "j.csv:1: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadJobs("j.csv", strings.NewReader(c.text), 4)
			if !errors.Is(err, ErrTrace) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v\nwant ErrTrace with %s", err, c.want)
			}
		})
	}
}

// FuzzJobs: whatever a file holds, its jobs can be simulated or it is refused with its name.
func FuzzJobs(f *testing.F) {
	for _, s := range []string{"submit_s,gpus,duration_s,user,state\n1,4,60,ann,Pass\n", "job_id,num_gpu,submit_time,duration\na,1,1,1\nb,2,1,0\n", "", "submit_s\n"} {
		f.Add([]byte(s))
		f.Add(zipped(f, s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := ReadJobs("j.csv", bytes.NewReader(data), maxGang)
		if err != nil {
			if !errors.Is(err, ErrTrace) || !strings.Contains(err.Error(), "j.csv") {
				t.Fatalf("error %v, want ErrTrace with the file's name", err)
			}
			return
		}
		if out, err := jobsim.Run(jobsim.Config{GPUs: maxGang, Policy: "stoker"}, got); err != nil || len(out) != len(got) || len(got) == 0 {
			t.Fatalf("%d of %d jobs ended, %v", len(out), len(got), err)
		}
	})
}

// TestJobsAreSimulatedExactly: 60 jobs whose figures two other simulators agree on, with no
// overhead. Mean completion, mean wait and makespan, in seconds.
func TestJobsAreSimulatedExactly(t *testing.T) {
	file := recordedFile(t, "train_tiresias_60.csv")
	for _, c := range []struct {
		gpus                int
		policy              string
		jct, wait, makespan float64
	}{
		{8, "fifo", 1556.48, 1378.07, 5747}, {8, "fifo-skip", 715.27, 536.85, 4806}, {8, "las", 715.27, 536.85, 4806},
		{8, "srtf", 519.87, 341.45, 4901}, {8, "srgt", 563.38, 384.97, 4962},
		{16, "fifo", 200.82, 22.40, 3335}, {16, "fifo-skip", 190.68, 12.27, 3271}, {16, "las", 190.68, 12.27, 3271}, {16, "srtf", 192.12, 13.70, 3271},
		{32, "fifo", 178.42, 0, -1}, {32, "srtf", 178.42, 0, -1}, {32, "stoker", 178.42, 0, -1},
		{12, "fifo", 423.48, -1, -1}, {12, "fifo-skip", 310.42, -1, -1}, {12, "srtf", 273.50, -1, -1},
	} {
		got, err := RunJobs(context.Background(), JobOptions{Jobs: file, GPUs: c.gpus, Policies: []string{c.policy}})
		if err != nil || len(got) != 1 {
			t.Fatal(got, err)
		}
		for _, f := range []struct{ got, want float64 }{{got[0].MeanJCT, c.jct}, {got[0].MeanWait, c.wait}, {got[0].Makespan, c.makespan}} {
			if f.want >= 0 && math.Round(f.got*100) != math.Round(f.want*100) {
				t.Errorf("%d GPUs, %s: %.4f, want %.2f in %+v", c.gpus, c.policy, f.got, f.want, got[0])
			}
		}
	}
}

func TestRunJobsEndsWithItsContext(t *testing.T) {
	file := filepath.Join(t.TempDir(), "j.csv")
	if err := os.WriteFile(file, []byte("submit_s,gpus,duration_s\n1,1,1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	o := JobOptions{Jobs: file, GPUs: 1, Policies: []string{"stoker", "fifo"}}
	if got, err := RunJobs(ctx, o); err != nil || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
	cancel()
	if got, err := RunJobs(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v, want that it was cancelled", got, err)
	}
}

// TestStokerOnARecordedCluster: on the first jobs of a recorded month, 30 s lost a preemption,
// stoker is told no run times, comes within a quarter of who is told them all, and is ahead of
// those who are told none.
func TestStokerOnARecordedCluster(t *testing.T) {
	const first = 9000
	f, err := os.Open(recordedFile(t, "train_philly_oct2017.csv.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	trace, err := ReadJobs(f.Name(), f, maxGang)
	if err != nil || len(trace) != 46070 {
		t.Fatalf("%d jobs, %v", len(trace), err)
	}
	means := map[string]float64{}
	for _, name := range []string{"stoker", "las", "qssf", "srtf"} {
		c := jobsim.Config{GPUs: 512, Overhead: 30 * time.Second, Policy: name}
		out, err := jobsim.Run(c, trace[:first])
		if err != nil {
			t.Fatal(err)
		}
		means[name] = jobsim.Summary(c, out, nil).MeanJCT
	}
	if got := means["stoker"]; got > 1.25*means["srtf"] || got > means["las"] || got > means["qssf"] {
		t.Errorf("mean completion %v", means)
	}
	t.Logf("mean completion %v", means)
}
