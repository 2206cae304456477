package scale

import (
	"fmt"
	"time"
)

// Topic is the question a line answers.
type Topic string

// The questions Explain answers.
const (
	TopicNow     Topic = "now"
	TopicBigger  Topic = "not bigger"
	TopicSmaller Topic = "not smaller"
	TopicNext    Topic = "next"
)

// Line is one sentence of an explanation.
type Line struct {
	Topic  Topic  `json:"topic"`
	Reason Reason `json:"reason,omitempty"`
	Text   string `json:"text"`
}

// Explain says in sentences what runs and why it is not bigger or smaller right now. It
// decides anew from the same arguments and changes nothing.
func Explain(spec Spec, s State, obs Observation, now time.Time) []Line {
	t := newTurn(spec, s, obs, now)
	t.deliberate()
	d := t.decision()
	lines := []Line{t.explainNow(d), t.explainBigger(d), t.explainSmaller(d)}
	if f := t.s.Failures; f.Count > 0 {
		lines = append(lines, Line{TopicBigger, f.reason(), f.text(t.now)})
	}
	if !d.Next.IsZero() {
		lines = append(lines, Line{Topic: TopicNext,
			Text: fmt.Sprintf("without new input this is looked at again in %v", span(d.Next.Sub(t.now)))})
	}
	return lines
}

func (t *turn) explainNow(d Decision) Line {
	in := d.Inputs
	text := fmt.Sprintf("%s: target %d, %d ready, %d starting, %d draining", d.Phase, d.Target, in.Ready, in.Starting, in.Draining)
	if in.Silent > 0 {
		text += fmt.Sprintf(", %d silent", in.Silent)
	}
	if in.Outdated > 0 {
		text += fmt.Sprintf("; of them %d of an older revision, which the target does not count", in.Outdated)
	}
	text += fmt.Sprintf("; %d requests wait, %d run; %s", in.Pending, in.InFlight, d.Reason.Meaning())
	return Line{TopicNow, d.Reason, text}
}

// explainBigger says what keeps the function from growing.
func (t *turn) explainBigger(d Decision) Line {
	line := Line{Topic: TopicBigger, Reason: d.Limit}
	short := max(t.want-t.goal, t.wish-t.n)
	switch d.Limit {
	case ReasonNoGPU:
		line.Text = fmt.Sprintf("%d more wanted with %d GPUs each, %d free", short, t.spec.GPUs, t.obs.FreeGPUs)
		if len(d.Inputs.Holders) > 0 {
			line.Text += "; held by " + holdersText(t.obs.Holders)
		}
	case ReasonMaxReplicas:
		line.Text = fmt.Sprintf("%d wanted, scaling.max is %d", max(t.demand, t.ordered()), t.spec.Max)
	case ReasonBudget:
		line.Text = fmt.Sprintf("%d wanted, what is left of the budget allows %d", max(t.demand, t.ordered(), t.spec.Min), t.bounds().Max)
	case ReasonShare:
		line.Text = fmt.Sprintf("%d wanted; GPUs are short, and beside what others are due there are enough for %d",
			max(t.demand, t.ordered(), t.spec.Min), t.bounds().Max)
	case ReasonBackoff, ReasonFailing:
		line.Text = fmt.Sprintf("%d more wanted; after %d failures one is started at a time, the next in %v",
			short, d.Inputs.Failures, span(t.s.Failures.Until.Sub(t.now)))
	case ReasonPinned:
		line.Text = fmt.Sprintf("%d wanted by demand, set to %d by hand", t.demand, t.n)
	case ReasonPaused, ReasonDeleting:
		line.Text = d.Limit.Meaning()
	default:
		line.Text = t.sizingText()
	}
	return line
}

// ordered is the number set by hand, 0 if there is none.
func (t *turn) ordered() int {
	if t.spec.Pinned == nil {
		return 0
	}
	return *t.spec.Pinned
}

// sizingText shows the arithmetic of Size.
func (t *turn) sizingText() string {
	if t.isIdle() {
		return "nothing waits or runs"
	}
	text := fmt.Sprintf("%d that wait and %d that run, at %.3g s each and %d slots per replica, keep the wait within %v with %d",
		t.pending, t.busy, t.service, t.spec.Slots, t.spec.Wait, t.backlog)
	if t.coming > 0 {
		text += fmt.Sprintf("; counted in are %d expected before the first replica is ready", t.coming)
	}
	if t.rising > t.backlog {
		text += fmt.Sprintf("; %.3g more come each second, which takes %d", t.s.Rate.PerSec, t.rising)
	}
	if t.racing > 0 {
		text += fmt.Sprintf("; %d more race for being ready in time", t.racing)
	}
	return text
}

// explainSmaller says what keeps the function from shrinking.
func (t *turn) explainSmaller(d Decision) Line {
	line := Line{Topic: TopicSmaller}
	say := func(r Reason, format string, args ...any) Line {
		line.Reason, line.Text = r, fmt.Sprintf(format, args...)
		return line
	}
	left := t.keepAlive - t.idle
	switch {
	case d.Target+t.oldKept == 0:
		return say(ReasonNone, "it is at zero")
	case t.spec.Pinned != nil:
		return say(ReasonPinned, "set to %d by hand", *t.spec.Pinned)
	case t.rolling():
		return say(ReasonRollout, "one replica at a time gives way to the current revision")
	case t.warm == t.n && t.n > t.spec.Min:
		by := "the gaps before"
		if t.outlook.byDay {
			by = "this time of the days before"
		}
		return say(ReasonPreWarm, "the next request is expected within %v, by %s", span(t.outlook.to-t.idle), by)
	case t.idleOver() && t.n > t.spec.Min:
		return say(ReasonSilent, "%d replicas are out of reach, and nobody knows what they do", d.Inputs.Silent)
	case t.n == t.spec.Min:
		return say(ReasonMinReplicas, "scaling.min is %d", t.spec.Min)
	case t.isIdle() && t.n == 1:
		return say(ReasonKeepAlive, "idle for %v, held warm for %v more", span(t.idle), span(left))
	case t.demand >= t.n:
		return say(ReasonSteady, "demand needs %d", t.demand)
	case t.s.Lost > 0:
		return say(ReasonReplace, "one that ended unasked is being replaced")
	}
	return say(ReasonSteady, "%d were needed not long ago, and are held", t.heldN)
}

// text is the story of the failures.
func (f Failures) text(now time.Time) string {
	text := fmt.Sprintf("%d failures in a row, the last %v ago: %s", f.Count, span(now.Sub(f.At)), f.Cause)
	if f.Message != "" {
		text += ": " + f.Message
	}
	return text
}

// span rounds a duration for people.
func span(d time.Duration) time.Duration {
	if d >= 10*time.Second || d <= 0 {
		return max(0, d.Round(time.Second))
	}
	return d.Round(100 * time.Millisecond)
}
