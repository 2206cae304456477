package simulate

import (
	"bufio"
	"io"
	"strconv"
	"strings"
	"time"

	"stoker.dev/stoker/scale/simulate"
)

// timelineHeader are the columns of a timeline. The first six say what holds GPUs and what
// waits; the last two, what part of hot is busy and on its way out.
const timelineHeader = "t,function,hot,asleep,starting,queued,busy,draining\n"

// Timeline writes rows as CSV; t is in seconds since the trace's zero.
type Timeline struct {
	w   *bufio.Writer
	row []byte
	err error
}

// NewTimeline begins one.
func NewTimeline(w io.Writer) *Timeline {
	t := &Timeline{w: bufio.NewWriter(w)}
	_, t.err = t.w.WriteString(timelineHeader)
	return t
}

// Row writes one.
func (t *Timeline) Row(r simulate.Row) {
	b := strconv.AppendFloat(t.row[:0], float64(r.T/time.Microsecond)/1e6, 'f', -1, 64)
	b = append(append(b, ','), field(r.Function)...)
	for _, n := range []int{r.Hot, r.Asleep, r.Starting, r.Queued, r.Busy, r.Draining} {
		b = strconv.AppendInt(append(b, ','), int64(n), 10)
	}
	t.row = append(b, '\n')
	if t.err == nil {
		_, t.err = t.w.Write(t.row)
	}
}

// field quotes a name where CSV wants it.
func field(name string) string {
	if !strings.ContainsAny(name, ",\"\r\n") {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// Flush writes what is left, and gives the first error.
func (t *Timeline) Flush() error {
	if t.err != nil {
		return t.err
	}
	return t.w.Flush()
}
