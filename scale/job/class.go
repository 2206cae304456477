package job

import (
	"fmt"
	"regexp"
	"slices"

	"stoker.dev/stoker/functions"
)

// Class is what the end of a gang was: a closed set, listed by [Classes].
type Class string

// The classes.
const (
	ClassDone      Class = "done"
	ClassStopped   Class = "stopped"
	ClassPreempted Class = "preempted"
	ClassUnplaced  Class = "unplaced"
	ClassNodeLost  Class = "node-lost"
	ClassHardware  Class = "gpu-hardware"
	ClassDeclared  Class = "declared-infra"
	ClassPermanent Class = "permanent"
	ClassLeft      Class = "left"
	ClassBarrier   Class = "barrier"
	ClassNeverRan  Class = "never-ran"
	ClassNetwork   Class = "network"
	ClassStorage   Class = "storage"
	ClassHostOOM   Class = "host-oom"
	ClassGPUOOM    Class = "gpu-oom"
	ClassGPUFault  Class = "gpu-fault"
	ClassHang      Class = "hang"
	ClassConfig    Class = "config"
	ClassException Class = "exception"
	ClassCrash     Class = "crash"
	ClassKilled    Class = "killed"
	ClassExit      Class = "exit"
)

// What programs say when something broke, as NCCL, gloo, torch, JAX and the C library write it.
var (
	collectiveText = regexp.MustCompile(`(?i)watchdog caught collective operation timeout|ncclRemoteError|ncclSystemError|NCCL communicator was aborted|gloo.*(timed out|connection (closed|reset|refused))|connection (closed|reset) by (remote )?peer`)
	storageText    = regexp.MustCompile(`(?i)\[Errno (5|28|30|116|121|122)\]|no space left on device|input/output error|stale file handle|read-only file system|disk quota exceeded|remote I/O error|\b(status( code)?|HTTP(/[0-9.]+)?):? ?50[0-4]\b|SlowDown`)
	gpuMemoryText  = regexp.MustCompile(`(?i)(CUDA|HIP) out of memory|torch\.(cuda\.)?OutOfMemoryError|CUDA_ERROR_OUT_OF_MEMORY|RESOURCE_EXHAUSTED: Out of memory`)
	setupText      = regexp.MustCompile(`(?m)^(ModuleNotFoundError|ImportError|SyntaxError)\b|unrecognized arguments|the following arguments are required`)
	tracebackText  = regexp.MustCompile(`Traceback \(most recent call last\)`)
	askedText      = regexp.MustCompile(`SignalException|Received 15 death signal|KeyboardInterrupt`)
)

// class is one row of the table: what a class is seen by and what follows.
type class struct {
	class   Class
	meaning string
	fits    func(Trial, Evidence) bool // nil: made by Judge itself
	action  Action
	spends  Budget
	hint    string
	adjust  func(Trial, *Verdict) // what depends on the attempt before; may be nil
}

