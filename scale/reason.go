package scale

// Reason is a closed set; [Reasons] lists it and the package documentation explains it.
type Reason string

// The reasons.
const (
	ReasonNone         Reason = ""
	ReasonWakeFromZero Reason = "wake-from-zero"
	ReasonBacklog      Reason = "backlog"
	ReasonArrivals     Reason = "arrivals"
	ReasonRace         Reason = "race"
	ReasonSteady       Reason = "steady"
	ReasonKeepAlive    Reason = "keep-alive"
	ReasonPreWarm      Reason = "pre-warm"
	ReasonIdle         Reason = "idle"
	ReasonOversized    Reason = "oversized"
	ReasonMinReplicas  Reason = "min-replicas"
	ReasonMaxReplicas  Reason = "max-replicas"
	ReasonBudget       Reason = "budget"
	ReasonShare        Reason = "fair-share"
	ReasonNoGPU        Reason = "no-gpu"
	ReasonReplace      Reason = "replace-lost"
	ReasonSilent       Reason = "silent"
	ReasonRollout      Reason = "rollout"
	ReasonBackoff      Reason = "backoff"
	ReasonFailing      Reason = "failing"
	ReasonPaused       Reason = "paused"
	ReasonDeleting     Reason = "deleting"
	ReasonPinned       Reason = "pinned"
)

// meanings is the closed set in the order people meet it.
var meanings = []struct {
	Reason  Reason
	Meaning string
}{
	{ReasonWakeFromZero, "requests wait and no replica runs: the first ones are started"},
	{ReasonBacklog, "what waits and runs breaks the wait SLO with the replicas there are: more are started"},
	{ReasonArrivals, "requests come faster than the replicas there are can take for long: more are started before a queue grows"},
	{ReasonRace, "starts are often slower than the wait SLO allows: more are started than needed, the first to be ready stays"},
	{ReasonSteady, "as many replicas as are needed"},
	{ReasonKeepAlive, "no request for a while, the last replica is held warm"},
	{ReasonPreWarm, "requests come by a rhythm, or at this time of the day: one replica is started and held for the next, which is expected soon"},
	{ReasonIdle, "no request for the keep-alive: down to the minimum, or nothing to do at zero"},
	{ReasonOversized, "more replicas than are needed or worth holding for the next need: the surplus goes"},
	{ReasonMinReplicas, "the manifest's minimum holds the number up"},
	{ReasonMaxReplicas, "the manifest's maximum holds the number down"},
	{ReasonBudget, "what is left of the budget holds the number down"},
	{ReasonShare, "GPUs are short: what other functions are due holds the number down"},
	{ReasonNoGPU, "a replica is wanted and no GPU it could use is free"},
	{ReasonReplace, "a replica ended unasked, another takes its place"},
	{ReasonSilent, "held because a replica is out of reach: unreachable is not failed"},
	{ReasonRollout, "replicas of an older revision give way to the current one"},
	{ReasonBackoff, "replicas failed, the next start waits"},
	{ReasonFailing, "replicas keep failing: one probe per backoff, if somebody asks"},
	{ReasonPaused, "paused by hand: none runs, requests are kept"},
	{ReasonDeleting, "being deleted: all drain"},
	{ReasonPinned, "the number was set by hand"},
}

// Reasons lists every reason but ReasonNone. The caller owns the slice.
func Reasons() []Reason {
	out := make([]Reason, 0, len(meanings))
	for _, m := range meanings {
		out = append(out, m.Reason)
	}
	return out
}

// Meaning is one sentence for people; empty for a reason outside the set.
func (r Reason) Meaning() string {
	for _, m := range meanings {
		if m.Reason == r {
			return m.Meaning
		}
	}
	return ""
}

// ShortOfGPUs tells whether a limit is that there are too few GPUs, or that others are due them.
func (r Reason) ShortOfGPUs() bool { return r == ReasonNoGPU || r == ReasonShare }
