package job_test

import (
	"fmt"
	"time"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
)

// A job is asked to make room: it gets notice, and its place at the head of the queue.
func ExampleStep() {
	spec := functions.DefaultJob(functions.TrainingJob{}).Spec
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s, commands := job.New(now)
	for _, e := range []job.Event{
		{Kind: job.Admit, Nodes: 1}, {Kind: job.Place}, {Kind: job.Arrive}, {Kind: job.Leave, Cause: job.CauseRecalled},
		{Kind: job.End, Evidence: &job.Evidence{ExitCode: functions.ExitSaved}},
	} {
		e.Generation = s.Generation
		next, more, err := job.Step(spec, s, e, now)
		if err != nil {
			fmt.Println(err)
			return
		}
		s, commands = next, append(commands, more...)
	}
	for _, c := range commands {
		fmt.Println(c.Do, c.Generation)
	}
	fmt.Println(s.Phase, "because:", s.Cause.Meaning())
	// Output:
	// enqueue 1
	// bind 1
	// start 1
	// open 1
	// notify 1
	// release 1
	// enqueue 2
	// queued because: inference needs the GPUs that it had lent
}

// The first trouble in time decides: rank 1 timed out because rank 0's GPU had failed.
func ExampleJudge() {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	v := job.Judge(job.Trial{Started: start, Step: 900, Ranks: []job.Evidence{
		{Rank: 0, Node: "n7", Ended: start.Add(time.Hour), Signal: 9, Sender: job.SenderPlatform, Xids: []job.Xid{{Code: 79, GPU: "GPU-3", At: start.Add(50 * time.Minute)}}},
		{Rank: 1, Node: "n8", Ended: start.Add(59 * time.Minute), Signal: 6, Sender: job.SenderSelf, Output: "Watchdog caught collective operation timeout"},
	}})
	fmt.Println(v.Class, "→", v.Action+",", "spends", v.Spends)
	fmt.Println(v.Evidence[1])
	// Output:
	// gpu-hardware → retry-elsewhere, spends infra
	// rank 0: Xid 79 on GPU GPU-3
}