// classes are tried in this order, the first that fits wins: what the platform did itself, what
// machines report, what the program declares, and last what its words suggest.
var classes = []class{
	{
		class: ClassDone, meaning: "every rank ended well", action: ActionFinish,
	}, {
		class: ClassStopped, meaning: "it was cancelled, paused or out of time, and went",
		fits: asked(Cause.stops), action: ActionStop,
	}, {
		class: ClassPreempted, meaning: "it was asked to make room, and went",
		fits: wentAsAsked, action: ActionRequeue,
	}, {
		class: ClassUnplaced, meaning: "not all of it could be started then, for a reason that may pass",
		fits: func(t Trial, e Evidence) bool { return t.Asked == CauseUnplaced && e.echo() }, action: ActionRetry,
	}, {
		class: ClassNodeLost, meaning: "its node is gone: the lease expired and the agent is dead",
		fits: shows(Evidence.nodeLost), action: ActionElsewhere, spends: SpendsInfra,
	}, {
		class: ClassHardware, meaning: "a GPU failed",
		fits: shows(Evidence.hardware), action: ActionElsewhere, spends: SpendsInfra,
		hint: "the GPU should not be used before it is reset or replaced",
	}, {
		class: ClassDeclared, meaning: "the program says that its machine failed (retry.exitCodes.infra)",
		fits: exits(infraCodes), action: ActionElsewhere, spends: SpendsInfra,
	}, {
		class: ClassPermanent, meaning: "the program says that no further attempt helps (retry.exitCodes.permanent)",
		fits: exits(permanentCodes), action: ActionFail, spends: SpendsUser,
	}, {
		class: ClassLeft, meaning: "it left by itself to be started again (retry.exitCodes.saved or unsaved)",
		fits: exits(leavingCodes), action: ActionRetry, spends: SpendsUser, adjust: leftWithWork,
		hint: "commit a checkpoint before leaving: then it costs no retry",
	}, {
		class: ClassBarrier, meaning: "not every rank was there in time",
		fits: askedFor(CauseBarrier), action: ActionElsewhere, spends: SpendsInfra, adjust: blameMissing,
	}, {
		class: ClassNeverRan, meaning: "a rank was given up before it ran: its node had no room for it, or its containers did not begin",
		fits: shows(func(e Evidence) bool { return e.GivenUp != "" }), action: ActionElsewhere, spends: SpendsInfra,
	}, {
		class: ClassNetwork, meaning: "collective operations broke down on several ranks, and nothing else did before",
		fits: brokeDown, action: ActionElsewhere, spends: SpendsInfra, adjust: onceAt(ClassNetwork),
		hint: "it happened twice at the same step: ranks that disagree about the next collective operation look like this, too",
	}, {
		class: ClassStorage, meaning: "the dataset or a checkpoint could not be read or written",
		fits: says(storageText), action: ActionRetry, spends: SpendsInfra,
		hint: "look at the space and the permissions of the checkpoint directory and the dataset",
	}, {
		class: ClassHostOOM, meaning: "the kernel killed processes of it for want of host memory",
		fits: shows(func(e Evidence) bool { return e.OOMKills > 0 }), action: ActionFail, spends: SpendsUser,
		hint: "raise resources.memory, or lower the number of data loading workers",
	}, {
		class: ClassGPUOOM, meaning: "it asked for more GPU memory than there is",
		fits: says(gpuMemoryText), action: ActionFail, spends: SpendsUser,
		hint: "lower the batch size, or ask for GPUs with more memory with resources.gpuMemory",
	}, {
		class: ClassGPUFault, meaning: "its code did to a GPU what the driver stops; the GPU is healthy",
		fits: shows(Evidence.faults), action: ActionFail, spends: SpendsUser,
		hint: "look for accesses outside of a tensor; CUDA_LAUNCH_BLOCKING=1 shows where",
	}, {
		class: ClassHang, meaning: "no progress for too long, though its nodes could be reached",
		fits: askedFor(CauseHung), action: ActionRetry, spends: SpendsInfra, adjust: onceAt(ClassHang),
		hint: "it hung twice at the same step: ranks that wait for each other, or for data that never comes, look like this",
	}, {
		class: ClassConfig, meaning: "it could not begin: an image, a program, a module or a setting is wrong",
		fits: neverBegan, action: ActionFail, spends: SpendsUser,
		hint: "try the command by hand in the same image",
	}, {
		class: ClassException, meaning: "the program raised an exception",
		fits: shows(Evidence.raised), action: ActionRetry, spends: SpendsUser,
	}, {
		class: ClassCrash, meaning: "the program crashed: a segmentation fault, an abort or alike",
		fits: shows(func(e Evidence) bool { return slices.Contains(crashes, e.signal()) }), action: ActionRetry, spends: SpendsUser,
	}, {
		class: ClassKilled, meaning: "somebody else than the platform ended it, and nothing says why",
		fits: shows(func(e Evidence) bool { return e.signal() != 0 }), action: ActionElsewhere, spends: SpendsInfra,
		hint: "look who ends processes on that node",
	}, {
		class: ClassExit, meaning: "an exit code that means nothing in particular",
		fits: func(Trial, Evidence) bool { return true }, action: ActionRetry, spends: SpendsUser,
	},
}

// Classes lists every class, in the order in which they are tried. The caller owns the slice.
func Classes() []Class {
	out := make([]Class, len(classes))
	for i, c := range classes {
		out[i] = c.class
	}
	return out
}

