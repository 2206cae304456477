package job

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Sender is who sent the signal that ended a process.
type Sender string

// The senders. An exit code alone does not tell them apart: 137 is the kernel's, ours or anybody's.
const (
	SenderUnknown  Sender = ""
	SenderPlatform Sender = "platform" // we did: notice, kill, release
	SenderSelf     Sender = "self"     // the process crashed: abort, segmentation fault, …
)

// Signals that are told apart.
const (
	sigABRT = 6
	sigKILL = 9
	sigTERM = 15
)

// crashes are the signals that a process brings upon itself: ILL, TRAP, ABRT, BUS, FPE, SEGV, SYS.
var crashes = []int{4, 5, sigABRT, 7, 8, 11, 31}

// Xid is one event that NVIDIA's driver reported of a GPU during the attempt.
type Xid struct {
	Code      int       `json:"code"`
	GPU       string    `json:"gpu,omitempty"`
	At        time.Time `json:"at"`
	OtherJobs int       `json:"otherJobs,omitempty"` // other jobs this GPU did the same to lately
}

// Evidence is what is known of how one rank ended, once its process tree is gone or its node is.
type Evidence struct {
	Rank      int           `json:"rank"`
	Node      string        `json:"node,omitempty"`
	Ended     time.Time     `json:"ended"`
	ExitCode  int           `json:"exitCode,omitempty"` // of its main process; 128 + n is read as signal n, as shells and launchers write it
	Signal    int           `json:"signal,omitempty"`   // that ended it; 0: none
	Sender    Sender        `json:"sender,omitempty"`
	Refused   string        `json:"refused,omitempty"`  // why it could not be started at all
	GivenUp   string        `json:"givenUp,omitempty"`  // why the platform gave it up before it ran, though it may run another time
	LastHeard time.Time     `json:"lastHeard,omitzero"` // set only if its node is lost: the lease expired and the agent is known to be dead
	OOMKills  int           `json:"oomKills,omitempty"` // processes the kernel killed in its cgroup for want of memory
	Xids      []Xid         `json:"xids,omitempty"`     // oldest first
	Recovery  int           `json:"recovery,omitempty"` // what NVML wants done to a GPU of it: 0 nothing, 1 reset, 2 reboot of the node, …
	Error     *ProgramError `json:"error,omitempty"`    // what the program wrote about its own end
	Output    string        `json:"output,omitempty"`   // its last lines
}

// nodeLost tells whether the rank went with its node.
func (e Evidence) nodeLost() bool { return !e.LastHeard.IsZero() }

// healthyXids are the events that are an application's fault and leave the GPU healthy, as
// NVIDIA's device plugin for Kubernetes lists them.
var healthyXids = []int{13, 31, 43, consequence, 68, 109}

// consequence is an event that only follows another one, or the end of a process by somebody else.
const consequence = 45

// faults are the events that are no mere consequence.
func (e Evidence) faults() bool {
	return slices.ContainsFunc(e.Xids, func(x Xid) bool { return x.Code != consequence })
}

// hardware tells whether a GPU is at fault: an event outside of those that leave it healthy, what
// NVML wants done to it, or the same event in several jobs.
func (e Evidence) hardware() bool {
	return e.Recovery != 0 || slices.ContainsFunc(e.Xids, func(x Xid) bool {
		return !slices.Contains(healthyXids, x.Code) || x.OtherJobs > 0 && x.Code != consequence
	})
}

// raised tells whether the program ended by an exception, as far as it says.
func (e Evidence) raised() bool { return e.Error != nil || tracebackText.MatchString(e.Output) }

// collective tells whether a collective operation broke down, as far as the program says. A registry that
// breaks a connection is none.
func (e Evidence) collective() bool { return e.Refused == "" && collectiveText.MatchString(e.said()) }

// signal is what ended the rank, also where a shell or launcher has made an exit code of it.
func (e Evidence) signal() int {
	const shell, last = 128, 64
	if e.Signal == 0 && e.ExitCode > shell && e.ExitCode <= shell+last {
		return e.ExitCode - shell
	}
	return e.Signal
}

