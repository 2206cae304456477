package scale

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// StateVersion is the version this code writes; it reads this and every older one.
const StateVersion = 1

// MaxRecent bounds the decisions kept for `stoker explain`: a screen and a half.
const MaxRecent = 20

// State is what Decide remembers of one function; the zero State is that of a function
// never decided on. It round-trips through JSON without changing any decision.
type State struct {
	Version   int        `json:"version"`
	Epoch     uint64     `json:"epoch"`
	Last      Decision   `json:"last"`
	Recent    []Decision `json:"recent,omitempty"` // decisions that changed something, oldest first
	Service   Estimate   `json:"service"`          // seconds a request occupies its slot
	ColdStart Estimate   `json:"coldStart"`        // seconds from start to ready
	Window    Window     `json:"window"`           // when each level was needed last
	Need      int        `json:"need"`             // needed since the last call: holds until this one
	Size      int        `json:"size"`             // replicas the function stands at, all revisions, without a rollout's surge
	IdleSince time.Time  `json:"idleSince,omitzero"`
	Placing   Placing    `json:"placing"`
	Lost      int        `json:"lost,omitempty"`     // replicas that ended unasked and were not replaced yet
	Recreate  int        `json:"recreate,omitempty"` // current replicas there must be before a rollout without a free GPU drains another old one
	Aside     []string   `json:"aside,omitempty"`    // silent replicas that are kept and no longer counted on, sorted
	Failures  Failures   `json:"failures"`
	Urgency   Urgency    `json:"urgency,omitzero"`
	// ShortSince is since when it has wanted a replica and had none for want of GPUs.
	ShortSince time.Time `json:"shortSince,omitzero"`
	Rate       Rate      `json:"rate"`
	Habits     Habits    `json:"habits"`
	Rhythm     Rhythm    `json:"rhythm,omitzero"`
	Season     Season    `json:"season,omitzero"`
	Wake       Wake      `json:"wake,omitzero"`
	Episode    Episode   `json:"episode"`
	Lessons    []Lesson  `json:"lessons,omitempty"`
}

// Placing is about replicas that were decided on and are in no observation yet.
type Placing struct {
	Goal   int       `json:"goal"`   // replicas of the current revision, those set aside not counted
	Unseen int       `json:"unseen"` // of them not yet observed
	Until  time.Time `json:"until,omitzero"`
}

// Encode writes the state for a store.
func (s State) Encode() ([]byte, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode scaling state: %w", err)
	}
	return data, nil
}

// DecodeState reads what Encode wrote. The error is ErrState for what is no state, and for
// one that a newer version of stoker wrote.
func DecodeState(data []byte) (State, error) {
	var s State
	if err := json.Unmarshal(data, &s); err != nil {
		return State{}, fmt.Errorf("%w: %w", ErrState, err)
	}
	if s.Version < 0 || s.Version > StateVersion {
		return State{}, fmt.Errorf("%w: version %d; this stoker reads 0 to %d: run the newer one, or delete the state to begin afresh",
			ErrState, s.Version, StateVersion)
	}
	return s, nil
}

// settle makes a state safe to compute with: whatever a store held, and whatever the
// clock did since, no remembered moment lies in the future and no number is absurd. What it
// shares with the state it was copied from and a turn changes in place, is its own afterwards.
func (s *State) settle(now time.Time) {
	s.IdleSince = notAfter(s.IdleSince, now)
	s.Window = s.Window.settled(now)
	s.Need = clamp(s.Need, 0, MaxReplicas)
	s.Size = clamp(s.Size, 0, MaxReplicas)
	s.Lost = clamp(s.Lost, 0, MaxReplicas)
	s.Recreate = clamp(s.Recreate, 0, MaxReplicas)
	s.Placing.Goal = clamp(s.Placing.Goal, 0, MaxReplicas)
	s.Placing.Unseen = clamp(s.Placing.Unseen, 0, s.Placing.Goal)
	s.Placing.Until = notAfter(s.Placing.Until, now.Add(PlaceGrace))
	s.Failures = s.Failures.settled(now)
	s.Urgency.At = notAfter(s.Urgency.At, now)
	s.ShortSince = notAfter(s.ShortSince, now)
	s.Rate = s.Rate.settled(now)
	s.Habits.settle(now)
	s.Rhythm = s.Rhythm.settled()
	s.Season = s.Season.settled(now)
	s.Wake = s.Wake.settled(now)
	s.Episode.From = clamp(s.Episode.From, 0, MaxReplicas)
	s.Episode.To = clamp(s.Episode.To, 0, MaxReplicas)
	s.Episode.Late = saneNumber(s.Episode.Late)
	s.Lessons = s.Lessons[:min(len(s.Lessons), maxLessons)]
}

// remember keeps a decision, in the ring too if it changed something.
func (s *State) remember(d Decision) {
	if d.Epoch != s.Epoch {
		recent := append(slices.Clone(s.Recent), d)
		s.Recent = recent[max(0, len(recent)-MaxRecent):]
	}
	s.Version, s.Epoch, s.Last = StateVersion, d.Epoch, d
}

// notAfter is the earlier of both; a zero time stays zero.
func notAfter(t, limit time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return earliest(wall(t), limit)
}