// Meaning is one sentence for people; empty for a class outside the set.
func (c Class) Meaning() string {
	for _, row := range classes {
		if row.class == c {
			return row.meaning
		}
	}
	return ""
}

// shows makes a test of the evidence alone.
func shows(test func(Evidence) bool) func(Trial, Evidence) bool {
	return func(_ Trial, e Evidence) bool { return test(e) }
}

// says makes a test of what the program wrote.
func says(text *regexp.Regexp) func(Trial, Evidence) bool {
	return shows(func(e Evidence) bool { return text.MatchString(e.said()) })
}

// asked makes a test of what the gang was told to go for.
func asked(test func(Cause) bool) func(Trial, Evidence) bool {
	return func(t Trial, _ Evidence) bool { return test(t.Asked) }
}

func askedFor(c Cause) func(Trial, Evidence) bool {
	return asked(func(asked Cause) bool { return asked == c })
}

// exits makes a test of the exit code.
func exits(codes func(functions.ExitCodes) []int) func(Trial, Evidence) bool {
	return func(t Trial, e Evidence) bool { return has(codes(t.Codes), e) }
}

func infraCodes(c functions.ExitCodes) []int     { return c.Infra }
func permanentCodes(c functions.ExitCodes) []int { return c.Permanent }
func leavingCodes(c functions.ExitCodes) []int   { return slices.Concat(c.Saved, c.Unsaved) }

// has tells whether a code is in a list.
func has(codes []int, e Evidence) bool {
	return e.signal() == 0 && e.ExitCode != 0 && slices.Contains(codes, e.ExitCode)
}

// brokeDown tells whether the collective operations of several ranks broke down.
func brokeDown(t Trial, e Evidence) bool {
	n := 0
	for _, rank := range t.Ranks {
		if rank.collective() {
			n++
		}
	}
	return e.collective() && n > 1
}

// wentAsAsked tells whether a rank that was asked to make room did so: by the exit codes for it, by
// the signal, by having saved since, or by an end without an error. torchrun makes 1 of whatever
// its workers exit with, so the code is not asked for more.
func wentAsAsked(t Trial, e Evidence) bool {
	if !t.Asked.makesRoom() || e.nodeLost() || e.hardware() {
		return false
	}
	switch {
	case has(t.Codes.Permanent, e), has(t.Codes.BadConfig, e):
		return false
	case has(leavingCodes(t.Codes), e), e.signal() == sigTERM, e.Sender == SenderPlatform, t.saved(t.AskedAt):
		return true
	default:
		return e.OOMKills == 0 && e.signal() == 0 && (!e.raised() || askedText.MatchString(e.said()))
	}
}

// neverBegan tells whether a rank failed before its first step for a reason that will be there again.
func neverBegan(t Trial, e Evidence) bool {
	const notExecutable, notFound = 126, 127
	return e.Refused != "" || has(t.Codes.BadConfig, e) ||
		t.Step == 0 && (e.ExitCode == notExecutable || e.ExitCode == notFound || setupText.MatchString(e.said()))
}

// blameMissing turns the verdict to a rank that did not come: those that waited were killed for it.
func blameMissing(t Trial, v *Verdict) {
	if len(t.Missing) == 0 {
		return
	}
	e := t.Ranks[t.Missing[0]]
	v.Rank, v.Node = e.Rank, e.Node
	v.Evidence = []string{fmt.Sprintf("%d of %d ranks were not there within %s, rank %d for one", len(t.Missing), len(t.Ranks), BarrierTimeout, e.Rank)}
}

// leftWithWork makes leaving free for a gang that saved something: it comes nearer to its end each time.
func leftWithWork(t Trial, v *Verdict) {
	if t.saved(t.Started) {
		v.Action, v.Spends, v.Hint = ActionRequeue, SpendsNothing, ""
	}
}

// onceAt retries once, and asks the user if the attempt before ended the same way at the same step.
func onceAt(c Class) func(Trial, *Verdict) {
	return func(t Trial, v *Verdict) {
		if t.again(c) {
			v.Action, v.Spends = ActionFail, SpendsUser
			return
		}
		v.Hint = ""
	}
}