// clean tells whether nothing went wrong with the rank.
func (e Evidence) clean() bool {
	return e.ExitCode == 0 && e.Signal == 0 && e.Refused == "" && e.GivenUp == "" && !e.nodeLost() && e.OOMKills == 0
}

// echo tells whether the rank ended because the platform ended it, with nothing wrong of its own.
func (e Evidence) echo() bool {
	return e.Sender == SenderPlatform && !e.nodeLost() && e.OOMKills == 0 && !e.faults() && e.Recovery == 0 && e.Error == nil
}

// errorClock is what the time in an error file may be short of: torch cuts it to whole seconds. Without it a
// peer that noticed a failure at once would be taken for the one that failed, since its error seems to be older.
const errorClock = time.Second

// began is when the trouble of the rank began: a node falls silent before its lease expires, and a
// GPU fails before the process that uses it does. Of an error file it is the latest that fits.
func (e Evidence) began() time.Time {
	at := e.Ended
	earlier := func(t time.Time) {
		if !t.IsZero() && t.Before(at) {
			at = t
		}
	}
	earlier(e.LastHeard)
	if e.Error != nil && !e.Error.At.IsZero() {
		earlier(e.Error.At.Add(errorClock))
	}
	for _, x := range e.Xids {
		if x.Code != consequence {
			earlier(x.At)
		}
	}
	return at
}

// said is what the program said about its end: its error file, or else its last lines, which may speak
// of anything.
func (e Evidence) said() string {
	if e.Error == nil {
		return e.Output
	}
	return e.Error.Message + "\n" + e.Error.Stack
}

// quote is the evidence as people read it, one line for each piece.
func (e Evidence) quote() []string {
	var out []string
	say := func(format string, args ...any) {
		out = append(out, fmt.Sprintf("rank %d: ", e.Rank)+fmt.Sprintf(format, args...))
	}
	switch {
	case e.Refused != "":
		say("could not be started: %.200q", firstLine(e.Refused))
	case e.GivenUp != "":
		say("given up before it ran: %.200q", firstLine(e.GivenUp))
	case e.nodeLost():
		say("node %s is lost, last heard at %s", e.Node, e.LastHeard.UTC().Format(time.RFC3339))
	case e.Signal != 0:
		say("ended by signal %d from %s", e.Signal, orUnknown(string(e.Sender)))
	default:
		say("exit code %d", e.ExitCode)
	}
	if e.OOMKills > 0 {
		say("the kernel killed %d of its processes for want of memory", e.OOMKills)
	}
	for _, x := range e.Xids {
		text := ""
		if x.OtherJobs > 0 {
			text = fmt.Sprintf(", as in %d other jobs lately", x.OtherJobs)
		}
		say("Xid %d on GPU %s%s", x.Code, orUnknown(x.GPU), text)
	}
	if e.Recovery != 0 {
		say("the driver wants recovery action %d", e.Recovery)
	}
	if e.Error != nil {
		say("the program says %.200q", firstLine(e.Error.Message))
	} else if last := lastLine(e.Output); last != "" {
		say("its output ends with %.200q", last)
	}
	return out
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// firstLine and lastLine are lines of a text without the blank ones around it.
func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndex(text, "\n")+1:]
}

// troubles are the ranks that did not end well, the earliest trouble first, since one failure takes
// its peers with it; those that only echo the platform's doing where there are no others. The
// caller's slice is left as it is.
func troubles(ranks []Evidence) []Evidence {
	out := slices.DeleteFunc(slices.Clone(ranks), Evidence.clean)
	slices.SortStableFunc(out, func(a, b Evidence) int { return cmp.Or(a.began().Compare(b.began()), cmp.Compare(a.Rank, b.Rank)) })
	own := slices.DeleteFunc(slices.Clone(out), Evidence.echo)
	if len(own) > 0 {
		return own
	}
	return out
}
