package verify

import (
	"errors"
	"fmt"
	"strings"
)

// ErrDamaged is returned when JetStream's files hold less than was stored in them.
var ErrDamaged = errors.New("JetStream's files are damaged")

// Kind says how much a damage concerns.
type Kind int

// The kinds, from most to least.
const (
	Stream   Kind = iota // the server would leave the stream out
	Block                // messages are gone; the server would drop good ones with them
	Consumer             // the server would stop the stream; the consumer can be made again
	Missing              // nothing is left that could be looked at
)

// Damage is one thing that is wrong.
type Damage struct {
	Kind   Kind
	Stream string // its name
	Dir    string // the stream's directory
	Path   string // the file or directory to look at
	What   string // what is wrong with it
}

func (d Damage) String() string { return fmt.Sprintf("%s: %s", d.Path, d.What) }

// Error is every damage found; errors.Is finds [ErrDamaged]. It is one line.
type Error struct{ Damages []Damage }

// maxTold is how many damages the one line names.
const maxTold = 3

func (e *Error) Error() string {
	told := make([]string, 0, maxTold)
	for _, d := range e.Damages[:min(len(e.Damages), maxTold)] {
		told = append(told, d.String())
	}
	if more := len(e.Damages) - len(told); more > 0 {
		told = append(told, fmt.Sprintf("and %d more", more))
	}
	return ErrDamaged.Error() + ": " + strings.Join(told, "; ")
}

// Is makes errors.Is(err, ErrDamaged) true.
func (e *Error) Is(target error) bool { return target == ErrDamaged }
