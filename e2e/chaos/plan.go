package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"stoker.dev/stoker/e2e/history"
)

// What a step does, beside [history.Kill] and [history.Stop].
const (
	row  = "row"  // the platform, killed and started so many times in a row
	wipe = "wipe" // the platform killed, Temporal's database deleted, the platform started
)

// Size is how much of each a plan holds.
type Size struct {
	Kills  int           // of any program, at random moments
	Stops  int           // SIGSTOP instead, spread among the kills
	Row    int           // restarts of the platform in a row, in the middle; they are kills too, beside Kills
	Wipes  int           // deletions of Temporal's database, spread among the kills; kills too, beside Kills
	Rarely bool          // hit the platform half as often: where its starts are slow
	Pause  time.Duration // between two steps, on average
	Freeze time.Duration // from SIGSTOP to SIGCONT
}

// Total is the number of kills, of whatever kind.
func (s Size) Total() int { return s.Kills + s.Row + s.Wipes }

// Step is one thing to do.
type Step struct {
	Pause   time.Duration // before it
	What    string
	Program string
	Pick    uint32 // which of the candidates, modulo their number
	N       int    // of a row
}

// String is the step on one line of the schedule.
func (s Step) String() string {
	text := fmt.Sprintf("after %-7s %s %s", s.Pause, s.What, s.Program)
	switch s.What {
	case row:
		return fmt.Sprintf("%s, %d times", text, s.N)
	case wipe:
		return text
	default:
		return fmt.Sprintf("%s, pick %d", text, s.Pick)
	}
}

// weights is how often each program is hit: a platform takes seconds to come back, and as long as it is away
// nothing else can be learnt about its replicas' ends.
var weights = []struct {
	program string
	weight  int
}{{history.Platform, 2}, {history.Agent, 8}, {history.Server, 10}}

// NewPlan is the schedule of a seed.
func NewPlan(seed uint64, s Size) []Step {
	dice := rand.New(rand.NewPCG(seed, 1))
	var steps []Step
	for range s.Kills {
		steps = append(steps, Step{What: history.Kill, Program: anyProgram(dice, s.Rarely)})
	}
	for i := range s.Stops {
		steps = insert(dice, steps, Step{What: history.Stop, Program: weights[i%len(weights)].program})
	}
	for range s.Wipes {
		steps = insert(dice, steps, Step{What: wipe, Program: history.Platform})
	}
	if s.Row > 0 {
		steps = slices.Insert(steps, len(steps)/2, Step{What: row, Program: history.Platform, N: s.Row})
	}
	for i := range steps {
		// Exponential, as independent accidents are: some come at once after the one before.
		pause := time.Duration(dice.ExpFloat64() * float64(s.Pause))
		steps[i].Pause = min(pause, 4*s.Pause).Round(time.Millisecond)
		steps[i].Pick = dice.Uint32()
	}
	return steps
}

func insert(dice *rand.Rand, steps []Step, s Step) []Step {
	return slices.Insert(steps, dice.IntN(len(steps)+1), s)
}

func anyProgram(dice *rand.Rand, rarely bool) string {
	sum := 0
	for _, w := range weights {
		sum += w.weight
	}
	n := dice.IntN(sum)
	if rarely && n == 0 {
		n = sum - 1
	}
	for _, w := range weights {
		if n -= w.weight; n < 0 {
			return w.program
		}
	}
	return history.Server
}

// Schedule is a plan as text.
func Schedule(seed uint64, steps []Step) string {
	var out strings.Builder
	fmt.Fprintf(&out, "seed %d\n", seed)
	for i, s := range steps {
		fmt.Fprintf(&out, "%4d  %s\n", i+1, s)
	}
	return out.String()
}
