package pull

// FairAfter is how many pulls in a row may come from more urgent classes before a less
// urgent one has its turn. At 8 the least urgent of three gets at least a tenth.
const FairAfter = 8

// classN is the number of classes; index 0 is the most urgent.
const classN = 3

// turn remembers whose turn it is.
type turn struct {
	passed [classN]int // messages taken from more urgent classes since this one was looked at
}

// next chooses the class to ask, and for how many at most, out of those that may hold
// messages. ok is false when none may.
func (t *turn) next(may [classN]bool, free int) (class, n int, ok bool) {
	for c := 1; c < classN; c++ {
		if may[c] && t.passed[c] >= FairAfter {
			return c, 1, free > 0
		}
	}
	for c := range may {
		if may[c] {
			return c, min(free, t.patience(c, may)), free > 0
		}
	}
	return 0, 0, false
}

// patience is how many messages class c may take before a less urgent one is due.
func (t *turn) patience(c int, may [classN]bool) int {
	n := maxAsk
	for low := c + 1; low < classN; low++ {
		if may[low] {
			n = min(n, FairAfter-t.passed[low])
		}
	}
	return n
}

// took counts a message of a class.
func (t *turn) took(class int) {
	t.passed[class] = 0
	for low := class + 1; low < classN; low++ {
		t.passed[low]++
	}
}

// looked forgets the debt to a class that turned out to be empty.
func (t *turn) looked(class int) { t.passed[class] = 0 }
